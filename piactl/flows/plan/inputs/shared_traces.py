"""Finds people in different chunks who have a trace in common: a NUMEN, an identity, a private address.

Traces are stored as numbers to save memory; if two have the same number, two more people are evaluated
together.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise


class SharedTraces:
    """Finds the traces of several people. Those of a person are added once, however many rows and entries
    have them."""

    def __init__(self) -> None:
        self._all = array("q")
        self._apart: dict[str | None, set[int]] = defaultdict(set)
        self._changed = _Owned()
        self._newcomers = _Owned()

    def add(self, traces: Iterable[str]) -> None:
        """Adds the traces of one person."""
        self._all.extend(map(hash, traces))

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
        """Adds the traces of other people; a staged change or newcomer gets the number that is at its
        number there."""
        self._all.extend(other._all)
        for matricule, digests in other._apart.items():
            self._apart[matricule].update(digests)
        self._changed.extend(other._changed, changed)
        self._newcomers.extend(other._newcomers, newcomers)

    def find(self) -> Shared:
        """The traces of several people. Nothing may be added afterwards."""
        for numbers in self._apart.values():
            self._all.extend(numbers)
        shared = twice(self._all)
        return Shared(shared, list(self._changed.of(shared)), list(self._newcomers.of(shared)))


class Shared:
    """The shared traces. `changed` and `newcomers` are the numbers of the staged people who have one."""

    def __init__(self, numbers: set[int], changed: list[int], newcomers: list[int]) -> None:
        self._numbers, self.changed, self.newcomers = numbers, changed, newcomers

    def __bool__(self) -> bool:
        return bool(self._numbers)

    def __contains__(self, digest: str) -> bool:
        return hash(digest) in self._numbers


class _Owned:
    def __init__(self) -> None:
        self._digests, self._numbers = array("q"), array("I")

    def add(self, number: int, traces: Iterable[str]) -> None:
        for digest in map(hash, traces):
            self._digests.append(digest)
            self._numbers.append(number)

    def extend(self, other: _Owned, numbers: Sequence[int]) -> None:
        self._digests.extend(other._digests)
        self._numbers.extend([numbers[number] for number in other._numbers])

    def of(self, shared: set[int]) -> Iterator[int]:
        pairs = zip(self._digests, self._numbers, strict=True)
        return (number for digest, number in pairs if digest in shared)


def twice(numbers: array[int]) -> set[int]:
    """The numbers that occur more than once."""
    return {number for number, following in pairwise(sorted(numbers)) if number == following}
