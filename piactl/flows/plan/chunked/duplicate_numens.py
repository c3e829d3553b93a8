"""Who shares a NUMEN among very many people who are looked at some at a time.

Whoever shares one is looked at together with the other. Numbers stand for the digests: they take less memory,
and two digests of one number only make two people be looked at together.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import pairwise


class SharedNumens:
    """Each person's digests are added once, whatever the number of rows and entries that tell them."""

    def __init__(self) -> None:
        self._all = array("q")
        self._apart: dict[str | None, set[int]] = defaultdict(set)
        self._changed = _Owned()
        self._newcomers = _Owned()

    def add(self, digests: Iterable[str]) -> None:
        """Those of one person."""
        self._all.extend(map(hash, digests))

    def add_apart(self, matricule: str | None, digests: Iterable[str]) -> None:
        """Some of those of a person who was put apart; more may follow."""
        self._apart[matricule].update(map(hash, digests))

    def changes(self, number: int, digests: Iterable[str]) -> None:
        """Whose change with this number was set aside: no entry may have yet what the feeds tell."""
        self._changed.add(number, digests)

    def comes(self, number: int, digests: Iterable[str]) -> None:
        """The same of a newcomer."""
        self._newcomers.add(number, digests)

    def find(self) -> Shared:
        """What is shared among all that were added; nothing may be added any more."""
        for numbers in self._apart.values():
            self._all.extend(numbers)
        found = twice(self._all)
        return Shared(found, list(self._changed.of(found)), list(self._newcomers.of(found)))


class Shared:
    """`changed` and `newcomers` are the numbers of those set aside who share a NUMEN."""

    def __init__(self, found: set[int], changed: list[int], newcomers: list[int]) -> None:
        self._found, self.changed, self.newcomers = found, changed, newcomers

    def __bool__(self) -> bool:
        return bool(self._found)

    def __contains__(self, digest: str) -> bool:
        return hash(digest) in self._found


class _Owned:
    def __init__(self) -> None:
        self._digests, self._numbers = array("q"), array("I")

    def add(self, number: int, digests: Iterable[str]) -> None:
        for digest in map(hash, digests):
            self._digests.append(digest)
            self._numbers.append(number)

    def of(self, found: set[int]) -> Iterator[int]:
        pairs = zip(self._digests, self._numbers, strict=True)
        return (number for digest, number in pairs if digest in found)


def twice(numbers: array[int]) -> set[int]:
    """The numbers that stand there more than once."""
    return {one for one, other in pairwise(sorted(numbers)) if one == other}
