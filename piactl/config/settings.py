"""Reads `piactl.yaml`: paths of this host, the directory, and the layouts of the HR sources."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from piactl.config.directory_settings import (
    check_attributes,
    check_dn,
    check_identities,
    check_servers,
    check_tree,
)
from piactl.config.schema_validation import check_schema
from piactl.config.sources import read_sources
from piactl.config.strict_yaml import Document, Node, read_document
from piactl.core.model.settings import (
    CREDENTIAL,
    DirectorySettings,
    Identity,
    PasswordSettings,
    Settings,
    TlsSettings,
)

_DIRECTORY = DirectorySettings((), "", "", "", {})
_USUAL = Settings("", _DIRECTORY, "", "", "", "", "")


def read_settings(path: Path, *, validated: Collection[str] = ()) -> Settings:
    """The settings in a file. Raises ConfigurationInvalid with every mistake in it, by line and column.

    Relative paths start at the folder of the file; returned paths are absolute. `validated`: see
    `read_policy`.
    """
    document = read_document(path)
    if document.digest not in validated:
        check_schema(document, "configuration")
    settings = _settings(document, path.absolute())
    document.refuse_mistakes()
    return settings


def _settings(document: Document, file: Path) -> Settings:
    root, folder = document.root, file.parent
    return Settings(
        file=str(file),
        directory=_directory(document, root.at("directory"), folder),
        policy_file=_path(root.at("policy"), folder),
        establishments_file=_path(root.at("establishments"), folder),
        keys_file=_path(root.at("keys"), folder),
        journal_file=_path(root.at("journal"), folder),
        state_folder=_path(root.at("state_folder"), folder),
        metrics_file=_path(root.at("metrics"), folder),
        sources=read_sources(document, root.at("sources")),
        any_date=root.at("any_date").truth(_USUAL.any_date),
        strict=root.at("strict").truth(_USUAL.strict),
        lock_seconds=root.at("lock_seconds").integer(_USUAL.lock_seconds),
        keep_undo_days=root.at("keep_undo_days").integer(_USUAL.keep_undo_days),
        keep_runs_days=root.at("keep_runs_days").integer(_USUAL.keep_runs_days),
        lock_hook=tuple(root.at("hooks").at("lock").texts()),
        hook_seconds=root.at("hooks").at("seconds").integer(_USUAL.hook_seconds),
        password=_password(document, root.at("password")),
    )


def _password(document: Document, node: Node) -> PasswordSettings:
    usual = _USUAL.password
    for key in ("policy", "activation_policy"):
        check_dn(document, node.at(key), f"password.{key}")
    return PasswordSettings(
        policy=node.at("policy").text(),
        activation_policy=node.at("activation_policy").text(),
        activation_hours=node.at("activation_hours").integer(usual.activation_hours),
        minimum=node.at("minimum").integer(usual.minimum),
        administrator_minimum=node.at("administrator_minimum").integer(usual.administrator_minimum),
        failures_per_hour=node.at("failures_per_hour").integer(usual.failures_per_hour),
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
        identities={name: _identity(value, folder) for name, value in node.at("identities").entries()},
        tls=TlsSettings(
            _path(tls.at("ca_file"), folder),
            tls.at("starttls").truth(_DIRECTORY.tls.starttls),
            tls.at("strict").truth(_DIRECTORY.tls.strict),
        ),
        connect_timeout=node.at("connect_timeout").integer(_DIRECTORY.connect_timeout),
        operation_timeout=node.at("operation_timeout").integer(_DIRECTORY.operation_timeout),
        page_size=node.at("page_size").integer(_DIRECTORY.page_size),
        in_flight=node.at("in_flight").integer(_DIRECTORY.in_flight),
        attributes={name: value.text() for name, value in node.at("attributes").entries()},
        taken_attributes=_DIRECTORY.taken_attributes if taken.value is None else tuple(taken.texts()),
    )


def _identity(node: Node, folder: Path) -> Identity:
    return Identity(
        external=node.at("external").truth(False),
        dn=node.at("dn").text(),
        password_file=_path(node.at("password_file"), folder),
    )
