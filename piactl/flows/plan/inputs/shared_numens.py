"""Holds people who share a NUMEN, and finds them across chunks."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import pairwise

from piactl.core.model.digests import NUMEN, DigestKeys
from piactl.core.plan.run_state import Memory
from piactl.flows.plan.inputs.account_index import AccountIndex
from piactl.flows.plan.inputs.merge_feeds import MergedFeeds


def hold_shared_numens(merged: MergedFeeds, index: AccountIndex, memory: Memory, keys: DigestKeys) -> None:
    """Holds both people if one NUMEN has two matricules, because its owner is unknown."""
    owners: dict[str, str] = {}
    waiting = _waiting_numens(merged, memory)
    for matricule, person in merged.people.items():
        if person.numen is None:
            continue
        candidates = keys.candidates(NUMEN, person.numen.reveal())
        waits = next((waiting[c] for c in candidates if c in waiting), matricule)
        entry = index.entry(matricule, keys)
        own = entry.account.uid if entry else None
        uid = next((index.numens[c] for c in candidates if c in index.numens), None)
        other = owners.setdefault(candidates[0], matricule)
        if uid is not None and uid != own:
            merged.hold(matricule, f"its NUMEN is that of the account {uid}, which has another matricule")
            if uid in index.matricules:
                why = f"its NUMEN is also under matricule {matricule}"
                merged.hold(index.matricules[uid], why)
        elif waits != matricule:
            merged.hold(matricule, f"its NUMEN is that of a person in waiting, matricule {waits}")
            merged.hold(waits, f"its NUMEN is also under matricule {matricule}")
        elif other != matricule:
            merged.hold(matricule, f"its NUMEN is also under matricule {other}")
            merged.hold(other, f"its NUMEN is also under matricule {matricule}")


def _waiting_numens(merged: MergedFeeds, memory: Memory) -> dict[str, str]:
    """Digest of the NUMEN -> matricule, for people in waiting who have no NUMEN in the feeds of this run."""
    return {
        waiting.numen_digest: matricule
        for matricule, waiting in memory.waiting.items()
        if waiting.numen_digest and (matricule not in merged.people or merged.people[matricule].numen is None)
    }


# People in different chunks. Digests are stored as numbers to save memory; if two digests have the same
# number, two more people are evaluated together.


class SharedNumens:
    """Finds the NUMENs of several people. The digests of a person are added once, however many rows and
    entries have them."""

    def __init__(self) -> None:
        self._all = array("q")
        self._apart: dict[str | None, set[int]] = defaultdict(set)
        self._changed = _Owned()
        self._newcomers = _Owned()

    def add(self, digests: Iterable[str]) -> None:
        """Adds the digests of one person."""
        self._all.extend(map(hash, digests))

    def add_apart(self, matricule: str | None, digests: Iterable[str]) -> None:
        """Adds digests of a person who is evaluated jointly; more may follow."""
        self._apart[matricule].update(map(hash, digests))

    def changes(self, number: int, digests: Iterable[str]) -> None:
        """Adds the digests of the staged change with this number; its entry may not have them yet."""
        self._changed.add(number, digests)

    def comes(self, number: int, digests: Iterable[str]) -> None:
        """Adds the digests of the staged newcomer with this number."""
        self._newcomers.add(number, digests)

    def find(self) -> Shared:
        """The digests of several people. Nothing may be added afterwards."""
        for numbers in self._apart.values():
            self._all.extend(numbers)
        shared = twice(self._all)
        return Shared(shared, list(self._changed.of(shared)), list(self._newcomers.of(shared)))


class Shared:
    """The shared digests. `changed` and `newcomers` are the numbers of the staged people who have one."""

    def __init__(self, numbers: set[int], changed: list[int], newcomers: list[int]) -> None:
        self._numbers, self.changed, self.newcomers = numbers, changed, newcomers

    def __bool__(self) -> bool:
        return bool(self._numbers)

    def __contains__(self, digest: str) -> bool:
        return hash(digest) in self._numbers


class _Owned:
    def __init__(self) -> None:
        self._digests, self._numbers = array("q"), array("I")

    def add(self, number: int, digests: Iterable[str]) -> None:
        for digest in map(hash, digests):
            self._digests.append(digest)
            self._numbers.append(number)

    def of(self, shared: set[int]) -> Iterator[int]:
        pairs = zip(self._digests, self._numbers, strict=True)
        return (number for digest, number in pairs if digest in shared)


def twice(numbers: array[int]) -> set[int]:
    """The numbers that occur more than once."""
    return {number for number, following in pairwise(sorted(numbers)) if number == following}
