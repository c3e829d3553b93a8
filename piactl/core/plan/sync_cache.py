"""The sync cache lets a run skip accounts that have not changed since the last run.

A cache entry is valid while three things are unchanged: the entry (every write changes its entryCSN), the
lines of the person in the feeds (by a keyed digest), and the due date. The rules then give the same result,
whatever runs were made in between on any host: a change of an account changes its entryCSN, and people with
further state in the records are always evaluated (`Memory.pending`). The whole cache is void if the policy,
the register, the configuration or the server has changed, if the directory does not know the run that wrote
the cache (a restored directory), and after a run that failed.
"""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Container, Iterable, Mapping
from dataclasses import field
from hashlib import blake2b
from itertools import chain
from operator import itemgetter
from sys import intern
from typing import NamedTuple

from piactl.core.plan.guards import Census
from piactl.dataclass import dataclass

NOTHING_DUE = 0
_ENTRY = struct.Struct("<QQQIIB")
"""A cache entry: `csn_digest`; the digest of the person's lines in the feeds (0: none); the `name_digest` of
one name of the account (0: none); the ordinal of the next day on which the date changes the account or its
home (NOTHING_DUE: none); a number in `SyncCache.homes`; one bit for each source that has an assignment."""
_CSN = struct.Struct("<Q")
_NAME, _HOME = itemgetter(slice(16, 24)), itemgetter(slice(-5, -1))
WIDTH = _ENTRY.size
MOST_SOURCES = 8
_BY_UID = "uid:"


def csn_digest(csn: bytes) -> int:
    """An entryCSN as a number."""
    return int.from_bytes(blake2b(csn, digest_size=8).digest(), "little")


def name_digest(local: str) -> int:
    """A local part as a number."""
    return int.from_bytes(blake2b(local.lower().encode(), digest_size=8).digest(), "little")


def holds(packed: bytes, rows: Mapping[str, int], key: str, today: int, csn: bytes | None) -> bool:
    """Whether the cache entry of a key is valid on a day (an ordinal), given the digests of all people in the
    feeds and the entryCSN (None: unchanged)."""
    entry_csn, entry_rows, _, due, _, _ = _ENTRY.unpack(packed)
    return (
        entry_rows == (0 if key.startswith(_BY_UID) else rows.get(key, 0))
        and (due == NOTHING_DUE or due > today)
        and (csn is None or entry_csn == csn_digest(csn))
    )


def has_csn(packed: bytes, csn: bytes) -> bool:
    """Whether the cache entry is for this entryCSN."""
    return packed.startswith(_CSN.pack(csn_digest(csn)))


def with_csn(packed: bytes, csn: bytes) -> bytes:
    """The cache entry with another entryCSN."""
    return _CSN.pack(csn_digest(csn)) + packed[_CSN.size :]


@dataclass(frozen=True, slots=True)
class Seen:
    """The accounts that a run saw in the directory: the cookie of content synchronization (RFC 4533) from
    before it read them, "" if the server has none; their entryUUIDs, 16 bytes each; and how many `nights` ago
    all of them were read."""

    cookie: str = ""
    uuids: bytes = field(default=b"", repr=False)
    nights: int = 0


Home = tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]
"""The scopes in which the census counts an account: establishments, profiles and services."""

NOT_LIVE: Home = ((), (), ())
"""The home of number 0."""


class EntryDraft(NamedTuple):
    """The cache entry of an account whose home has no number yet; the home is None unless the account is
    live. `names` are the digests of all its names, the other fields those of a cache entry."""

    key: str
    csn: int
    rows: int
    names: tuple[int, ...]
    due: int
    home: Home | None
    sources: int


@dataclass(slots=True)
class SyncCache:
    """Cache entries by key: the matricule, or `uid:` and the uid of an account without one (an archived one).

    `basis` is a digest of everything that all entries depend on, `as_of` the ordinal of the day of the run.
    `sources` are the names of the sources, in the order of the bits of a cache entry. `server` is the
    server the accounts were read from and written to, `run` the run that wrote the cache.
    """

    basis: str
    as_of: int
    sources: tuple[str, ...]
    server: str = ""
    run: str = ""
    homes: list[Home] = field(default_factory=lambda: [NOT_LIVE])
    packed: dict[str, bytes] = field(default_factory=dict, repr=False)
    seen: Seen = field(default_factory=Seen)
    others: list[str] = field(default_factory=list, repr=False)
    """The keys of the accounts that were seen and have no entry here."""
    more_names: dict[str, list[int]] = field(default_factory=dict, repr=False)
    """The other names of the accounts that have several, by key as in `packed`."""
    _numbers: dict[Home, int] = field(default_factory=dict, repr=False)
    _names: dict[tuple[str, ...], tuple[str, ...]] = field(default_factory=dict, repr=False)

    def pack(self, draft: EntryDraft) -> bytes:
        """The entry of a draft; its names beyond the first go to `more_names` at once."""
        name, *more_names = draft.names or (0,)
        self.more_names.pop(draft.key, None)
        if more_names:
            self.more_names[draft.key] = more_names
        home = self.number(draft.home)
        return _ENTRY.pack(draft.csn, draft.rows, name, draft.due, home, draft.sources)

    def number(self, home: Home | None) -> int:
        """The number of a home; 0 for None, an account that is not live."""
        if home is None:
            return 0
        if not self._numbers:
            self._numbers.update({home: number for number, home in enumerate(self.homes) if number})
        number = self._numbers.get(home)
        if number is None:
            # a home from another process has its own copies of the names: keep one copy of each
            establishments, profiles, services = (tuple(map(intern, names)) for names in home)
            shared = (establishments, self._same(profiles), self._same(services))
            number = self._numbers[shared] = len(self.homes)
            self.homes.append(shared)
        return number

    def _same(self, names: tuple[str, ...]) -> tuple[str, ...]:
        return self._names.setdefault(names, names)

    def names(self, packed: Iterable[bytes], keys: Container[str], also: Iterable[int] = ()) -> NameDigests:
        """The digests of all names of the accounts with these cache entries and keys, and `also`."""
        digests = array("Q")
        digests.frombytes(b"".join(map(_NAME, packed)))
        digests.extend(chain(*(names for key, names in self.more_names.items() if key in keys), also))
        return NameDigests(digests)

    def census(self, packed: Iterable[bytes]) -> Census:
        """The census of the accounts with these cache entries."""
        homes = Counter(map(_HOME, packed))
        return self.census_at({int.from_bytes(home, "little"): count for home, count in homes.items()})

    def census_at(self, counts: Mapping[int, int]) -> Census:
        """The census of these numbers of accounts by number of home."""
        total, belonging = 0, (Counter[str](), Counter[str](), Counter[str]())
        for number, count in counts.items():
            if not number:
                continue
            total += count
            for names, into in zip(self.homes[number], belonging, strict=True):
                for name in names:
                    into[name] += count
        return Census(total, *map(dict, belonging))

    def known(self, packed: Iterable[bytes]) -> dict[str, int]:
        """How many of these accounts have an assignment from each source."""
        counts = Counter(map(itemgetter(-1), packed))
        return {
            name: sum(count for bits, count in counts.items() if bits >> bit & 1)
            for bit, name in enumerate(self.sources)
        }


class NameDigests:
    """A set of names stored as digests. Among a million names, a free name looks taken once in about 10**13
    look-ups; that account then gets a digit."""

    def __init__(self, digests: Iterable[int]) -> None:
        self._digests, self._sorted = array("Q", digests), False

    def __contains__(self, local: object) -> bool:
        if not self._sorted:  # many runs look nothing up
            self._digests, self._sorted = array("Q", sorted(self._digests)), True
        digest = name_digest(str(local))
        index = bisect_left(self._digests, digest)
        return index < len(self._digests) and self._digests[index] == digest


def uid_of(key: str) -> str:
    """The uid in the key of an account without a matricule, "" for any other key."""
    return key.removeprefix(_BY_UID) if key.startswith(_BY_UID) else ""


def key_of(uid: str, matricule: str | None) -> str:
    """The key of an account."""
    return matricule or f"{_BY_UID}{uid}"
