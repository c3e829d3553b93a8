"""Evaluates people chunk by chunk, each chunk with the feed rows of its people alone, and assembles the plan.

Evaluating everybody at once would hold all accounts and rows in memory. A chunk keeps a cache entry for each
account that needs no change, and stages the changes of the others. People whose result depends on people
outside of their chunk are left to the joint evaluation (see `reconcile`). If many people are to be evaluated,
several processes do it (see `flows/processes`); the plan is the same.
"""

from __future__ import annotations

import heapq
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import chain, islice
from pathlib import Path
from typing import TypeVar

from piactl.core.model.overrides import sponsor_of
from piactl.core.model.settings import SourceSettings
from piactl.core.naming.posix_numbers import Numbers
from piactl.core.plan.change import Change
from piactl.core.plan.guards import Census, Tally
from piactl.core.plan.losses import Holdings
from piactl.core.plan.run_state import Memory
from piactl.core.plan.sync_cache import key_of, uid_of
from piactl.core.rules.desired import MATRICULE, Rules
from piactl.core.rules.matching import traces_of
from piactl.directory.port import RawEntry
from piactl.directory.store.accounts import read_unmanaged, search_accounts, search_accounts_named
from piactl.directory.store.attribute_scans import (
    read_stamps,
    read_tombstones,
    read_traces,
    read_uids_of,
    without_number,
)
from piactl.errors import FeedRefused
from piactl.feed.feed import Feed
from piactl.feed.fingerprints import LineDigests, Skipped
from piactl.feed.people_builder import RowIndex, open_row_index
from piactl.feed.reader import read_feed
from piactl.flows.plan import staged as staging
from piactl.flows.plan.chunk_evaluation import Chunk, ChunkEvaluation, ChunkResult, planned_row
from piactl.flows.plan.incremental import NextCache, SkipSet
from piactl.flows.plan.inputs.account_index import ManagedAccounts
from piactl.flows.plan.inputs.linked_matricules import LinkedMatricules
from piactl.flows.plan.inputs.load_feeds import Scan, in_order
from piactl.flows.plan.inputs.merge_feeds import SourcedFeed
from piactl.flows.plan.plan_rows import Row
from piactl.flows.plan.ready_plan import AccountWrite
from piactl.flows.plan.signed_plan_file import JsonLines, PlannedRows, planned_changes, planned_writes
from piactl.flows.plan.sponsors import sponsored_accounts
from piactl.flows.plan.staged import (
    Names,
    PlannedRow,
    RowMaker,
    SharedTraces,
    StagedChanges,
    WantedRow,
    twice,
)
from piactl.flows.processes import Child, answers, children

SIZE = 4_000
"""People in a chunk of this process: some 14 KiB each."""

SIZE_OF_MANY = 1_000
"""People in a chunk if several processes evaluate: none then waits long for the last one."""

FEWEST = SIZE
"""Fewer people than this are evaluated by the joint evaluation alone."""

_ROWS = 250
"""Rows in a message. A request for this many fits into the buffer of a pipe, so sending it never blocks."""
_AHEAD = 2
"""Open requests for rows per child."""


class Chunks:
    """Evaluates the people outside of `skip` in chunks. `folder` holds the staged changes if they are many.
    People with several matricules (`linked`) are left to the joint evaluation, and so are those `apart`, by
    matricule. If `processes` is more than one, they are forked."""

    def __init__(
        self,
        accounts: ManagedAccounts,
        rules: Rules,
        sources: Mapping[str, SourceSettings],
        folder: Path,
        skip: SkipSet,
        cache: NextCache,
        memory: Memory,
        linked: LinkedMatricules,
        processes: int,
        numbers: Numbers | None = None,
        apart: Iterable[str] = (),
    ) -> None:
        self.accounts, self.rules, self.sources, self.folder = accounts, rules, sources, folder
        self.skip, self.cache = skip, cache
        self.apart = {*memory.pending(), *linked.people(), *apart}
        many = len(cache.rows) - len(skip.unchanged) > staging.IN_MEMORY
        most = 0 if many else staging.IN_MEMORY // processes
        self.evaluation = ChunkEvaluation(accounts, rules, sources, cache, memory, self.apart, folder, most)
        self.processes, self.size = processes, SIZE if processes == 1 else min(SIZE, SIZE_OF_MANY)
        self.children: list[Child] = []
        self.numbers = numbers
        self.traces = SharedTraces()
        self.matricules = array("q")
        self.unchanged: dict[str, bytes] = {}
        self.staged = StagedChanges(folder, [])
        self.evaluate: list[str] = []
        self.lost: set[str] = set()
        """The digests of the matricules that another program changed."""

    def evaluated(self, scans: Sequence[Scan], tick: Callable[[], None], until: ExitStack) -> SkipSet:
        """The skip set with the accounts that need nothing and the staged changes. Processes end with
        `until`, `tick` is called between two chunks.

        Empty if a feed is refused: reading it as a whole then gives the reason. Raises ProcessLost.
        """
        try:
            with ExitStack() as stack:
                for scan in scans:
                    if scan.lines is not None:
                        rows = stack.enter_context(open_row_index(scan.path, scan.source, scan.lines))
                        self._add(scan, scan.lines, rows)
                    elif scan.feed is not None:
                        # the people of a delta are left to the joint evaluation
                        self.apart |= {*scan.feed.people, *scan.feed.held}
                        self._keep_traces(scan.feed)
                return self._evaluated(tick, until)
        except FeedRefused:
            return SkipSet()

    def _add(self, scan: Scan, lines: LineDigests, rows: RowIndex) -> None:
        evaluation = self.evaluation
        # the facts of the file as a whole, without the rows of people
        feed = read_feed(scan.path, scan.source, Skipped(lines, lines.people))
        sourced = SourcedFeed(feed, scan.source, scan.path)
        evaluation.feeds = in_order([*evaluation.feeds, sourced], self.sources)
        evaluation.rows_of[scan.source.name] = rows

    def _evaluated(self, tick: Callable[[], None], until: ExitStack) -> SkipSet:
        overrides = (account.overrides for account in sponsored_accounts(self.accounts))
        self.evaluation.sponsors = frozenset(map(sponsor_of, overrides)) - {""}
        makers: Sequence[RowMaker] = [self.evaluation]
        if self.processes > 1:
            feeds = [rows.descriptor for rows in self.evaluation.rows_of.values()]
            self.children = until.enter_context(children(self.processes, self.evaluation.answer, feeds))
            makers = [_RowsOfChild(child) for child in self.children]
        self.staged = StagedChanges(self.folder, makers)
        self._evaluate(self._chunks_of_accounts(), tick)
        self.matricules = array("q", sorted(self.matricules))
        self._evaluate(self._newcomers(), tick)
        self._read_traces_apart()
        unchanged = {**self.skip.unchanged, **self.unchanged} if self.skip else self.unchanged
        staged = self.staged if len(self.staged) else None
        return self._without_doubles(SkipSet(unchanged, staged, tuple(self.evaluate)))

    def _chunks_of_accounts(self) -> Iterator[Chunk]:
        chunks = map(self._of_accounts, _cut(self._entries(), self.size))
        yield from islice(chunks, self.processes)
        if self.skip:  # read while each process has a chunk
            for uid, matricule, traces in read_traces(*self.accounts):
                if (key := key_of(uid, matricule)) in self.skip:
                    self.traces.add(traces, key)
        yield from chunks

    def _of_accounts(self, entries: Sequence[RawEntry]) -> Chunk:
        """The chunk of these accounts. Numbers are allocated here, in one process."""
        numbers: dict[str, int] = {}
        if self.numbers is not None:
            for uid, on_entry in without_number(entries, self.accounts.encoding):
                number = self.numbers.number_for(uid, on_entry, there=True)
                numbers |= {uid: number} if number is not None else {}
        return Chunk(entries, numbers)

    def _entries(self) -> Iterator[RawEntry]:
        """The entries of the accounts to evaluate."""
        if self.skip:
            return search_accounts_named(*self.accounts, self.skip.evaluate)
        return search_accounts(*self.accounts)

    def _without_doubles(self, skip: SkipSet) -> SkipSet:
        """The skip set without the accounts that share a matricule or a trace across chunks."""
        doubled, shared = twice(self.matricules), self.traces.find()
        if doubled:
            stamps = read_stamps(*self.accounts)
            skip = skip.without(
                (uid, matricule) for uid, matricule, _ in stamps if matricule and hash(matricule) in doubled
            )
        keys = [key for key in skip.unchanged if hash(key) in shared.accounts]
        without = [(uid, None) for key in keys if (uid := uid_of(key))]
        named = read_uids_of(*self.accounts, [key for key in keys if not uid_of(key)])
        changed = map(self.staged.account, shared.changed)
        return skip.without(chain(without, named, changed), shared.newcomers)

    def _without_account(self) -> Iterator[str]:
        """The people in the feeds without an account, by matricule."""
        known = self.matricules
        tombstones: set[str] | None = None
        for matricule in self.cache.rows:
            if matricule in self.skip or matricule in self.apart:
                continue
            number = hash(matricule)
            place = bisect_left(known, number)
            if place < len(known) and known[place] == number:
                continue
            if tombstones is None:
                tombstones = set(read_tombstones(*self.accounts)) | (self.lost - {""})
            # people with an archived account are not newcomers
            digests = self.rules.keys.candidates(MATRICULE, matricule) if tombstones else ()
            if tombstones.isdisjoint(digests):
                yield matricule
            else:
                self.apart.add(matricule)

    def _newcomers(self) -> Iterator[Chunk]:
        for matricules in _cut(self._without_account(), self.size):
            unmanaged = read_unmanaged(*self.accounts, "supannEmpId", matricules)
            yield Chunk(newcomers=matricules, unmanaged=unmanaged)

    def _evaluate(self, chunks: Iterable[Chunk], tick: Callable[[], None]) -> None:
        """Evaluates chunks: keeps the cache entries of those that need nothing and the order of what others
        need."""

        def ticking() -> Iterator[Chunk]:
            for chunk in chunks:
                tick()
                yield chunk

        if self.children:
            for maker, chunk, result in answers(self.children, ticking()):
                self._keep(chunk, result, maker)
        else:
            for chunk in ticking():
                self._keep(chunk, self.evaluation.evaluate(chunk), 0)

    def _keep(self, chunk: Chunk, result: ChunkResult, maker: int) -> None:
        cache = self.cache.cache
        self.matricules.extend(result.matricules)
        self.lost |= result.lost
        self.unchanged.update((draft.key, cache.pack(draft)) for draft in result.unchanged)
        changed = []
        for account in result.changed:
            before = cache.pack(account.before)
            if account.after is not None:
                cache.pack(account.after)  # its names are taken from now on
            number = self.staged.add_changed(
                account.key, account.uid, before, maker, account.number, loses=account.loses
            )
            changed.append(number)
        newcomers = [
            # the matricule as this process holds it: one from another process would be a second copy
            self.staged.add_newcomer(claim._replace(matricule=chunk.newcomers[place]), maker, n)
            for place, claim, n in result.newcomers
        ]
        self.traces.extend(result.traces, changed, newcomers)
        self.evaluate += result.others

    def _read_traces_apart(self) -> None:
        """Adds the traces that the feeds give to the people left to the joint evaluation."""
        for matricules in _cut(iter(self.apart), SIZE):
            for sourced in self.evaluation.feeds:
                self._keep_traces(self.evaluation.of(sourced, matricules).feed)

    def _keep_traces(self, feed: Feed) -> None:
        for matricule, person in feed.people.items():
            self.traces.add_apart(matricule, traces_of(person, self.rules.keys))


class _RowsOfChild:
    """The rows of what a child has staged."""

    def __init__(self, child: Child) -> None:
        self._child = child

    def rows(self, wanted: Iterable[WantedRow]) -> Iterator[PlannedRow]:
        """Raises ProcessLost."""
        remaining, asked = iter(wanted), 0
        while True:
            while asked < _AHEAD and (request := list(islice(remaining, _ROWS))):
                self._child.send(request)
                asked += 1
            if not asked:
                return
            asked -= 1
            yield from self._child.receive()


T = TypeVar("T")


def _cut(items: Iterator[T], size: int) -> Iterator[list[T]]:
    """The items in chunks."""
    while chunk := list(islice(items, size)):
        yield chunk


_TICK = 5_000


class PlanAssembly:
    """Makes the rows of a plan out of those of the joint evaluation and the staged ones.

    `homes` counts the staged accounts by the number of their home in the census after the run. `known` are
    the sources that have had a feed before, `taken` what earlier runs took.
    """

    def __init__(
        self,
        cache: NextCache,
        staged: StagedChanges,
        tick: Callable[[], None],
        known: Container[str],
        taken: Holdings,
    ) -> None:
        self.cache, self.staged, self.tick = cache, staged, tick
        self.homes: Counter[int] = Counter()
        self.tally = Tally(known, taken)

    def rows(
        self, joint: Sequence[Row], names: Names
    ) -> tuple[PlannedRows[Change], PlannedRows[AccountWrite]]:
        """The changes and writes of `joint` and the staged ones, in the order of the plan."""
        changes, writes = JsonLines(self.staged.folder), JsonLines(self.staged.folder)
        own = (planned_row(row) for row in joint)
        merged = heapq.merge(own, self.staged.rows(names), key=lambda row: row.place)
        for number, row in enumerate(merged):
            if number % _TICK == 0:
                self.tick()
            self.tally.count(row.counts)
            for change in row.changes:
                changes.add(change)
            writes.add(row.write)
            # accounts that are not live have number 0, and so have those of the joint evaluation, which
            # counts its own
            self.homes[self.cache.cache.number(row.home)] += 1
            if row.draft is not None:
                self.cache.expect(row.place[2], row.draft)
        return planned_changes(changes), planned_writes(writes)

    def census(self, before: Census) -> Census:
        """The census once the staged changes are written."""
        cache = self.cache.cache
        gone = cache.census(self.staged.changed.values())
        return before.plus(gone, -1).plus(cache.census_at(self.homes))
