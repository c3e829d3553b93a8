"""Reads `piactl.yaml`: paths of this host, the directory, and the layouts of the HR sources."""

from __future__ import annotations

import ipaddress
import re
from datetime import datetime
from pathlib import Path, PurePath
from urllib.parse import unquote, urlsplit

from piactl.config.guard_settings import day_of_year
from piactl.config.schema_validation import hint, read_checked
from piactl.config.strict_yaml import Document, Node, quoted
from piactl.core.model.overrides import MANUAL
from piactl.core.model.settings import (
    CREDENTIAL,
    Canary,
    ChangeHook,
    DirectorySettings,
    Identity,
    LimitsPeriod,
    MatchingSettings,
    PasswordSettings,
    Settings,
    SourceLimits,
    SourceSettings,
    TlsSettings,
)
from piactl.private_files import exposure

_DIRECTORY = DirectorySettings((), "", "", "", {})
_USUAL = Settings("", _DIRECTORY, "", "", "", "", "")
_USUAL_SOURCE = SourceSettings("")
_DATE_GROUPS = ("year", "month", "day")
_TRIAL = datetime(2026, 9, 21)  # noqa: DTZ001 a civil day; its year, month and day differ


def read_settings(path: Path) -> Settings:
    """The settings in a file. Raises ConfigurationInvalid with every mistake in it, by line and column.

    Relative paths start at the folder of the file; returned paths are absolute.
    """
    document = read_checked(path, "configuration")
    settings = _settings(document, path.absolute())
    document.refuse_mistakes()
    return settings


def _settings(document: Document, file: Path) -> Settings:
    root, folder = document.root, file.parent
    settings = Settings(
        file=str(file),
        directory=_directory(document, root.at("directory"), folder),
        policy_file=_path(root.at("policy"), folder),
        establishments_file=_path(root.at("establishments"), folder),
        keys_file=_path(root.at("keys"), folder),
        journal_file=_path(root.at("journal"), folder),
        state_folder=_path(root.at("state_folder"), folder),
        metrics_file=_path(root.at("metrics"), folder),
        matching_key_file=_path(root.at("matching_key"), folder),
        roles={role: tuple(groups.texts()) for role, groups in root.at("roles").entries()},
        sources=read_sources(document, root.at("sources")),
        ranks=_ranks(document, root),
        go_on=_go_on(document, root),
        language=root.at("language").text(_USUAL.language),
        any_date=root.at("any_date").truth(_USUAL.any_date),
        strict=root.at("strict").truth(_USUAL.strict),
        lock_seconds=root.at("lock_seconds").integer(_USUAL.lock_seconds),
        clock_minutes=root.at("clock").at("server_minutes").integer(_USUAL.clock_minutes),
        keep_undo_days=root.at("keep_undo_days").integer(_USUAL.keep_undo_days),
        keep_rejects_days=root.at("keep_rejects_days").integer(_USUAL.keep_rejects_days),
        keep_runs_days=root.at("keep_runs_days").integer(_USUAL.keep_runs_days),
        change_hooks=_change_hooks(document, root.at("hooks")),
        proof_hook=_hook(document, root.at("hooks").at("proof_changed"), "hooks.proof_changed"),
        hook_seconds=root.at("hooks").at("seconds").integer(_USUAL.hook_seconds),
        password=_password(document, root.at("password")),
        matching=_matching(root.at("matching")),
        canaries=tuple(
            Canary(name, node.at("account").text(), _path(node.at("password_file"), folder))
            for name, node in root.at("canaries").entries()
        ),
    )
    return settings.with_state_folder(settings.state_folder)


def _hook(document: Document, node: Node, label: str) -> tuple[str, ...]:
    """A command with its arguments. Adds a mistake if others may change its program."""
    command = tuple(node.texts())
    if command and command[0].startswith("/"):
        exposed = exposure(command[0])
        if exposed:
            document.mistake(node, f"{label}: {exposed}")
    return command


def _change_hooks(document: Document, node: Node) -> tuple[ChangeHook, ...]:
    seconds = node.at("seconds").integer(_USUAL.hook_seconds)
    hooks: list[ChangeHook] = []
    for place in node.at("changes").items():
        command = _hook(document, place.at("run"), "hooks.changes")
        if command and not command[0].startswith("/"):
            document.mistake(place.at("run"), f"hooks.changes: write {command[0]!r} with its whole path")
        if command and command in (hook.command for hook in hooks):
            document.mistake(place.at("run"), f"hooks.changes: {command[0]} is there twice; join its kinds")
        kinds = frozenset(place.at("kinds").texts())
        hooks.append(ChangeHook(kinds, command, place.at("seconds").integer(seconds)))
    return tuple(hooks)


def _ranks(document: Document, root: Node) -> dict[str, str]:
    sources = dict(root.at("sources").entries())
    ranks = {}
    for data, place in root.at("ranks").entries():
        ranks[data] = place.text()
        if place.text() not in sources:
            wrong = f"ranks.{data}: {place.text()!r} is not a source; {hint(place.text(), sources)}"
            document.mistake(place, wrong)
    return ranks


def _go_on(document: Document, root: Node) -> frozenset[str]:
    sources = dict(root.at("sources").entries())
    for place in root.at("continue").text_nodes():
        if place.text() not in sources:
            document.mistake(
                place, f"continue: {place.text()!r} is not a source; {hint(place.text(), sources)}"
            )
    return frozenset(root.at("continue").texts())


def _password(document: Document, node: Node) -> PasswordSettings:
    usual = _USUAL.password
    for key in ("policy", "activation_policy", "protected_policy"):
        check_dn(document, node.at(key), f"password.{key}")
    for other in node.at("other_policies").text_nodes():
        check_dn(document, other, "password.other_policies")
    return PasswordSettings(
        policy=node.at("policy").text(),
        activation_policy=node.at("activation_policy").text(),
        activation_hours=node.at("activation_hours").integer(usual.activation_hours),
        minimum=node.at("minimum").integer(usual.minimum),
        administrator_minimum=node.at("administrator_minimum").integer(usual.administrator_minimum),
        failures_per_hour=node.at("failures_per_hour").integer(usual.failures_per_hour),
        holdoff_days=node.at("holdoff_days").integer(usual.holdoff_days),
        protected_policy=node.at("protected_policy").text(),
        other_policies=tuple(node.at("other_policies").texts()),
    )


def _matching(node: Node) -> MatchingSettings:
    usual, automatic = _USUAL.matching, node.at("automatic")
    return MatchingSettings(
        identity_digests=node.at("identity_digests").truth(usual.identity_digests),
        automatic=usual.automatic if automatic.data() is None else frozenset(automatic.texts()),
        match_days=node.at("match_days").integer(usual.match_days),
        max_hold_days=node.at("max_hold_days").integer(usual.max_hold_days),
    )


def _path(node: Node, folder: Path) -> str:
    """An absolute path, or "" if none is given."""
    text = node.text()
    if not text or text.startswith(CREDENTIAL):
        return text
    return str(folder / text)


def _directory(document: Document, node: Node, folder: Path) -> DirectorySettings:
    for check in (check_servers, check_identities, check_tree, check_attributes):
        check(document, node)
    tls = node.at("tls")
    taken = node.at("taken_attributes")
    return DirectorySettings(
        servers=tuple(node.at("servers").texts()),
        suffix=node.at("suffix").text(),
        accounts=node.at("accounts").text(),
        state=node.at("state").text(),
        identities={name: _identity(name, value, folder) for name, value in node.at("identities").entries()},
        tls=TlsSettings(
            _path(tls.at("ca_file"), folder),
            tls.at("starttls").truth(_DIRECTORY.tls.starttls),
            tls.at("strict").truth(_DIRECTORY.tls.strict),
        ),
        connect_timeout=node.at("connect_timeout").integer(_DIRECTORY.connect_timeout),
        operation_timeout=node.at("operation_timeout").integer(_DIRECTORY.operation_timeout),
        replication_seconds=node.at("replication_seconds").integer(_DIRECTORY.replication_seconds),
        page_size=node.at("page_size").integer(_DIRECTORY.page_size),
        in_flight=node.at("in_flight").integer(_DIRECTORY.in_flight),
        attributes={name: value.text() for name, value in node.at("attributes").entries()},
        taken_attributes=_DIRECTORY.taken_attributes if taken.value is None else tuple(taken.texts()),
        groups=node.at("groups").text(),
        structures=node.at("structures").text(),
    )


def _identity(name: str, node: Node, folder: Path) -> Identity:
    return Identity(
        external=node.at("external").truth(False),
        dn=node.at("dn").text(),
        password_file=_path(node.at("password_file"), folder),
        elsewhere=node.at("elsewhere").truth(False),
        name=name,
    )


_SCHEMES = ("ldap", "ldaps", "ldapi")
_RDN = re.compile(r"\s*[A-Za-z][A-Za-z0-9.-]*\s*=\s*(?:[^\\,+\"<>;=]|\\.|=)+")
_COMMA = re.compile(r"(?<!\\),")


def check_servers(document: Document, directory: Node) -> None:
    """Adds a mistake for each unusable address, and for each that would send a password in the clear."""
    identities = [node for _, node in directory.at("identities").entries()]
    password = any(node.at("password_file").value is not None for node in identities)
    external = any(node.at("external").truth(False) for node in identities)
    starttls = directory.at("tls").at("starttls").truth(False)
    for node in directory.at("servers").text_nodes():
        wrong = _wrong_address(node)
        scheme = node.text().partition("://")[0].lower()
        if wrong:
            document.mistake(node, f"directory.servers: {wrong}")
        elif external and scheme != "ldapi":
            document.mistake(
                node,
                f"directory.servers: an identity with `external: true` needs ldapi://, not {quoted(node)};"
                " give that identity a dn and a password_file",
            )
        elif scheme == "ldap" and password and not starttls and not _is_loopback(node.text()):
            document.mistake(
                node,
                f"directory.servers: {quoted(node)} would carry passwords in the clear;"
                " use ldaps://, or `tls: {starttls: true}`",
            )


def check_identities(document: Document, directory: Node) -> None:
    """Adds a mistake for each identity that is not either EXTERNAL or a DN with a password file."""
    for name, node in directory.at("identities").entries():
        if not isinstance(node.value, dict):
            continue
        label = f"directory.identities.{name}"
        external = node.at("external").truth(False)
        keys = [key for key in ("dn", "password_file") if node.at(key).value is not None]
        if external and keys:
            document.mistake(
                node.at(keys[0]),
                f"{label}: `external: true` goes without {' and '.join(keys)}; keep one of them",
            )
        elif not external and len(keys) < 2:
            lacking = " and ".join(key for key in ("dn", "password_file") if key not in keys)
            document.mistake(
                node, f"{label}: {lacking} is missing; add it, or write `external: true` (over ldapi://)"
            )
        check_dn(document, node.at("dn"), f"{label}.dn")


def check_tree(document: Document, directory: Node) -> None:
    """Adds a mistake if suffix, accounts, state or another place is not a DN, or is not below the suffix."""
    optional = ("groups", "structures")
    names = ("suffix", "accounts", "state", *(key for key in optional if directory.at(key).value is not None))
    places = {key: directory.at(key) for key in names}
    fine = [check_dn(document, node, f"directory.{key}") for key, node in places.items()]
    if not all(fine):
        return
    suffix = _rdns(places["suffix"].text())
    for key in names[1:]:
        node = places[key]
        parts = _rdns(node.text())
        if len(parts) <= len(suffix) or parts[-len(suffix) :] != suffix:
            document.mistake(
                node,
                f"directory.{key}: {quoted(node)} is not below the suffix; write a DN that ends with "
                f"{places['suffix'].text()}, or correct the suffix",
            )


def check_attributes(document: Document, directory: Node) -> None:
    """Adds a mistake if two attributes are renamed to the same one."""
    first: dict[str, str] = {}
    for name, node in directory.at("attributes").entries():
        owner = first.setdefault(node.text().casefold(), name)
        if owner != name and node.text():
            document.mistake(
                node, f"directory.attributes.{name}: {node.text()} is already used for {owner}; name another"
            )


def _rdns(dn: str) -> list[str]:
    """The RDNs of a DN in lower case and without blanks, for comparison."""
    return [re.sub(r"\s*=\s*", "=", part.strip().casefold(), count=1) for part in _COMMA.split(dn)]


def check_dn(document: Document, node: Node, label: str) -> bool:
    """Whether the text of a node is a distinguished name. Adds a mistake if it is not."""
    if not isinstance(node.value, str):
        return False
    for part in _COMMA.split(node.value):
        if not all(_RDN.fullmatch(piece) for piece in re.split(r"(?<!\\)\+", part)):
            document.mistake(
                node, f"{label}: {quoted(node)} is not a distinguished name, such as ou=education,c=fr"
            )
            return False
    return True


def _wrong_address(node: Node) -> str:
    """What is wrong with a server address, or "". The message never shows a possible password."""
    text = node.text()
    if "@" in text:
        return "an address must not contain a user or a password; put them under identities"
    example = "ldapi:///, ldaps://ldap.example.fr or ldap://ldap.example.fr:389"
    try:
        url = urlsplit(text)
        port = url.port if url.scheme != "ldapi" else None
    except ValueError:
        return f"{quoted(node)} is not an address such as {example}"
    if (
        url.scheme not in _SCHEMES
        or "://" not in text
        or url.query
        or url.fragment
        or url.path not in ("", "/")
    ):
        return f"{quoted(node)} is not an address such as {example}"
    if url.scheme != "ldapi" and (not url.hostname or port == 0):
        return f"{quoted(node)} names no host; expected an address such as {example}"
    if url.scheme == "ldapi" and url.netloc and not unquote(url.netloc).startswith("/"):
        return f"{quoted(node)}: write the path of the socket with %2F for /, as in ldapi://%2Frun%2Fslapd%2Fldapi"
    return ""


def _is_loopback(address: str) -> bool:
    host = urlsplit(address).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def read_sources(document: Document, node: Node) -> dict[str, SourceSettings]:
    """The sources by name. Adds to the document the mistakes that the schema cannot find."""
    sources = {name: _source(document, name, source) for name, source in node.entries()}
    _refuse_shared_files(document, node)
    # a supplement has the lowest rank, wherever it is listed
    return dict(sorted(sources.items(), key=lambda item: item[1].supplement))


def _source(document: Document, name: str, node: Node) -> SourceSettings:
    label = f"sources.{name}"
    if name == MANUAL:
        document.mistake(
            node, f"{label}: this name is reserved for changes made by hand; choose another name"
        )
    _check_date_pattern(document, node.at("date_pattern"), label)
    for place in node.at("date_formats").text_nodes():
        _check_date_format(document, place, label)
    constants, columns = node.at("constants"), node.at("columns")
    for column, place in constants.entries():
        if column in dict(columns.entries()):
            document.mistake(
                place, f"{label}.constants.{column}: this column is also under columns; keep one of them"
            )
    _check_format(document, node, label)
    supplement = node.at("role").text("authoritative") == "supplement"
    limits = _limits(node.at("limits"), SourceLimits())
    return SourceSettings(
        name=name,
        full=node.at("kind").text("full") == "full",
        trailer=node.at("trailer").truth(_USUAL_SOURCE.trailer),
        files=tuple(node.at("files").texts()),
        date_pattern=node.at("date_pattern").text(_USUAL_SOURCE.date_pattern),
        delimiter=node.at("delimiter").text(_USUAL_SOURCE.delimiter),
        encoding=node.at("encoding").text(_USUAL_SOURCE.encoding),
        date_formats=tuple(node.at("date_formats").texts()) or _USUAL_SOURCE.date_formats,
        columns=_table(columns),
        values={column: _table(table) for column, table in node.at("values").entries()},
        constants=_table(constants),
        absent_runs=node.at("absent_runs").integer(_USUAL_SOURCE.absent_runs),
        namespace=node.at("namespace").text(_USUAL_SOURCE.namespace),
        format=node.at("format").text(_USUAL_SOURCE.format),
        supplement=supplement,
        creates=node.at("creates").truth(not supplement),
        perimeter={key: ",".join(value.texts()) for key, value in node.at("perimeter").entries()},
        drop_functions=tuple(node.at("drop_functions").texts()),
        empty_values=node.at("empty_values").text(_USUAL_SOURCE.empty_values),
        delta_days=node.at("delta_days").integer(_USUAL_SOURCE.delta_days),
        delta_weekdays=tuple(node.at("delta_weekdays").texts()) or _USUAL_SOURCE.delta_weekdays,
        feed_days=node.at("feed_days").integer(_USUAL_SOURCE.feed_days),
        limits=limits,
        periods=_periods(document, node.at("limits").at("periods"), limits, label),
    )


_OF_CSV = ("trailer", "delimiter", "encoding", "date_formats", "columns")
_OF_SETS = ("perimeter", "drop_functions", "empty_values", "delta_days", "delta_weekdays")


def _check_format(document: Document, node: Node, label: str) -> None:
    """Adds a mistake for a setting that the format of the source does not have."""
    form = node.at("format").text(_USUAL_SOURCE.format)
    entries = dict(node.entries())
    for name in _OF_SETS if form == "csv" else _OF_CSV:
        if name in entries:
            document.mistake(entries[name], f"{label}.{name}: not a setting of the format {form}; remove it")
    if form == "sts" and (node.at("role").text() != "supplement" or node.at("creates").truth(default=False)):
        document.mistake(
            node,
            f"{label}: the format sts makes no accounts; write `role: supplement`, without `creates: true`",
        )
    for name in _OF_SETS if form == "sts" else ():
        if name in entries:
            document.mistake(entries[name], f"{label}.{name}: not a setting of the format sts; remove it")
    if form == "csv" and "kind" not in entries:
        expected = "expected full (a feed lists everyone) or delta"
        document.mistake(node, f"kind is missing in {label}; {expected}")
    if form != "csv" and node.at("kind").text("full") != "full":
        document.mistake(
            entries["kind"],
            f"{label}.kind: the format {form} is read as complete sets; write full, or remove it",
        )


def _table(node: Node) -> dict[str, str]:
    return {key: value.text() for key, value in node.entries()}


def _limits(node: Node, usual: SourceLimits) -> SourceLimits:
    return SourceLimits(
        bad_share=node.at("bad_share").number(usual.bad_share),
        bad_floor=node.at("bad_floor").integer(usual.bad_floor),
        known_share=node.at("known_share").number(usual.known_share),
        known_floor=node.at("known_floor").integer(usual.known_floor),
        size_share=node.at("size_share").number(usual.size_share),
        size_floor=node.at("size_floor").integer(usual.size_floor),
        column_share=node.at("column_share").number(usual.column_share),
        column_floor=node.at("column_floor").integer(usual.column_floor),
        held_share=node.at("held_share").number(usual.held_share),
        held_floor=node.at("held_floor").integer(usual.held_floor),
        max_rows=node.at("max_rows").integer(usual.max_rows),
        max_bytes=node.at("max_bytes").integer(usual.max_bytes),
        max_field=node.at("max_field").integer(usual.max_field),
    )


def _periods(document: Document, node: Node, usual: SourceLimits, label: str) -> tuple[LimitsPeriod, ...]:
    """The periods; a limit that a period does not set is the one outside periods."""
    return tuple(
        LimitsPeriod(
            name,
            day_of_year(document, period.at("from"), f"{label}.limits.periods.{name}.from"),
            day_of_year(document, period.at("to"), f"{label}.limits.periods.{name}.to"),
            _limits(period, usual),
        )
        for name, period in node.entries()
    )


def _check_date_pattern(document: Document, node: Node, label: str) -> None:
    if not isinstance(node.value, str):
        return
    try:
        groups = re.compile(node.value).groupindex
    except (re.error, OverflowError, RecursionError) as error:
        document.mistake(node, f"{label}.date_pattern: not a valid regular expression ({error}); correct it")
        return
    missing = [group for group in _DATE_GROUPS if group not in groups]
    if missing:
        lacking = " and ".join(f"(?P<{group}>...)" for group in missing)
        document.mistake(node, f"{label}.date_pattern: the group {lacking} is missing; add it")


def _check_date_format(document: Document, node: Node, label: str) -> None:
    text = node.text()
    try:
        # newer Pythons warn about a format without a year before they refuse it
        has_year = any(word in text for word in ("%Y", "%y", "%G", "%D", "%x", "%c"))
        good = has_year and datetime.strptime(_TRIAL.strftime(text), text) == _TRIAL  # noqa: DTZ007 a civil day
    except (ValueError, re.error):
        good = False
    if not good:
        document.mistake(
            node,
            f"{label}.date_formats: {quoted(node)} must contain a day, a month and a year, such as %d/%m/%Y",
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
                    f"sources.{name}.files: {quoted(place)} is also a pattern of source {owner}; keep one",
                )
