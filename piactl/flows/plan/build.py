"""Builds the plan of a run: skip set, chunks, joint evaluation. It may go on without refused feeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import chain
from pathlib import Path

from piactl.core.model.settings import Settings
from piactl.core.naming.posix_numbers import Numbers
from piactl.core.plan.sync_cache import key_of
from piactl.core.rules.desired import Rules
from piactl.core.rules.matching import mail_trace, traces_of
from piactl.dataclass import dataclass
from piactl.directory.store.accounts import Entry, read_accounts_named, read_accounts_of
from piactl.directory.store.attribute_scans import read_holders
from piactl.errors import FeedRefused, FeedsRefused, PiactlError
from piactl.feed.reader import read_feed
from piactl.flows.plan import chunks
from piactl.flows.plan.deleted_entries import newly_gone, still_gone
from piactl.flows.plan.incremental import (
    NextCache,
    RunState,
    SkipSet,
    changes_since_feeds,
    next_cache,
    unchanged_accounts,
)
from piactl.flows.plan.inputs.account_index import ManagedAccounts, numbers_of
from piactl.flows.plan.inputs.load_feeds import (
    FeedsOfAnotherDay,
    Scan,
    each_read,
    in_order,
    read_older,
    refused_before,
)
from piactl.flows.plan.inputs.lost_zeros import Written, find_slips
from piactl.flows.plan.inputs.merge_feeds import NOTHING, Accepted, SourcedFeed
from piactl.flows.plan.ready_plan import ReadyPlan
from piactl.flows.plan.reconcile import reconcile
from piactl.flows.processes import ProcessLost, process_count


def build_plan(
    accounts: ManagedAccounts,
    rules: Rules,
    settings: Settings,
    scans: Sequence[Scan],
    state: RunState,
    accepted: Accepted = NOTHING,
    tick: Callable[[], None] = lambda: None,
    warn: Callable[[str], None] = lambda _text: None,
) -> tuple[list[SourcedFeed], ReadyPlan, NextCache | None]:
    """The feeds and the plan of one run, and the sync cache that it prepares for the next one.

    If many people are to be evaluated, one process for each core does it. If one of them is lost, for example
    because the kernel ends it when memory is short, this process makes the plan alone, and `warn` gets a
    sentence.

    Raises FeedRefused and what `reconcile` raises.
    """

    def built(processes: Callable[[int], int]) -> tuple[list[SourcedFeed], ReadyPlan, NextCache | None]:
        with ExitStack() as until:
            build = _Build(accounts, rules, settings, scans, accepted, tick, processes, until)
            return build.plan(state)

    try:
        return built(process_count)
    except ProcessLost as lost:
        warn(f"warning: {lost}: one process makes the plan alone, which takes longer")
        return built(lambda _people: 1)


@dataclass(frozen=True, slots=True)
class _Build:
    """`processes` returns how many processes evaluate a number of people; they end with `until`."""

    accounts: ManagedAccounts
    rules: Rules
    settings: Settings
    scans: Sequence[Scan]
    accepted: Accepted
    tick: Callable[[], None]
    processes: Callable[[int], int]
    until: ExitStack

    def plan(self, state: RunState) -> tuple[list[SourcedFeed], ReadyPlan, NextCache | None]:
        """What `build_plan` returns. Raises ProcessLost."""
        accounts, rules, scans = self.accounts, self.rules, self.scans
        people = (
            scan.lines.people if scan.lines else scan.feed.present if scan.feed else () for scan in scans
        )
        linked = state.linked.named(chain(*people, state.remembered.memory.waiting), rules.keys)
        files = map(_written, scans)
        slips = find_slips(files, accounts, state.listed, linked, state.remembered.memory)
        state = replace(state, linked=linked, slips=slips)
        cache = None if state.due_only else next_cache(accounts, rules, self.settings, scans)
        skip, folder = SkipSet(), Path(self.settings.state_folder)
        if cache is not None:
            always = {*state.memory.pending(), *state.linked.people(), *_in_slips(state)}
            changed = read_accounts_named(*accounts, sorted(state.memory.unwitnessed))
            always |= {e.account.matricule for e in changed if isinstance(e, Entry) and e.account.matricule}
            skip = unchanged_accounts(accounts, rules.keys, folder, cache, state, always)
            uids, since = cache.uids, cache.since
        else:
            changes, since = changes_since_feeds(accounts, rules.keys, folder, state)
            uids = state.listed.keys() if changes else None
            state = replace(state, since=changes.since if changes else None)
        gone = newly_gone(accounts, state.listed, uids, rules.as_of)
        state = state.with_vanished(still_gone(accounts, {**gone, **state.memory.vanished}))
        numbers = numbers_of(accounts, rules.policy, state.listed)
        if cache is not None:
            skip = self._skip_set(state, cache, skip, numbers)
        feeds, skip = self._read_feeds(skip, state)
        sources = self.settings.sources
        plan = reconcile(
            *(accounts, rules, sources, feeds, state, self.accepted, self.tick, skip, cache, numbers)
        )
        return feeds, replace(plan, since=since), cache

    def _skip_set(self, state: RunState, cache: NextCache, skip: SkipSet, numbers: Numbers | None) -> SkipSet:
        """The accounts that the joint evaluation leaves out: the unchanged ones (`skip`), and those evaluated
        in chunks."""
        memory = state.memory
        count = len(skip.evaluate) if skip or memory.last is None else memory.last.census.total
        people = max(len(cache.rows) - len(skip.unchanged), count)
        if people < chunks.FEWEST:
            return skip
        settings = self.settings
        return chunks.Chunks(
            *(self.accounts, self.rules, settings.sources, Path(settings.state_folder), skip, cache, memory),
            *(state.linked, self.processes(people), numbers, _in_slips(state)),
        ).evaluated(self.scans, self.tick, self.until)

    def _read_feeds(self, skip: SkipSet, state: RunState) -> tuple[list[SourcedFeed], SkipSet]:
        """The feeds without the rows of skipped accounts, and the skip set without the accounts that have a
        trace of a person who is evaluated or waits: these accounts are evaluated too, and so on until none is
        added."""
        accounts, keys, checked = self.accounts, self.rules.keys, set[str]()
        # a run in between may have left people in waiting whom the cache does not know
        waiting = {
            trace
            for record in state.memory.waiting.values()
            for trace in (record.numen_digest, record.births[0], mail_trace(record.person.private_mail))
            if trace
        }
        while True:
            feeds = self._read(skip)
            if not skip:
                return feeds, skip
            people = [person for sourced in feeds for person in sourced.feed.people.values()]
            traces = {trace for person in people for trace in traces_of(person, keys)}
            new = sorted((traces | waiting) - checked)
            former = read_accounts_of(*accounts, keys, sorted({p.former for p in people if p.former}))
            holders = chain(
                read_holders(*accounts, new),
                (
                    (entry.account.uid, entry.account.matricule)
                    for entry in former
                    if isinstance(entry, Entry)
                ),
            )
            skipped = [(uid, matricule) for uid, matricule in holders if key_of(uid, matricule) in skip]
            if not skipped:
                return feeds, skip
            checked.update(new)
            skip = skip.without(skipped)

    def _read(self, skip: SkipSet) -> list[SourcedFeed]:
        def read(scan: Scan) -> SourcedFeed:
            try:
                feed = scan.feed or read_feed(scan.path, scan.source, skip.lines(scan.lines))
            except FeedRefused as error:
                error.source = scan.source.name
                raise
            return SourcedFeed(feed, scan.source, scan.path)

        return in_order(each_read(self.scans, read), self.settings.sources)


def _written(scan: Scan) -> Written:
    """The matricules in a scanned feed."""
    if scan.lines is not None:
        return Written(scan.source, scan.lines.people.keys(), scan.lines.layout.is_rejects)
    if scan.feed is not None:
        return Written(scan.source, scan.feed.present, scan.feed.is_rejects)
    return Written(scan.source, ())


def _in_slips(state: RunState) -> set[str]:
    """The people whom lost zeros hold, by what is written and by what is known."""
    return {*state.slips, *chain.from_iterable(state.slips.values())}


@dataclass(frozen=True, slots=True)
class Continued:
    """The feeds, the plan and the next sync cache of one run (see `build_plan`), and the errors that refuse
    the feeds of other sources."""

    feeds: list[SourcedFeed]
    ready: ReadyPlan
    cache: NextCache | None
    refused: tuple[PiactlError, ...] = ()
    remarks: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    """What happened while the plan was made and is not part of it."""

    @property
    def messages(self) -> tuple[str, ...]:
        return (*map(str, self.refused), *self.remarks, *self.warnings)


def build_continuing(
    accounts: ManagedAccounts,
    rules: Rules,
    settings: Settings,
    scans: Sequence[Scan],
    state: RunState,
    accepted: Accepted = NOTHING,
    tick: Callable[[], None] = lambda: None,
) -> Continued:
    """The plan of `build_plan` without the sources whose feed is refused, if all of these may be left out.

    No feed of a refused source is used. Raises FeedRefused and what else `build_plan` raises.
    """
    remaining, sources, remarks, warnings = list(scans), list[str](), list[str](), list[str]()
    refused: list[PiactlError] = []
    older = read_older(Path(settings.state_folder))
    while True:
        try:
            feeds, ready, cache = build_plan(
                accounts, rules, settings, remaining, state, accepted, tick, warnings.append
            )
            break
        except (FeedRefused, FeedsOfAnotherDay) as error:
            if files := refused_before(error, older):
                remarks += [f"{file}: skipped: an older feed, refused before; remove it" for file in files]
                remaining = [scan for scan in remaining if str(scan.path) not in files]
                continue
            names = {scan.source.name for scan in remaining if str(scan.path) in _files(error)}
            alone = isinstance(error, FeedsOfAnotherDay) and not error.others_fit
            if alone or not names or not names <= settings.go_on:
                raise
            refused.append(error)
            sources += sorted(names)
            remaining = [scan for scan in remaining if scan.source.name not in names]
    if sources:
        remarks.append(f"feed refused of {', '.join(sources)}: dates and the other sources go on without it")
    if remarks:
        ready = replace(ready, plan=replace(ready.plan, remarks=(*ready.plan.remarks, *remarks)))
    return Continued(feeds, ready, cache, tuple(refused), tuple(remarks), tuple(warnings))


def _files(error: FeedRefused | FeedsOfAnotherDay) -> set[str]:
    if isinstance(error, FeedsOfAnotherDay):
        return set(error.files)
    return (
        {feed_error.file for feed_error in error.errors} if isinstance(error, FeedsRefused) else {error.file}
    )
