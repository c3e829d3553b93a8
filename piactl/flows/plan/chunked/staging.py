"""People who were looked at some at a time and need something: what that is, kept until the plan is made."""

from __future__ import annotations

import pickle
import struct
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

from piactl.core.plan.change import Change
from piactl.core.rules.address_allocation import Claim
from piactl.core.rules.desired import Desired
from piactl.flows.plan.rows.bundle import AccountWrite
from piactl.private_files import NamelessFile

# Values kept out of the memory, each found again by its place.

_LENGTH = struct.Struct("<I")

T = TypeVar("T")


class Spool(Generic[T]):
    """`folder` and the errors are those of NamelessFile."""

    def __init__(self, folder: Path) -> None:
        self._file = NamelessFile(folder)

    def add(self, value: T) -> int:
        """Keeps a value; its place."""
        text = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
        return self._file.add(_LENGTH.pack(len(text)) + text)

    def at(self, place: int) -> T:
        """The value at a place."""
        (length,) = _LENGTH.unpack(self._file.read(place, _LENGTH.size))
        # this process alone has written what it reads here
        value: T = pickle.loads(self._file.read(place + _LENGTH.size, length))  # noqa: S301
        return value


@dataclass(frozen=True, slots=True)
class ChangedRow:
    """What one account needs. `home` is the number of where it will count in the census, `mark` its key and
    the mark that is foreseen for it (see `Settling.written`)."""

    write: AccountWrite
    changes: tuple[Change, ...]
    home: int
    mark: tuple[str, bytes] | None


class Aside:
    """In the memory there is of each only what orders the plan; `folder` is for the rest (see NamelessFile).

    `changed` has, by key, the mark of each account as it is before the run.
    """

    def __init__(self, folder: Path) -> None:
        self.changed: dict[str, bytes] = {}
        self._rows: Spool[ChangedRow] = Spool(folder)
        self._order: list[tuple[bool, str, str, int]] = []
        self._newcomers: Spool[Desired] = Spool(folder)
        self._new: set[str] = set()
        self._matricules: list[str] = []
        self._bases: list[str] = []
        self._uids: list[str] = []
        self._firsts = array("I")
        self._places = array("Q")

    def __contains__(self, key: object) -> bool:
        return key in self.changed or key in self._new

    def __len__(self) -> int:
        return len(self.changed) + len(self._new)

    def add_changed(self, key: str, before: bytes, row: ChangedRow) -> int:
        """What an account needs; its number until the rows are put in order."""
        self.changed[key] = before
        self._order.append((not row.write.loses, row.write.uid, key, self._rows.add(row)))
        return len(self._order) - 1

    def account(self, number: int) -> tuple[str, str]:
        """The uid and the key of an account that needs something."""
        return self._order[number][1:3]

    def add_newcomer(self, matricule: str, desired: Desired, claim: Claim) -> int:
        """An account to be made, still without a name; its number. `matricule` is kept as it is given, for
        others keep that very text too."""
        self._new.add(matricule)
        self._matricules.append(matricule)
        self._bases.append(claim.base)
        # mostly there is none of another form
        self._uids.append(claim.uid)
        self._firsts.append(claim.first)
        # what HR said of the person, the NUMEN among it, has gone into the account
        subject = replace(desired.subject, person=None)
        self._places.append(self._newcomers.add(replace(desired, subject=subject)))
        return len(self._places) - 1

    def forget_newcomer(self, number: int) -> None:
        """It has to be looked at together with others."""
        self._new.discard(self._matricules[number])

    def changed_rows(self) -> Iterator[ChangedRow]:
        """In the order of a plan."""
        self._order.sort()
        return (self._rows.at(place) for _, _, key, place in self._order if key in self.changed)

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
        return self._newcomers.at(self._places[number])
