"""Reads `piactl.yaml`: paths of this host, the directory, and the layouts of the HR sources."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import replace
from pathlib import Path, PurePath
from urllib.parse import urlsplit

from piactl.config.strict_yaml import Document, Node, quoted, read_content
from piactl.config.typed_reading import read_typed
from piactl.core.model.field_notes import COMMA, is_dn
from piactl.core.model.overrides import MANUAL
from piactl.core.model.settings import Settings
from piactl.host.private_files import exposure
from piactl.phrase import Phrase, joined


def read_settings(path: Path) -> Settings:
    """The settings in a file. Raises ConfigurationInvalid with every mistake in it, by line and column.

    Relative paths start at the folder of the file; returned paths are absolute.
    """
    settings, document = read_typed(path, Settings, Phrase("configuration"))
    directory = document.root.at("directory")
    for check in (_check_servers, _check_identities, _check_tree, _check_attributes):
        check(document, directory)
    _check_hooks(document, document.root.at("hooks"))
    _check_sources(document, document.root.at("sources"))
    document.refuse_mistakes()
    seconds = settings.hook_seconds
    return replace(
        settings,
        file=str(path.absolute()),
        change_hooks=tuple(replace(h, seconds=h.seconds or seconds) for h in settings.change_hooks),
        # a supplement has the lowest rank, wherever it is listed
        sources=dict(sorted(settings.sources.items(), key=lambda item: item[1].supplement)),
    ).with_state_folder(settings.state_folder)


_LANGUAGE = re.compile(r"^language\s*:\s*[\"']?(en|fr)\b", re.MULTILINE)


def read_language(path: Path) -> str:
    """The language that a file of settings names, whatever else is wrong with it; "" for none. Raises
    ConfigurationInvalid if it is not text."""
    named = _LANGUAGE.search(read_content(path).text)
    return named[1] if named else ""


# What no type says. A value of another form is no mistake here: the walk over the types reports it.


def _check_hooks(document: Document, hooks: Node) -> None:
    _check_program(document, hooks.at("proof_changed"), "hooks.proof_changed")
    commands: list[list[str]] = []
    for hook in hooks.at("changes").items():
        place = hook.at("run")
        command = [word.text() for word in place.text_nodes()]
        _check_program(document, place, "hooks.changes")
        if command and not command[0].startswith("/"):
            document.mistake(
                place, Phrase("hooks.changes: write {command} with its whole path", command=repr(command[0]))
            )
        if command and command in commands:
            document.mistake(
                place, Phrase("hooks.changes: {command} is there twice; join its kinds", command=command[0])
            )
        commands.append(command)


def _check_program(document: Document, node: Node, label: str) -> None:
    """Adds a mistake if others may change the program of a command."""
    program = next((word.text() for word in node.text_nodes()), "")
    exposed = exposure(program) if program.startswith("/") else ""
    if exposed:
        document.mistake(node, Phrase("{name}: {text}", name=label, text=exposed))


def _check_servers(document: Document, directory: Node) -> None:
    """Adds a mistake for each address that does not fit an identity, or would send a password in the
    clear."""
    identities = [node for _, node in directory.at("identities").entries()]
    password = any(node.at("password_file").value is not None for node in identities)
    external = any(node.at("external").value is True for node in identities)
    starttls = directory.at("tls").at("starttls").value is True
    for node in directory.at("servers").text_nodes():
        if document.has_mistake(node.line, node.column):
            continue
        scheme = node.text().partition("://")[0].lower()
        if external and scheme != "ldapi":
            document.mistake(
                node,
                Phrase(
                    "directory.servers: an identity with `external: true` needs ldapi://, not {found}; "
                    "give that identity a dn and a password_file",
                    found=quoted(node),
                ),
            )
        elif scheme == "ldap" and password and not starttls and not _is_loopback(node.text()):
            document.mistake(
                node,
                Phrase(
                    "directory.servers: {found} would carry passwords in the clear; use ldaps://, or "
                    "`tls: {{starttls: true}}`",
                    found=quoted(node),
                ),
            )


def _check_identities(document: Document, directory: Node) -> None:
    """Adds a mistake for each identity that is not either EXTERNAL or a DN with a password file."""
    for name, node in directory.at("identities").entries():
        if not isinstance(node.value, dict):
            continue
        label = f"directory.identities.{name}"
        external = node.at("external").value is True
        keys = [key for key in ("dn", "password_file") if node.at(key).value is not None]
        if external and keys:
            document.mistake(
                node.at(keys[0]),
                Phrase(
                    "{label}: `external: true` goes without {keys}; keep one of them",
                    label=label,
                    keys=joined(keys, "{first} and {second}"),
                ),
            )
        elif not external and len(keys) < 2:
            lacking = joined(
                [key for key in ("dn", "password_file") if key not in keys], "{first} and {second}"
            )
            document.mistake(
                node,
                Phrase(
                    "{label}: {lacking} is missing; add it, or write `external: true` (over ldapi://)",
                    label=label,
                    lacking=lacking,
                ),
            )


def _check_tree(document: Document, directory: Node) -> None:
    """Adds a mistake if accounts, state or another place is not below the suffix."""
    below = directory.at("suffix").text()
    suffix = _rdns(below)
    if not suffix:
        return
    for key in ("accounts", "state", "groups", "structures"):
        node = directory.at(key)
        parts = _rdns(node.text())
        if parts and (len(parts) <= len(suffix) or parts[-len(suffix) :] != suffix):
            document.mistake(
                node,
                Phrase(
                    "directory.{key}: {found} is not below the suffix; write a DN that ends with "
                    "{below}, or correct the suffix",
                    key=key,
                    found=quoted(node),
                    below=below,
                ),
            )


def _check_attributes(document: Document, directory: Node) -> None:
    """Adds a mistake if two attributes are renamed to the same one."""
    first: dict[str, str] = {}
    for name, node in directory.at("attributes").entries():
        owner = first.setdefault(node.text().casefold(), name)
        if owner != name and node.text():
            document.mistake(
                node,
                Phrase(
                    "directory.attributes.{name}: {attribute} is already used for {owner}; name another",
                    name=name,
                    attribute=node.text(),
                    owner=owner,
                ),
            )


def _rdns(dn: str) -> list[str]:
    """The RDNs of a DN in lower case and without blanks, for comparison; none of what is no DN."""
    if "=" not in dn or not is_dn(dn):
        return []
    return [re.sub(r"\s*=\s*", "=", part.strip().casefold(), count=1) for part in COMMA.split(dn)]


def _is_loopback(address: str) -> bool:
    host = urlsplit(address).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_sources(document: Document, sources: Node) -> None:
    for name, node in sources.entries():
        label = f"sources.{name}"
        if name == MANUAL:
            document.mistake(
                node,
                Phrase(
                    "{label}: this name is reserved for changes made by hand; choose another name",
                    label=label,
                ),
            )
        columns = dict(node.at("columns").entries())
        for column, place in node.at("constants").entries():
            if column in columns:
                document.mistake(
                    place,
                    Phrase(
                        "{label}.constants.{column}: this column is also under columns; keep one of them",
                        label=label,
                        column=column,
                    ),
                )
        _check_format(document, node, label)
    _refuse_shared_files(document, sources)


_OF_CSV = ("trailer", "delimiter", "encoding", "date_formats", "columns")
_OF_SETS = ("perimeter", "drop_functions", "empty_values", "delta_days", "delta_weekdays")


def _check_format(document: Document, node: Node, label: str) -> None:
    """Adds a mistake for a setting that the format of the source does not have."""
    form = node.at("format").text("csv")
    entries = dict(node.entries())
    for name in _OF_SETS if form == "csv" else _OF_CSV:
        if name in entries:
            document.mistake(
                entries[name],
                Phrase(
                    "{label}.{name}: not a setting of the format {form}; remove it",
                    label=label,
                    name=name,
                    form=form,
                ),
            )
    if form == "sts" and (node.at("role").text() != "supplement" or node.at("creates").value is True):
        document.mistake(
            node,
            Phrase(
                "{label}: the format sts makes no accounts; write `role: supplement`, without `creates: "
                "true`",
                label=label,
            ),
        )
    for name in _OF_SETS if form == "sts" else ():
        if name in entries:
            document.mistake(
                entries[name],
                Phrase("{label}.{name}: not a setting of the format sts; remove it", label=label, name=name),
            )
    if form == "csv" and "kind" not in entries:
        expected = Phrase("expected full (a feed lists everyone) or delta")
        document.mistake(
            node, Phrase("kind is missing in {label}; {expected}", label=label, expected=expected)
        )
    if form != "csv" and node.at("kind").text("full") != "full":
        document.mistake(
            entries["kind"],
            Phrase(
                "{label}.kind: the format {form} is read as complete sets; write full, or remove it",
                label=label,
                form=form,
            ),
        )


def _refuse_shared_files(document: Document, sources: Node) -> None:
    """Adds a mistake for a file name pattern of two sources: the source of a feed would be ambiguous."""
    first: dict[str, str] = {}
    for name, source in sources.entries():
        for place in source.at("files").text_nodes():
            owner = first.setdefault(PurePath(place.text()).name, name)
            if owner != name:
                document.mistake(
                    place,
                    Phrase(
                        "sources.{name}.files: {found} is also a pattern of source {owner}; keep one",
                        name=name,
                        found=quoted(place),
                        owner=owner,
                    ),
                )
