"""Staged changes: what the people of earlier chunks need, kept until the plan is assembled."""

from __future__ import annotations

import pickle
import struct
from array import array
from collections.abc import Collection, Iterator
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

from piactl.core.plan.change import Change
from piactl.core.rules.address_allocation import Claim
from piactl.core.rules.desired import Desired
from piactl.flows.plan.ready_plan import AccountWrite
from piactl.private_files import NamelessFile

IN_MEMORY = 40_000
"""Values that a spool holds as they are; the rest goes to disk."""

_LENGTH = struct.Struct("<I")

T = TypeVar("T")


class Spool(Generic[T]):
    """Values found again by number: in memory while they are few, then on disk.

    `folder` and the errors are those of NamelessFile.
    """

    def __init__(self, folder: Path) -> None:
        self._file = NamelessFile(folder)
        self._held: list[T] = []
        self._places = array("Q")

    def add(self, value: T) -> int:
        """Keeps a value; returns its number."""
        number = len(self._held) + len(self._places)
        if number < IN_MEMORY:
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


@dataclass(frozen=True, slots=True)
class ChangedRow:
    """What one account needs. `home` is the number of where it will count in the census, `pending` its key
    and the cache entry that is expected for it (see `NextCache.pending`)."""

    write: AccountWrite
    changes: tuple[Change, ...]
    home: int
    pending: tuple[str, bytes] | None


class StagedChanges:
    """Changes and new accounts. What orders the plan stays in memory, the rest may go to `folder` (see
    Spool).

    `changed` has, by key, the cache entry of each account as it is before the run.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.changed: dict[str, bytes] = {}
        self._rows: Spool[ChangedRow] = Spool(folder)
        self._order: list[tuple[bool, str, str, int]] = []
        self._newcomers: Spool[Desired] = Spool(folder)
        self._new: set[str] = set()
        self._matricules: list[str] = []
        self._bases: list[str] = []
        self._uids: list[str] = []
        self._firsts = array("I")

    def __contains__(self, key: object) -> bool:
        return key in self.changed or key in self._new

    def __len__(self) -> int:
        return len(self.changed) + len(self._new)

    def add_changed(self, key: str, before: bytes, row: ChangedRow) -> int:
        """Stages the change of an account; returns its number."""
        self.changed[key] = before
        number = self._rows.add(row)
        self._order.append((not row.write.loses, row.write.uid, key, number))
        return number

    def account(self, number: int) -> tuple[str, str]:
        """The uid and the key of a changed account."""
        return self._order[number][1:3]

    def add_newcomer(self, matricule: str, desired: Desired, claim: Claim) -> int:
        """Stages a new account, still without a name; returns its number. `matricule` is not copied, because
        other parts hold the same text."""
        self._new.add(matricule)
        self._matricules.append(matricule)
        self._bases.append(claim.base)
        # mostly ""
        self._uids.append(claim.uid)
        self._firsts.append(claim.first)
        # the HR data of the person, with the NUMEN, are in the account by now
        subject = replace(desired.subject, person=None)
        return self._newcomers.add(replace(desired, subject=subject))

    def without(self, keys: Collection[str], newcomers: Collection[int]) -> StagedChanges:
        """The same without the changes of these keys and these newcomers, by number."""
        left = copy(self)
        left.changed = {key: entry for key, entry in self.changed.items() if key not in keys}
        left._new = self._new - {self._matricules[number] for number in newcomers}
        return left

    def changed_rows(self) -> Iterator[ChangedRow]:
        """In the order of a plan."""
        order = sorted(self._order)
        return (self._rows[number] for _, _, key, number in order if key in self.changed)

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

    def newcomer(self, number: int) -> Desired:
        return self._newcomers[number]
