"""Compares servers value by value: accounts, devices, the records of piactl, and the state of passwords."""

from __future__ import annotations

import hashlib
import heapq
import secrets
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import field, replace
from itertools import islice
from operator import itemgetter
from pathlib import Path

from piactl.core.model.settings import DirectorySettings
from piactl.core.text import counted
from piactl.dataclass import dataclass
from piactl.directory import filters
from piactl.directory.client.connection import Password
from piactl.directory.dn import normal_dn, same_dn, under
from piactl.directory.open import open_reader
from piactl.directory.port import RawEntry, Reader, Values
from piactl.directory.store.attribute_map import ACCOUNT_CLASS, Encoding
from piactl.directory.store.records import IN_RECORD, Places
from piactl.directory.store.replicated_values import (
    CSN,
    REPLICATED,
    compared_values,
    differing_attributes,
)
from piactl.errors import PiactlError, UsageError
from piactl.private_files import NamelessFile

SERVER_CSN = "contextCSN"

ACCOUNT, DEVICE, RECORD = "account", "device", "record"
_BLOCK = 20_000
"""The number of digests sorted in memory at a time."""
_LENGTH = 16
_IN_ACCOUNTS = filters.any_of(filters.equals("objectClass", ACCOUNT_CLASS), IN_RECORD)

Stamped = tuple[str, bytes]
"""The normal DN of an entry and a keyed digest of its values."""


@dataclass(frozen=True, slots=True)
class Scope:
    """The compared entries: below the base of the accounts and below the state entry, without the run
    lock; all entries below the bases `whole`."""

    accounts: str
    state: str
    encoding: Encoding
    whole: tuple[str, ...] = ()

    @classmethod
    def of_runs(cls, directory: DirectorySettings, encoding: Encoding) -> Scope:
        """Everything that runs write."""
        bases = tuple(base for base in (directory.groups, directory.structures) if base)
        return cls(directory.accounts, directory.state, encoding, bases)

    @property
    def attributes(self) -> tuple[str, ...]:
        # `*` does not include the operational attributes
        return tuple(dict.fromkeys(["*", *self.encoding.attributes, *REPLICATED, CSN]))

    def entries(self, reader: Reader, attributes: Sequence[str]) -> Iterator[RawEntry]:
        lock = normal_dn(Places(self.state).lock)
        yield from reader.search(self.accounts, _IN_ACCOUNTS, attributes)
        for entry in reader.search(self.state, IN_RECORD, attributes):
            if normal_dn(entry.dn) != lock:
                yield entry
        for base in self.whole:
            yield from reader.search(base, filters.ANY_ENTRY, attributes)

    def entry(self, reader: Reader, dn: str) -> RawEntry | None:
        return reader.read(dn, self.attributes)

    def kind(self, dn: str) -> str:
        """The kind of an entry, by its place: account, device or record."""
        if under(dn, self.state):
            return RECORD
        return ACCOUNT if same_dn(dn.partition(",")[2], self.accounts) else DEVICE


@dataclass(frozen=True, slots=True)
class Difference:
    """An entry that differs between servers. `lacking` are the servers without it, `attributes` the names
    that differ between the others. `coming`: by its contextCSN, a server has not yet received the last
    write."""

    dn: str
    kind: str
    lacking: tuple[str, ...]
    attributes: tuple[str, ...]
    coming: bool


class SortedStamps:
    """The stamps of the entries of one server, sorted by DN; blocks of them are stored in `folder`."""

    def __init__(self, entries: Iterator[tuple[str, bytes]], folder: Path) -> None:
        self._file = NamelessFile(folder)
        self._blocks: list[tuple[int, int]] = []
        block: list[Stamped] = []
        for dn, digest in entries:
            block.append((normal_dn(dn), digest))
            if len(block) == _BLOCK:
                self._put(block)
        self._put(block)

    def _put(self, block: list[Stamped]) -> None:
        block.sort()
        start = len(self._file)
        for dn, digest in block:
            name = dn.encode()
            self._file.add(len(name).to_bytes(4, "big") + name + digest)
        self._blocks.append((start, len(self._file)))
        block.clear()

    def __iter__(self) -> Iterator[Stamped]:
        return heapq.merge(*(self._read(start, end) for start, end in self._blocks))

    def _read(self, offset: int, end: int) -> Iterator[Stamped]:
        while offset < end:
            length = int.from_bytes(self._file.read(offset, 4), "big")
            line = self._file.read(offset + 4, length + _LENGTH)
            yield line[:length].decode(), line[length:]
            offset += 4 + length + _LENGTH


def _digest(values: Values, key: bytes) -> bytes:
    text = repr(sorted((name, sorted(own)) for name, own in values.items()))
    return hashlib.blake2b(text.encode(), key=key, digest_size=_LENGTH).digest()


def differences(
    readers: Mapping[str, Reader],
    scope: Scope,
    suffix: str,
    folder: Path,
    counts: Counter[str],
    *,
    by_csn: bool = False,
) -> Iterator[Difference]:
    """The entries that differ between the servers, by DN. Adds the number of entries of each kind to
    `counts`.

    `readers` are by URI. An entry that is equal when read again counts as equal: it was being written. With
    `by_csn`, only the entryCSN is read first, and entries with the same entryCSN count as equal.
    """
    key = secrets.token_bytes(32)

    def digests_of(reader: Reader) -> Iterator[tuple[str, bytes]]:
        for entry in scope.entries(reader, [CSN] if by_csn else scope.attributes):
            yield entry.dn, _digest(entry.values if by_csn else compared_values(entry), key)

    def stamped(uri: str, stamps: SortedStamps) -> Iterator[tuple[str, str, bytes]]:
        for dn, digest in stamps:
            yield dn, uri, digest

    stamps = [stamped(uri, SortedStamps(digests_of(reader), folder)) for uri, reader in readers.items()]
    current = ""
    digests: dict[str, bytes] = {}
    for dn, uri, digest in heapq.merge(*stamps, key=itemgetter(0)):
        if dn != current:
            yield from _differing(current, digests, readers, scope, suffix, counts)
            current, digests = dn, {}
        digests[uri] = digest
    yield from _differing(current, digests, readers, scope, suffix, counts)


def _differing(
    dn: str,
    digests: Mapping[str, bytes],
    readers: Mapping[str, Reader],
    scope: Scope,
    suffix: str,
    counts: Counter[str],
) -> Iterator[Difference]:
    if not digests:
        return
    counts[scope.kind(dn)] += 1
    if len(digests) == len(readers) and len(set(digests.values())) == 1:
        return
    entries = {uri: scope.entry(reader, dn) for uri, reader in readers.items()}
    present = [entry for entry in entries.values() if entry is not None]
    lacking = tuple(uri for uri, entry in entries.items() if entry is None)
    names = differing_attributes(present)
    if present and (lacking or names):
        coming = _coming(entries, readers, suffix)
        yield Difference(present[0].dn, scope.kind(dn), lacking, names, coming)


def _coming(entries: Mapping[str, RawEntry | None], readers: Mapping[str, Reader], suffix: str) -> bool:
    """Whether, by its contextCSN, a server has not received the newest write of an entry."""
    newest = max((entry.text(CSN) for entry in entries.values() if entry is not None), default="")
    return any(
        not _reached(server_csns(reader, suffix), newest)
        for uri, reader in readers.items()
        if (entry := entries[uri]) is None or entry.text(CSN) != newest
    )


def _reached(csns: Sequence[str], newest: str) -> bool:
    """Whether the server has reached this CSN of a provider; yes if it has no CSN of that provider."""
    provider = newest.split("#")[2:3]
    return all(csn >= newest for csn in csns if csn.split("#")[2:3] == provider)


def server_csns(reader: Reader, suffix: str) -> tuple[str, ...]:
    """The contextCSN values of a server, one per provider; empty if it does not replicate."""
    entry = reader.read(suffix, [SERVER_CSN])
    return tuple(sorted(value.decode() for value in entry.values.get(SERVER_CSN, ()))) if entry else ()


def wait_until_equal(readers: Sequence[Reader], suffix: str, patience: float) -> bool:
    """Whether all servers have the same contextCSN, now or within `patience` seconds."""
    deadline = time.monotonic() + patience
    while True:
        if len({server_csns(reader, suffix) for reader in readers}) == 1:
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.25)


MOST = 1000
"""The number of differing entries after which a comparison by entryCSN stops: each is read again from all
servers."""


def first_differences(
    readers: Mapping[str, Reader], scope: Scope, suffix: str, folder: Path
) -> list[Difference]:
    """The first entries that differ, of those that do not have the same entryCSN everywhere."""
    return list(islice(differences(readers, scope, suffix, folder, Counter(), by_csn=True), MOST))


def unequal_servers(
    own: Reader, settings: DirectorySettings, identity: str, password: Password, scope: Scope, folder: Path
) -> list[str]:
    """A sentence for each other server of the list with entries that differ from those of `own`, although
    replication has nothing more to bring. Raises DirectoryUnreachable."""
    server, sentences = own.facts().uri, []
    for uri in settings.servers:
        if uri == server:
            continue
        with open_reader(replace(settings, servers=(uri,)), identity, password) as other:
            readers = {server: own, uri: other}
            wrong = [
                difference
                for difference in first_differences(readers, scope, settings.suffix, folder)
                if not difference.coming
            ]
        if wrong:
            entries = counted(len(wrong), "entry differs", "entries differ")
            first = f"{wrong[0].dn}{', ...' if wrong[1:] else ''}"
            sentences.append(f"{uri}: {entries} there ({first}): see piactl doctor --compare")
    return sentences


PATIENCE = 30.0
"""The seconds in which servers may catch up before they are compared."""
SHOWN = 20
"""The number of differences that are listed one by one."""
_ORDER = ("administrator", "nightly", "reader")
"""The identities, the one with the most read rights first: not all of them can read undo logs."""


@dataclass(slots=True)
class Comparison:
    """The result of a comparison. `entries` and `differing` are numbers by kind, `coming` the number of
    differing entries that replication has not delivered yet, `first` the first differences. `level`: all
    servers had the same contextCSN before the comparison."""

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
    """Compares all servers of the list; `folder` is for what exceeds the memory. Changes nothing. Raises
    UsageError if there is only one server, DirectoryUnreachable for the first one that cannot be read."""
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
        for difference in differences(readers, scope, settings.suffix, folder, comparison.entries):
            comparison.differing[difference.kind] += 1
            comparison.coming += difference.coming
            if len(comparison.first) < SHOWN:
                comparison.first.append(difference)
    return comparison


def _identity(settings: DirectorySettings, password: Password) -> str:
    """The first of the identities whose password this user may read."""
    names = [name for name in _ORDER if name in settings.identities]
    for name in names[:-1]:
        try:
            password(settings.identities[name])
        except PiactlError:
            continue
        return name
    return names[-1]
