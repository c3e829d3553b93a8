"""The sync cache: what a run leaves about unchanged accounts, so that the next run can skip them.

A cache entry is valid as long as three things are unchanged: the entry (its entryCSN moves with every write),
the lines of the person in the feeds (by a keyed digest), and what the date makes due. The rules then give the
same result, whichever runs were made in between and on whichever host: what a run changes of an account moves
its entryCSN, and what it leaves to be remembered of a person is in the records, whose people every run
evaluates (`Memory.pending`). The whole cache is void under another policy, register or configuration, at
another server, in a directory that does not know the run that left it, such as a restored one, and after a
run that did not end well.
"""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import chain

from piactl.core.plan.guards import Census

NOTHING_DUE = 0
_ENTRY = struct.Struct("<QQQIIB")
_CSN = struct.Struct("<Q")
WIDTH = _ENTRY.size
MOST_SOURCES = 8


def csn_digest(csn: bytes) -> int:
    """An entryCSN as a number."""
    return int.from_bytes(blake2b(csn, digest_size=8).digest(), "little")


def name_digest(local: str) -> int:
    """A local part as a number."""
    return int.from_bytes(blake2b(local.lower().encode(), digest_size=8).digest(), "little")


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """`csn` is `csn_digest`, `rows` the digest of the person's lines in the feeds (0: none), `name` the
    `name_digest` of one of the account's names (0: none), `due` the ordinal of the next day on which the date
    changes something of the account or its home (NOTHING_DUE: none), `home` a number in `SyncCache.homes`,
    `sources` a bit for each source by which the person is known to be assigned."""

    csn: int
    rows: int
    name: int
    due: int
    home: int
    sources: int

    def packed(self) -> bytes:
        return _ENTRY.pack(self.csn, self.rows, self.name, self.due, self.home, self.sources)

    @classmethod
    def of(cls, packed: bytes) -> CacheEntry:
        return cls(*_ENTRY.unpack(packed))


def has_csn(packed: bytes, csn: bytes) -> bool:
    """Whether the cache entry has this entryCSN."""
    return packed.startswith(_CSN.pack(csn_digest(csn)))


def with_csn(packed: bytes, csn: bytes) -> bytes:
    """The cache entry, with this entryCSN instead of its own."""
    return _CSN.pack(csn_digest(csn)) + packed[_CSN.size :]


Home = tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]
"""Where an account counts in the census: establishments, profiles and services."""

NOT_LIVE: Home = ((), (), ())
"""The home of number 0."""


@dataclass(slots=True)
class SyncCache:
    """Cache entries by key: the matricule, or `uid:` and the uid of an account without one (an archived one).

    `basis` is a digest of everything that all entries depend on, `as_of` the ordinal of the day of the run.
    `sources` are the names of the sources of the feeds, in the order of the bits of `CacheEntry.sources`.
    `server` is where the accounts were read and written, `run` the run that leaves the cache.
    """

    basis: str
    as_of: int
    sources: tuple[str, ...]
    server: str = ""
    run: str = ""
    homes: list[Home] = field(default_factory=lambda: [NOT_LIVE])
    packed: dict[str, bytes] = field(default_factory=dict, repr=False)
    more_names: dict[str, list[int]] = field(default_factory=dict, repr=False)
    """The other names of the accounts that have several, by key as in `packed`."""
    _numbers: dict[Home, int] = field(default_factory=dict, repr=False)

    def home(self, home: Home, *, live: bool) -> int:
        """The number of a home."""
        if not live:
            return 0
        if not self._numbers:
            self._numbers.update({known: number for number, known in enumerate(self.homes) if number})
        number = self._numbers.setdefault(home, len(self.homes))
        if number == len(self.homes):
            self.homes.append(home)
        return number

    def names(self, packed: Iterable[bytes], keys: Container[str]) -> NameDigests:
        """Every name of the accounts with these cache entries and keys."""
        more = (names for key, names in self.more_names.items() if key in keys)
        return NameDigests(chain((_ENTRY.unpack(entry)[2] for entry in packed), *more))

    def census(self, packed: Iterable[bytes]) -> Census:
        """The census of the accounts with these cache entries."""
        return self.census_at(Counter(_ENTRY.unpack(entry)[4] for entry in packed))

    def census_at(self, counts: Mapping[int, int]) -> Census:
        """The census of so many accounts at each home, by its number."""
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
        """By source, how many of these accounts it knows to be assigned."""
        counts = Counter(entry[-1] for entry in packed)
        return {
            name: sum(count for bits, count in counts.items() if bits >> at & 1)
            for at, name in enumerate(self.sources)
        }


class NameDigests:
    """Names of which only the digests are known. Among a million names, a free one looks taken once in some
    10**13 times; its owner then gets a digit."""

    def __init__(self, digests: Iterable[int]) -> None:
        self._digests = array("Q", sorted(digests))

    def __contains__(self, local: object) -> bool:
        digest = name_digest(str(local))
        at = bisect_left(self._digests, digest)
        return at < len(self._digests) and self._digests[at] == digest


def key_of(uid: str, matricule: str | None) -> str:
    """The key of an account."""
    return matricule or f"uid:{uid}"
