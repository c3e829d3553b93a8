"""Assembles the rows of a plan: those just made and the staged ones, in the order of the plan."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Container, Sequence

from piactl.core.plan.change import Change
from piactl.core.plan.guards import Census, Tally
from piactl.flows.plan.chunk_evaluation import planned_row
from piactl.flows.plan.incremental import NextCache
from piactl.flows.plan.plan_rows import Row
from piactl.flows.plan.ready_plan import AccountWrite
from piactl.flows.plan.signed_plan_file import Lines, PlannedRows, planned_changes, planned_writes
from piactl.flows.plan.staged import Names, StagedChanges

_TICK = 5_000


class PlanAssembly:
    """Makes the rows of a plan out of those of the joint evaluation and the staged ones.

    `homes` counts the staged accounts by the number of their home in the census after the run. `known` are
    the sources that have had a feed before.
    """

    def __init__(
        self, cache: NextCache, staged: StagedChanges, tick: Callable[[], None], known: Container[str]
    ) -> None:
        self.cache, self.staged, self.tick = cache, staged, tick
        self.homes: Counter[int] = Counter()
        self.tally = Tally(known)

    def rows(
        self, joint: Sequence[Row], names: Names
    ) -> tuple[PlannedRows[Change], PlannedRows[AccountWrite]]:
        """The changes and writes of `joint` and the staged ones, in the order of the plan."""
        changes, writes = Lines(self.staged.folder), Lines(self.staged.folder)
        own = (planned_row(row) for row in joint)
        merged = heapq.merge(own, self.staged.rows(names), key=lambda row: row.place)
        for number, row in enumerate(merged):
            if number % _TICK == 0:
                self.tick()
            self.tally.count(row.counts)
            for change in row.changes:
                changes.add(change)
            writes.add(row.write)
            # 0 is that of accounts that are not live, and of the joint evaluation, which counts its own
            self.homes[self.cache.cache.number(row.home)] += 1
            if row.draft is not None:
                self.cache.expect(row.place[2], row.draft)
        return planned_changes(changes), planned_writes(writes)

    def census(self, before: Census) -> Census:
        """The census once the staged changes are written."""
        cache = self.cache.cache
        gone = cache.census(self.staged.changed.values())
        return before.plus(gone, -1).plus(cache.census_at(self.homes))
