"""`doctor --compare`: whether all servers of the list hold the same."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from dataclasses import field, replace
from pathlib import Path

from piactl.core.model.settings import DirectorySettings
from piactl.dataclass import dataclass
from piactl.directory.client.connection import Password
from piactl.directory.open import open_reader
from piactl.directory.store.attribute_map import Encoding
from piactl.errors import PiactlError, UsageError
from piactl.flows.recover.differences import Difference, Scope, differences, wait_until_equal

PATIENCE = 30.0
"""How many seconds servers have to catch up before they are compared."""
SHOWN = 20
"""So many differences are told one by one."""
_ORDER = ("administrator", "nightly", "reader")
"""The identities by what they may read: not every one sees what runs keep for an undo."""


@dataclass(slots=True)
class Comparison:
    """What the servers have in common. `entries` and `differing` are numbers by kind, `coming` those of the
    differing entries that replication is about to bring, `first` the first differences. `level`: all servers
    had the same contextCSN before they were compared."""

    servers: tuple[str, ...]
    identity: str
    level: bool
    entries: Counter[str] = field(default_factory=Counter)
    differing: Counter[str] = field(default_factory=Counter)
    coming: int = 0
    first: list[Difference] = field(default_factory=list)


def compare_servers(
    settings: DirectorySettings, password: Password, encoding: Encoding, folder: Path
) -> Comparison:
    """Compares all servers of the list; `folder` is where what exceeds the memory goes. Changes nothing.

    Raises UsageError where there is one server only, DirectoryUnreachable for the first one that cannot be
    read.
    """
    servers = tuple(settings.servers)
    if len(servers) < 2:
        raise UsageError("directory.servers has one server only; there is nothing to compare")
    scope = Scope(settings.accounts, settings.state, encoding)
    identity = _identity(settings, password)
    with ExitStack() as stack:
        readers = {
            uri: stack.enter_context(open_reader(replace(settings, servers=(uri,)), identity, password))
            for uri in servers
        }
        level = wait_until_equal(list(readers.values()), settings.suffix, PATIENCE)
        comparison = Comparison(servers, identity, level)
        for one in differences(readers, scope, settings.suffix, folder, comparison.entries):
            comparison.differing[one.kind] += 1
            comparison.coming += one.coming
            if len(comparison.first) < SHOWN:
                comparison.first.append(one)
    return comparison


def _identity(settings: DirectorySettings, password: Password) -> str:
    """The first of the identities whose password this user may read."""
    names = [name for name in _ORDER if name in settings.identities]
    for name in names[:-1]:
        try:
            if file := settings.identities[name].password_file:
                password(file)
        except PiactlError:
            continue
        return name
    return names[-1]
