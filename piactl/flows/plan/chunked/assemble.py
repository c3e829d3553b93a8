"""Putting a plan together where what many people need was set aside: row by row, in the order of the plan."""

from __future__ import annotations

import heapq
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from piactl.core.plan.guards import Census, Tally
from piactl.core.rules.address_allocation import addressed
from piactl.flows.plan.chunked.staging import Aside
from piactl.flows.plan.incremental.unchanged import Settling
from piactl.flows.plan.rows.entry_diff import Differing, Row, place_of
from piactl.flows.plan.rows.json_lines import Lines
from piactl.flows.plan.rows.serialize import PlannedChanges, PlannedWrites, add_row

_TICK = 5_000


@dataclass(slots=True)
class Names:
    """The uids and the local parts that newcomers get, and their numbers in the Aside, by uid."""

    uids: list[str] = field(default_factory=list)
    locals: list[str] = field(default_factory=list)
    numbers: array[int] = field(default_factory=lambda: array("I"))

    def give(self, local: str, uid: str, number: int) -> None:
        self.uids.append(uid)
        self.locals.append(local)
        self.numbers.append(number)

    def __iter__(self) -> Iterator[tuple[str, str, int]]:
        for at in sorted(range(len(self.uids)), key=self.uids.__getitem__):
            yield self.uids[at], self.locals[at], self.numbers[at]


class Composing:
    """Makes the rows of a plan out of those that were just made (`looked`) and those set aside.

    `homes` counts, by number, where the accounts set aside will count in the census.
    """

    def __init__(
        self, settling: Settling, aside: Aside, differing: Differing, as_of: date, tick: Callable[[], None]
    ) -> None:
        self.settling, self.aside, self.differing = settling, aside, differing
        self.as_of, self.tick = as_of, tick
        self.homes: Counter[int] = Counter()
        self.tally = Tally()

    def composed(
        self, looked: Sequence[Row], names: Names, folder: Path
    ) -> tuple[PlannedChanges, PlannedWrites]:
        changes, writes = Lines(folder), Lines(folder)
        merged = heapq.merge(looked, self._changed(), self._newcomers(names), key=place_of)
        for number, (write, made) in enumerate(merged):
            if number % _TICK == 0:
                self.tick()
            self.tally.add(made)
            add_row(changes, writes, write, made)
        return PlannedChanges(changes), PlannedWrites(writes)

    def census(self, before: Census) -> Census:
        """The census once the accounts set aside are written."""
        marks = self.settling.new
        gone = marks.census(self.aside.changed.values())
        return before.plus(gone, -1).plus(marks.census_at(self.homes))

    def _changed(self) -> Iterator[Row]:
        for row in self.aside.changed_rows():
            self.homes[row.home] += 1
            if row.mark is not None:
                self.settling.written[row.write.uid] = row.mark
            yield row.write, list(row.changes)

    def _newcomers(self, names: Names) -> Iterator[Row]:
        policy = self.differing.rules.policy
        for uid, local, number in names:
            one = addressed(self.aside.newcomer(number), local, uid, policy)
            write = self.differing.write(one)
            if write is None:
                raise AssertionError("an account that is not there takes a write to make")
            self.homes[self.settling.home(one.account, self.as_of)] += 1
            self.settling.foresee(one.account, b"", self.as_of)
            yield self.differing.row(one, write)
