"""Assembles the rows of a plan: those just made and the staged ones, in the order of the plan."""

from __future__ import annotations

import heapq
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from piactl.core.plan.guards import Census, Tally
from piactl.core.rules.address_allocation import addressed
from piactl.flows.plan.incremental import NextCache
from piactl.flows.plan.plan_file import Lines, PlannedChanges, PlannedWrites, add_row
from piactl.flows.plan.plan_rows import PlanRows, Row, place_of
from piactl.flows.plan.staged import StagedChanges

_TICK = 5_000


@dataclass(slots=True)
class Names:
    """The uids and the local parts that staged newcomers get, with their numbers."""

    uids: list[str] = field(default_factory=list)
    locals: list[str] = field(default_factory=list)
    numbers: array[int] = field(default_factory=lambda: array("I"))

    def give(self, local: str, uid: str, number: int) -> None:
        self.uids.append(uid)
        self.locals.append(local)
        self.numbers.append(number)

    def __iter__(self) -> Iterator[tuple[str, str, int]]:
        for position in sorted(range(len(self.uids)), key=self.uids.__getitem__):
            yield self.uids[position], self.locals[position], self.numbers[position]


class PlanAssembly:
    """Makes the rows of a plan out of those of the joint evaluation and the staged ones.

    `homes` counts the staged accounts by the number of their home in the census after the run.
    """

    def __init__(
        self,
        cache: NextCache,
        staged: StagedChanges,
        plan_rows: PlanRows,
        tick: Callable[[], None],
    ) -> None:
        self.cache, self.staged, self.plan_rows = cache, staged, plan_rows
        self.as_of, self.tick = plan_rows.rules.as_of, tick
        self.homes: Counter[int] = Counter()
        self.tally = Tally()

    def rows(self, joint: Sequence[Row], names: Names) -> tuple[PlannedChanges, PlannedWrites]:
        """The changes and writes of `joint` and the staged ones, in the order of the plan."""
        changes, writes = Lines(self.staged.folder), Lines(self.staged.folder)
        merged = heapq.merge(joint, self._changed(), self._newcomers(names), key=place_of)
        for number, (write, made) in enumerate(merged):
            if number % _TICK == 0:
                self.tick()
            self.tally.add(made)
            add_row(changes, writes, write, made)
        return PlannedChanges(changes), PlannedWrites(writes)

    def census(self, before: Census) -> Census:
        """The census once the staged changes are written."""
        cache = self.cache.cache
        gone = cache.census(self.staged.changed.values())
        return before.plus(gone, -1).plus(cache.census_at(self.homes))

    def _changed(self) -> Iterator[Row]:
        for row in self.staged.changed_rows():
            self.homes[row.home] += 1
            if row.pending is not None:
                self.cache.pending[row.write.uid] = row.pending
            yield row.write, list(row.changes)

    def _newcomers(self, names: Names) -> Iterator[Row]:
        policy = self.plan_rows.rules.policy
        for uid, local, number in names:
            desired = addressed(self.staged.newcomer(number), local, uid, policy)
            write = self.plan_rows.write(desired)
            if write is None:
                raise AssertionError("a new account takes a write")
            self.homes[self.cache.home(desired.account, self.as_of)] += 1
            self.cache.expect(desired.account, b"", self.as_of)
            yield self.plan_rows.row(desired, write)
