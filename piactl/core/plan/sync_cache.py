"""What a run leaves about accounts that needed nothing, so that the next one can pass them by.

An account is settled as long as three things stay as they were: its entry (told by entryCSN, which every
write by any hand moves), what the feeds say of the person (told by a keyed digest of their very lines), and
what the date makes due. Then the rules would say again what they said. All marks are void under another
policy, register or configuration, at another server, and after a run that did not end well.
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
_MARK = struct.Struct("<QQQIIB")
_CSN = struct.Struct("<Q")
WIDTH = _MARK.size
MOST_SOURCES = 8


def csn_digest(csn: bytes) -> int:
    """An entryCSN as a number."""
    return int.from_bytes(blake2b(csn, digest_size=8).digest(), "little")


def name_digest(local: str) -> int:
    """A local part as a number."""
    return int.from_bytes(blake2b(local.lower().encode(), digest_size=8).digest(), "little")


@dataclass(frozen=True, slots=True)
class Mark:
    """`csn` is `csn_digest`, `rows` the digest of the person's lines in the feeds (0: none), `name` the
    `name_digest` of one of the account's names (0: none), `due` the ordinal of the next day on which the date
    changes something (NOTHING_DUE: none), `home` a number in `Marks.homes`, `sources` a bit for each source
    by which the person is known to be assigned."""

    csn: int
    rows: int
    name: int
    due: int
    home: int
    sources: int

    def packed(self) -> bytes:
        return _MARK.pack(self.csn, self.rows, self.name, self.due, self.home, self.sources)

    @classmethod
    def of(cls, packed: bytes) -> Mark:
        return cls(*_MARK.unpack(packed))


def has_csn(packed: bytes, csn: bytes) -> bool:
    """Whether the mark has this entryCSN."""
    return packed.startswith(_CSN.pack(csn_digest(csn)))


def with_csn(packed: bytes, csn: bytes) -> bytes:
    """The mark, with this entryCSN in the place of the one it has."""
    return _CSN.pack(csn_digest(csn)) + packed[_CSN.size :]


Home = tuple[tuple[str, ...], tuple[str, ...]]
"""Where an account counts in the census: establishments and profiles."""

NOT_LIVE: Home = ((), ())
"""The home of number 0."""


@dataclass(slots=True)
class Marks:
    """Marks by key: the matricule, or `uid:` and the uid of an account without one (an archived one).

    `basis` stands for everything that all marks depend on, `as_of` (ordinal) for the day they were made of.
    `sources` are the names of the sources that were fed, in the order of the bits of `Mark.sources`. `server`
    is where the entries were read and written, `run` the run that leaves the marks.
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
        """Every name of the accounts with these marks, which have these keys."""
        more = (names for key, names in self.more_names.items() if key in keys)
        return NameDigests(chain((_MARK.unpack(mark)[2] for mark in packed), *more))

    def census(self, packed: Iterable[bytes]) -> Census:
        """How many live accounts there are among these marks."""
        return self.census_at(Counter(_MARK.unpack(mark)[4] for mark in packed))

    def census_at(self, counts: Mapping[int, int]) -> Census:
        """The census of so many accounts at each home, by its number."""
        total, places, profiles = 0, Counter[str](), Counter[str]()
        for number, count in counts.items():
            if not number:
                continue
            total += count
            for names, into in zip(self.homes[number], (places, profiles), strict=True):
                for name in names:
                    into[name] += count
        return Census(total, dict(places), dict(profiles))

    def known(self, packed: Iterable[bytes]) -> dict[str, int]:
        """How many of these marks each source knows to be assigned."""
        counts = Counter(mark[-1] for mark in packed)
        return {
            name: sum(count for bits, count in counts.items() if bits >> at & 1)
            for at, name in enumerate(self.sources)
        }


class NameDigests:
    """Names of which only the digests are known. Of a thousand thousand names not one in a million million
    looks taken that is not; then its owner gets a digit."""

    def __init__(self, digests: Iterable[int]) -> None:
        self._digests = array("Q", sorted(digests))

    def __contains__(self, local: object) -> bool:
        digest = name_digest(str(local))
        at = bisect_left(self._digests, digest)
        return at < len(self._digests) and self._digests[at] == digest


def key_of(uid: str, matricule: str | None) -> str:
    """The key of an account."""
    return matricule or f"uid:{uid}"
