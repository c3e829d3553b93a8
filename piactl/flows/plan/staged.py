"""What the chunks leave behind: staged changes, kept until the plan is assembled, and the traces of people.

A trace is a NUMEN, an identity or a private address; people in different chunks may have one in common.
Traces are stored as numbers to save memory; if two have the same number, two more people are evaluated
together.
"""

from __future__ import annotations

import heapq
import pickle
import struct
from array import array
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from copy import copy
from itertools import pairwise
from pathlib import Path
from typing import Generic, NamedTuple, Protocol, TypeVar

from piactl.core.plan.guards import AccountCounts
from piactl.core.plan.sync_cache import EntryDraft, Home
from piactl.core.rules.address_allocation import Claim
from piactl.dataclass import dataclass
from piactl.private_files import NamelessFile

IN_MEMORY = 40_000
"""The number of people to evaluate up to which the spools of all processes together hold values in memory,
some 8 KiB each; if there are more people, what is staged goes to disk."""

_LENGTH = struct.Struct("<I")

T = TypeVar("T")


class Spool(Generic[T]):
    """Values that are found by their number: the first `most` in memory, the others on disk.

    `folder` and the errors are as in NamelessFile.
    """

    def __init__(self, folder: Path, most: int) -> None:
        self._file = NamelessFile(folder)
        self._most = most
        self._held: list[T] = []
        self._places = array("Q")

    def add(self, value: T) -> int:
        """Keeps a value; returns its number."""
        number = len(self._held) + len(self._places)
        if number < self._most:
            self._held.append(value)
        else:
            text = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
            self._places.append(self._file.add(_LENGTH.pack(len(text)) + text))
        return number

    def __getitem__(self, number: int) -> T:
        if number < len(self._held):
            return self._held[number]
        place = self._places[number - len(self._held)]
        (length,) = _LENGTH.unpack(self._file.read(place, _LENGTH.size))
        # this process alone has written what it reads here
        value: T = pickle.loads(self._file.read(place + _LENGTH.size, length))  # noqa: S301 # nosec B301
        return value


Place = tuple[bool, bool, str]
"""Where a row comes in a plan: groups last, accounts that lose something first, then by uid."""


class PlannedRow(NamedTuple):
    """A row of the plan as it is written: its changes and its write as canonical JSON. `counts` is what the
    guards count, `home` where the account will count in the census, `draft` the cache entry expected for
    it."""

    place: Place
    changes: tuple[bytes, ...]
    write: bytes
    counts: AccountCounts
    home: Home | None = None
    draft: EntryDraft | None = None


class WantedRow(NamedTuple):
    """A staged row by the number that its maker gave it. A newcomer gets this local part, uid and uidNumber
    (0 for none); `uid` is "" for an existing account."""

    number: int
    local: str = ""
    uid: str = ""
    posix: int = 0


class RowMaker(Protocol):
    """What holds the staged values of some chunks, in this process or in another."""

    def rows(self, wanted: Iterable[WantedRow]) -> Iterator[PlannedRow]:
        """The rows, in the same order."""


@dataclass(slots=True)
class Names:
    """The uids, local parts and uidNumbers (0 for none) that staged newcomers get, with their numbers."""

    uids: list[str]
    locals: list[str]
    posix: array[int]
    numbers: array[int]

    @classmethod
    def none(cls) -> Names:
        return cls([], [], array("I"), array("I"))

    def give(self, local: str, uid: str, number: int, posix: int) -> None:
        self.uids.append(uid)
        self.locals.append(local)
        self.posix.append(posix)
        self.numbers.append(number)

    def order(self) -> array[int]:
        """The positions of the names, by uid."""
        return array("I", sorted(range(len(self.uids)), key=self.uids.__getitem__))


class StagedChanges:
    """Changes and new accounts. What orders the plan is here, the rest is with the `makers`.

    `changed` has, by key, the cache entry of each account as it is before the run.
    """

    def __init__(self, folder: Path, makers: Sequence[RowMaker]) -> None:
        self.folder, self.makers = folder, makers
        self.changed: dict[str, bytes] = {}
        self._order: list[tuple[bool, str, str, int, int]] = []
        self._new: set[str] = set()
        self._matricules: list[str] = []
        self._bases: list[str] = []
        self._uids: list[str] = []
        self._firsts = array("I")
        self._makers, self._numbers = array("H"), array("I")

    def __contains__(self, key: object) -> bool:
        return key in self.changed or key in self._new

    def __len__(self) -> int:
        return len(self.changed) + len(self._new)

    def add_changed(self, key: str, uid: str, before: bytes, maker: int, number: int, *, loses: bool) -> int:
        """Stages the change of an account, which its maker has under a number; returns its number here."""
        self.changed[key] = before
        self._order.append((not loses, uid, key, maker, number))
        return len(self._order) - 1

    def account(self, number: int) -> tuple[str, str]:
        """The uid and the key of a changed account."""
        return self._order[number][1:3]

    def matricule(self, number: int) -> str:
        """The matricule of a newcomer."""
        return self._matricules[number]

    def add_newcomer(self, claim: Claim, maker: int, number: int) -> int:
        """Stages a new account, still without a name, which its maker has under a number; returns its number
        here."""
        self._new.add(claim.matricule)
        self._matricules.append(claim.matricule)
        self._bases.append(claim.base)
        # mostly ""
        self._uids.append(claim.uid)
        self._firsts.append(claim.first)
        self._makers.append(maker)
        self._numbers.append(number)
        return len(self._matricules) - 1

    def without(self, keys: Collection[str], newcomers: Collection[int]) -> StagedChanges:
        """The same without the changes of these keys and these newcomers, by number."""
        remaining = copy(self)
        remaining.changed = {key: entry for key, entry in self.changed.items() if key not in keys}
        remaining._new = self._new - {self._matricules[number] for number in newcomers}
        return remaining

    def claims(self) -> Iterator[tuple[Claim, int]]:
        """The claims of the newcomers in their order, with their numbers."""
        firsts, matricules = self._firsts, self._matricules
        numbers = [number for number, matricule in enumerate(matricules) if matricule in self._new]
        # one after the other: pairs of both would take twice the memory
        numbers.sort(key=matricules.__getitem__)
        numbers.sort(key=firsts.__getitem__)
        for number in numbers:
            claim = Claim(firsts[number], matricules[number], self._bases[number], self._uids[number])
            yield claim, number

    def rows(self, names: Names) -> Iterator[PlannedRow]:
        """The rows in the order of a plan."""
        changed = sorted(change for change in self._order if change[2] in self.changed)
        order = names.order()

        def wanted(maker: int) -> Iterator[tuple[tuple[bool, str], WantedRow]]:
            existing = (((keeps, uid), WantedRow(n)) for keeps, uid, _, m, n in changed if m == maker)
            new = (
                (
                    (True, names.uids[position]),
                    WantedRow(
                        self._numbers[n], names.locals[position], names.uids[position], names.posix[position]
                    ),
                )
                for position in order
                if self._makers[n := names.numbers[position]] == maker
            )
            return heapq.merge(existing, new)

        rows = [maker.rows(wanted_row for _, wanted_row in wanted(m)) for m, maker in enumerate(self.makers)]
        return heapq.merge(*rows, key=lambda row: row.place)


class SharedTraces:
    """Finds the traces that several people share. Those of one person are added once, however many rows and
    entries have them."""

    def __init__(self) -> None:
        self._all = array("q")
        self._apart: dict[str | None, set[int]] = defaultdict(set)
        self._accounts = _Owned("q")
        self._changed = _Owned("I")
        self._newcomers = _Owned("I")

    def add(self, traces: Iterable[str], key: str = "") -> None:
        """Adds the traces of one person, who has the account of this key or none."""
        self._all.extend(map(hash, traces))
        if key:
            self._accounts.add(hash(key), traces)

    def add_apart(self, matricule: str | None, traces: Iterable[str]) -> None:
        """Adds traces of a person who is evaluated jointly; more may follow."""
        self._apart[matricule].update(map(hash, traces))

    def changes(self, number: int, traces: Iterable[str]) -> None:
        """Adds the traces of the staged change with this number; its entry may not have them yet."""
        self._changed.add(number, traces)

    def comes(self, number: int, traces: Iterable[str]) -> None:
        """Adds the traces of the staged newcomer with this number."""
        self._newcomers.add(number, traces)

    def extend(self, other: SharedTraces, changed: Sequence[int], newcomers: Sequence[int]) -> None:
        """Adds the traces of `other`; a staged change or newcomer that has the number n there gets the number
        `changed[n]` or `newcomers[n]`."""
        self._all.extend(other._all)
        self._accounts.extend(other._accounts)
        for matricule, digests in other._apart.items():
            self._apart[matricule].update(digests)
        self._changed.extend(other._changed, changed.__getitem__)
        self._newcomers.extend(other._newcomers, newcomers.__getitem__)

    def find(self) -> Shared:
        """Who shares a trace with somebody else. Nothing may be added afterwards."""
        for numbers in self._apart.values():
            self._all.extend(numbers)
        shared = twice(self._all)
        return Shared(*({*owned.of(shared)} for owned in (self._accounts, self._changed, self._newcomers)))


class Shared(NamedTuple):
    """Who has a shared trace: the hashes of the keys of accounts, and the numbers of staged changes and
    newcomers."""

    accounts: set[int]
    changed: set[int]
    newcomers: set[int]


class _Owned:
    """Digests, each with the number of its owner, in arrays; `numbers` is the type code of these numbers."""

    def __init__(self, numbers: str) -> None:
        self._digests, self._numbers = array("q"), array(numbers)

    def add(self, number: int, traces: Iterable[str]) -> None:
        for digest in map(hash, traces):
            self._digests.append(digest)
            self._numbers.append(number)

    def extend(self, other: _Owned, number_here: Callable[[int], int] | None = None) -> None:
        self._digests.extend(other._digests)
        self._numbers.extend(map(number_here, other._numbers) if number_here else other._numbers)

    def of(self, shared: set[int]) -> Iterator[int]:
        pairs = zip(self._digests, self._numbers, strict=True)
        return (number for digest, number in pairs if digest in shared)


def twice(numbers: array[int]) -> set[int]:
    """The numbers that occur more than once."""
    return {number for number, following in pairwise(sorted(numbers)) if number == following}
