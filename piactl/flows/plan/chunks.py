"""Evaluates people chunk by chunk, each chunk with the feed rows of its people alone.

Evaluating everybody at once would hold all accounts and all rows in memory. A chunk keeps a cache entry of
each account that needs nothing and stages what others need. People whose result depends on people outside of
their chunk are left to the joint evaluation (see `reconcile`).
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import TypeVar

from piactl.core.model.account import State
from piactl.core.model.person import Person
from piactl.core.model.settings import SourceSettings
from piactl.core.plan.run_state import Memory
from piactl.core.plan.sync_cache import key_of
from piactl.core.rules.address_allocation import claim_of
from piactl.core.rules.desired import MATRICULE, Desired, Rules
from piactl.core.rules.matching import traces_of
from piactl.directory.port import EntryWrite
from piactl.directory.store.accounts import Entry, Unreadable, read_accounts, read_accounts_named
from piactl.directory.store.attribute_scans import read_stamps, read_tombstones, read_traces
from piactl.errors import FeedRefused
from piactl.feed.feed import Feed
from piactl.feed.fingerprints import Skipped
from piactl.feed.reader import read_feed
from piactl.feed.row_index import RowIndex, open_row_index
from piactl.flows.drift import decided
from piactl.flows.plan.evaluate import Evaluation
from piactl.flows.plan.incremental import NextCache, SkipSet
from piactl.flows.plan.inputs.account_index import AccountIndex, ManagedAccounts, traces_of_account
from piactl.flows.plan.inputs.candidates import find_cases
from piactl.flows.plan.inputs.linked_matricules import LinkedMatricules
from piactl.flows.plan.inputs.load_feeds import Scan, in_order
from piactl.flows.plan.inputs.merge_feeds import MergedFeeds, SourcedFeed, judged
from piactl.flows.plan.inputs.shared_traces import SharedTraces, twice
from piactl.flows.plan.plan_rows import PlanRows
from piactl.flows.plan.staged import ChangedRow, StagedChanges
from piactl.flows.plan.vanished import hold_unmanaged

SIZE = 4_000
"""People in a chunk: some 14 KiB each."""

FEWEST = SIZE
"""Fewer people to evaluate fit into the joint evaluation alone."""


def evaluate_in_chunks(
    accounts: ManagedAccounts,
    rules: Rules,
    sources: Mapping[str, SourceSettings],
    folder: Path,
    scans: Sequence[Scan],
    skip: SkipSet,
    cache: NextCache,
    memory: Memory,
    linked: LinkedMatricules,
    tick: Callable[[], None],
) -> SkipSet:
    """The skip set with the accounts that need nothing and the staged changes, which `folder` holds if they
    are many. People with several matricules are left to the joint evaluation.

    Empty if a feed is refused: reading it as a whole then gives the reason. `tick` is called between two
    chunks.
    """
    try:
        with ExitStack() as stack:
            chunks = _Chunks(accounts, rules, sources, folder, skip, cache, memory, linked)
            for scan in scans:
                if scan.lines is None:
                    if scan.feed is not None:
                        chunks.put_apart(scan.feed)
                    continue
                rows = stack.enter_context(open_row_index(scan.path, scan.source, scan.lines))
                # the facts of the file as a whole, without the rows of people
                feed = read_feed(scan.path, scan.source, Skipped(scan.lines, scan.lines.people))
                chunks.add(SourcedFeed(feed, scan.source, scan.path), rows)
            return chunks.evaluated(tick)
    except FeedRefused:
        return SkipSet()


class _Chunks:
    """`apart` are the people left to the joint evaluation, by matricule."""

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
    ) -> None:
        self.accounts, self.rules, self.sources = accounts, rules, sources
        self.skip, self.cache, self.memory, self.as_of = skip, cache, memory, rules.as_of
        self.apart = {*memory.pending(), *linked.people()}
        # nobody in a chunk waits or is absent
        remembered = {name: replace(source, absences={}) for name, source in memory.sources.items()}
        self.chunk_memory = Memory(memory.last, remembered, cases=memory.cases)
        self.feeds: list[SourcedFeed] = []
        self.rows: dict[str, RowIndex] = {}
        self.traces = SharedTraces()
        self.matricules = array("q")
        self.unchanged: dict[str, bytes] = {}
        self.staged = StagedChanges(folder)
        self.evaluate: list[str] = []
        self.lost: set[str] = set()
        """The digests of the matricules that another program changed."""

    def add(self, feed: SourcedFeed, rows: RowIndex) -> None:
        self.feeds = in_order([*self.feeds, feed], self.sources)
        self.rows[feed.source.name] = rows

    def put_apart(self, delta: Feed) -> None:
        """Leaves the people of a delta to the joint evaluation."""
        self.apart |= {*delta.people, *delta.held}
        self._keep_traces(delta)

    def evaluated(self, tick: Callable[[], None]) -> SkipSet:
        if self.skip:
            for uid, matricule, traces in read_traces(*self.accounts):
                if key_of(uid, matricule) in self.skip:
                    self.traces.add(traces)
        for entries in _cut(self._entries()):
            tick()
            self._evaluate(entries)
        self.matricules = array("q", sorted(self.matricules))
        for matricules in _cut(self._without_account()):
            tick()
            self._evaluate_newcomers(matricules)
        self._read_traces_apart()
        unchanged = {**self.skip.unchanged, **self.unchanged} if self.skip else self.unchanged
        staged = self.staged if len(self.staged) else None
        return self._without_doubles(SkipSet(unchanged, staged, tuple(self.evaluate)))

    def _entries(self) -> Iterator[Entry | Unreadable]:
        """The accounts to evaluate."""
        if self.skip:
            return read_accounts_named(*self.accounts, self.skip.evaluate)
        return read_accounts(*self.accounts)

    def _without_doubles(self, skip: SkipSet) -> SkipSet:
        """The skip set without the accounts that share a matricule or a trace across chunks."""
        doubled, shared = twice(self.matricules), self.traces.find()
        if doubled:
            stamps = read_stamps(*self.accounts)
            skip = skip.without(
                (uid, matricule) for uid, matricule, _ in stamps if matricule and hash(matricule) in doubled
            )
        if shared:
            holders = [
                (uid, matricule)
                for uid, matricule, traces in read_traces(*self.accounts)
                if any(trace in shared for trace in traces)
            ]
            changed = map(self.staged.account, shared.changed)
            skip = skip.without(chain(holders, changed), shared.newcomers)
        return skip

    def _evaluate(self, entries: Sequence[Entry | Unreadable]) -> None:
        """Evaluates the accounts of a chunk: keeps the cache entries of those that need nothing, stages what
        others need, leaves the rest to the joint evaluation."""
        index = AccountIndex()
        # what earlier runs noted of an account is for the joint evaluation, which also ends the note
        noted = self.memory.drift.keys() | self.memory.archivals.keys()
        uids, days = [], self.rules.policy.drift_days
        for read in entries:
            entry = decided(read, self.accounts.encoding, self.memory, self.as_of, days)
            matricule, uid = (
                (entry.matricule, entry.uid)
                if isinstance(entry, Unreadable)
                else (entry.account.matricule, entry.account.uid)
            )
            uids.append(uid)
            if matricule is not None:
                self.matricules.append(hash(matricule))
            if isinstance(entry, Unreadable):
                self.lost.add(entry.digest)
                continue
            if matricule not in self.apart and uid not in noted and entry.drift is None:
                index.add(entry)
            else:
                self.traces.add_apart(matricule, traces_of_account(entry.account))
        evaluation, merged = self._evaluation(index, index.by_matricule)
        stated = dict(merged.people)  # with all NUMENs, also those that a case keeps out
        for entry in index.entries():
            own = traces_of_account(entry.account)
            self.traces.add({*self._traces(stated, entry.account.matricule), *own})
        desired = self._desired(evaluation, merged)
        unsure = evaluation.unsure(merged, Memory(None, merged.sources))
        changed = set()
        plan_rows = PlanRows(self.accounts, self.rules, index, {}, has_delta=False)
        for wanted in desired:
            current = wanted.subject.current
            held = index.by_matricule.get(wanted.subject.matricule or "")
            if current is not None and held is not None:
                write = plan_rows.write(wanted)
                if wanted.base is not None or write is not None:
                    changed.add(current.uid)
                if write is not None and not {current.uid, current.matricule} & unsure:
                    number = self._stage(wanted, held, write, plan_rows, evaluation)
                    if number is not None:
                        self.traces.changes(number, self._traces(stated, current.matricule))
        changed |= {e.account.uid for e in index.tombstones() if plan_rows.mends_archived(e)}
        self.unchanged.update(evaluation.cache_entries({*unsure, *changed}))
        done = {
            entry.account.uid
            for entry in index.entries()
            if (key := key_of(entry.account.uid, entry.account.matricule)) in self.unchanged
            or key in self.staged
        }
        self.evaluate += [uid for uid in uids if uid not in done]

    def _stage(
        self, desired: Desired, entry: Entry, write: EntryWrite, plan_rows: PlanRows, evaluation: Evaluation
    ) -> int | None:
        """Stages what an account needs; its number. None if that depends on other accounts."""
        current, account, csn = entry.account, desired.account, entry.csn
        if desired.base is not None or account.state is State.ARCHIVED or plan_rows.protected(desired):
            return None
        if current.foreign_addresses:  # another account may have them, and the plan names them
            return None
        before = self.cache.entry_of(current, b"", self.as_of)
        if before is None:  # some source does not list it
            return None
        pending = None
        if evaluation.listed(account):
            packed = self.cache.entry_of(account, csn, self.as_of)
            pending = packed and (key_of(account.uid, account.matricule), packed)
        account_write, changes = plan_rows.row(desired, write)
        home = self.cache.home(account, self.as_of)
        row = ChangedRow(account_write, tuple(changes), home, pending or None)
        return self.staged.add_changed(key_of(current.uid, current.matricule), before, row)

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
            # people with an archived account are no newcomers
            digests = self.rules.keys.candidates(MATRICULE, matricule) if tombstones else ()
            if tombstones.isdisjoint(digests):
                yield matricule
            else:
                self.apart.add(matricule)

    def _evaluate_newcomers(self, matricules: Sequence[str]) -> None:
        """Stages the new accounts of a chunk of people who have none."""
        evaluation, merged = self._evaluation(AccountIndex(), matricules)
        hold_unmanaged(merged, self.accounts, evaluation.index, self.chunk_memory)
        stated = dict(merged.people)
        desired = self._desired(evaluation, merged)
        unsure = evaluation.unsure(merged, Memory(None, merged.sources))
        by_matricule = {wanted.subject.matricule: wanted for wanted in desired}
        numbers = {}
        for matricule in matricules:
            wanted = by_matricule.get(matricule)
            claim = claim_of(wanted, self.rules.policy) if wanted else None
            former = wanted is not None and wanted.subject.person is not None and wanted.subject.person.former
            if wanted is not None and claim is not None and matricule not in unsure and not former:
                numbers[matricule] = self.staged.add_newcomer(matricule, wanted, claim)
        for matricule in stated:
            traces = self._traces(stated, matricule)
            self.traces.add(traces)
            if matricule in numbers:
                self.traces.comes(numbers[matricule], traces)

    def _read_traces_apart(self) -> None:
        """Adds the traces that the feeds give to the people left to the joint evaluation."""
        for matricules in _cut(iter(self.apart)):
            for sourced in self.feeds:
                self._keep_traces(self._of(sourced, matricules).feed)

    def _keep_traces(self, feed: Feed) -> None:
        for matricule, person in feed.people.items():
            self.traces.add_apart(matricule, traces_of(person, self.rules.keys))

    def _evaluation(self, index: AccountIndex, matricules: Iterable[str]) -> tuple[Evaluation, MergedFeeds]:
        feeds = [self._of(sourced, matricules) for sourced in self.feeds]
        evaluation = Evaluation(
            self.rules, self.sources, feeds, self.chunk_memory, index, self.cache, lambda: None
        )
        # the joint evaluation, to which archivals are left, knows what earlier runs noted
        evaluation.archives_at_once = True
        return evaluation, evaluation.merge()

    def _desired(self, evaluation: Evaluation, merged: MergedFeeds) -> list[Desired]:
        find_cases(merged, evaluation.index, self.chunk_memory, self.rules)
        return evaluation.desired(evaluation.subjects(merged), ())

    def _traces(self, people: Mapping[str, Person], matricule: str | None) -> set[str]:
        """The traces of a person in the feeds."""
        person = people.get(matricule or "")
        return {*traces_of(person, self.rules.keys)} if person else set()

    def _of(self, sourced: SourcedFeed, people: Iterable[str]) -> SourcedFeed:
        """The feed with the rows of these people alone, judged."""
        feed, rows = sourced.feed, self.rows[sourced.source.name].of(people)
        held = {**feed.held, **rows.held}
        remarked = feed.remarked | rows.remarked
        # the joint evaluation judges the rows of held people
        feed = replace(feed, people=rows.people, held=held, remarked=remarked, unusable=())
        return judged(replace(sourced, feed=feed), self.rules.policy, self.rules.register)


T = TypeVar("T")


def _cut(items: Iterable[T]) -> Iterator[list[T]]:
    """The items in chunks."""
    rest = iter(items)
    while chunk := list(islice(rest, SIZE)):
        yield chunk
