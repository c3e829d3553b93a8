"""Builds the plan of a run: who has to be evaluated, batch by batch. It may go on without refused feeds."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from piactl import __version__
from piactl.core.model.keyed_digests import NUMEN
from piactl.core.model.settings import Settings
from piactl.core.plan.case import Case
from piactl.core.plan.plan import ReadyPlan
from piactl.core.plan.state_between_runs import Memory
from piactl.core.rules.desired_account import Rules
from piactl.core.rules.matching import stored_traces
from piactl.directory.dn import normal_value
from piactl.directory.store.account_entries import read_accounts_named
from piactl.directory.store.base_digest import LAYOUT
from piactl.errors import FeedRefused, FeedsRefused, PiactlError
from piactl.feed.read_feed import FeedReader
from piactl.host.private_files import room_on_disk
from piactl.phrase import Phrase
from piactl.planning.account_index import ManagedAccounts
from piactl.planning.collect_evaluations import Planning
from piactl.planning.count_feed_rows import FeedOfRun
from piactl.planning.load_feeds import (
    FeedsOfAnotherDay,
    ScannedFeeds,
    in_order,
    raise_refused,
    read_older,
    refused_before,
)
from piactl.planning.lost_zeros import Written, find_slips
from piactl.planning.merge_feeds import NOTHING, Accepted, SourcedFeed
from piactl.planning.night_db import NightDb
from piactl.planning.run_state import RunState
from piactl.planning.vanished_accounts import find_vanished, recheck_vanished

PEOPLE = 1_000
"""The number of people that are evaluated together, some 14 KiB each."""


def build_plan(
    accounts: ManagedAccounts,
    rules: Rules,
    settings: Settings,
    scans: ScannedFeeds,
    state: RunState,
    night: NightDb,
    accepted: Accepted = NOTHING,
    renew_lock: Callable[[], None] = lambda: None,
) -> tuple[list[FeedOfRun], ReadyPlan]:
    """The feeds, with what is rejected of them, and the plan of one run. `night` says who has to be
    evaluated, and learns what the next run has to know. `renew_lock` is called while the run lock lasts.

    Reads the directory in whole searches, never one per person. Raises FeedRefused if a feed is refused and
    not `accepted`, UnsafePlan if the date of one is far from that of the run, UsageError if an accepted feed
    is not one of this run, DirectoryTruncated, DirectoryUnreachable; a plan that breaks guards is returned
    with its refusals.
    """
    raise_refused(scans.refused)
    with room_on_disk(Path(settings.state_folder)):
        feeds = in_order(scans.feeds, settings.sources)
        state = _with_matricules(state, feeds, accounts, rules, night)
        night.rows.index(state.linked.first.items())
        if state.seals:  # every account has to be looked at
            night.forget()
        listing = {name for name, source in settings.sources.items() if source.full}
        night.begin(_basis(accounts, rules, settings), rules.as_of, feeds, listing)
        night.refresh(accounts, renew_lock)
        gone = find_vanished(state.listed, night.uids, rules.as_of)
        gone = recheck_vanished(accounts, {**gone, **state.memory.vanished})
        state = state.remembering(vanished=gone)
        people = _People(state, night)
        people.want(rules)
        night.read_feeds(feeds)
        of_run = [FeedOfRun(feed.source, feed.path, feed.facts, feed.remarks) for feed in feeds]
        folder = Path(settings.state_folder)
        planning = Planning(accounts, rules, settings.sources, state, accepted, of_run, folder, night)
        for batch in night.batches(PEOPLE):
            renew_lock()
            night.rows.set_batch(batch)
            parts, raws = [], []
            for feed in feeds:
                part, raw = feed.of_batch()
                parts.append(SourcedFeed(part, feed.source, feed.path))
                raws.append(raw)
            entries = read_accounts_named(*accounts, night.uids_of_batch())
            evaluation = planning.evaluate(entries, parts, people.memory_of({*batch}))
            for of_feed, sourced, raw in zip(of_run, parts, raws, strict=True):
                of_feed.add_rejected(sourced.feed, raw, evaluation.merged.rejections)
        renew_lock()
        planning.give_names(night, renew_lock)
        return of_run, planning.plan(night.census(), night.known())


def _with_matricules(
    state: RunState, feeds: Sequence[FeedReader], accounts: ManagedAccounts, rules: Rules, night: NightDb
) -> RunState:
    """The state with the matricules of the feeds that are linked to others, and those that are slips."""
    memory = state.remembered.memory
    owners = [night.rows.owners(feed.number) for feed in feeds]
    linked = state.linked.named(chain(*owners, memory.waiting), rules.keys)
    files = [Written(f.source, names, f.is_rejects) for f, names in zip(feeds, owners, strict=True)]
    return replace(state, linked=linked, slips=find_slips(files, accounts, state.listed, linked, memory))


def _basis(accounts: ManagedAccounts, rules: Rules, settings: Settings) -> str:
    """A digest of what every evaluation depends on: the version and layout of piactl, policy, register,
    configuration and keys, and whether closed accounts are linked to no device."""
    facts = (
        __version__,
        rules.policy.digest,
        rules.register_digest,
        repr(settings),
        accounts.encoding.otp_schema,
        LAYOUT,
        rules.keys.current,
        sorted(rules.keys.keys),
        rules.keys.digest(NUMEN, ""),
    )
    return hashlib.sha256(repr(facts).encode()).hexdigest()


class _People:
    """The people of whom the records know more than their account and their rows."""

    def __init__(self, state: RunState, night: NightDb) -> None:
        self._state, self._memory, self._night = state, state.memory, night
        self._cases = {case.id: {*self._keys_of(case)} for case in self._memory.cases.values()}

    def _first(self, matricule: str) -> str:
        return self._state.linked.first.get(matricule, matricule)

    def _keys_of(self, case: Case) -> Iterator[str]:
        one = case.decision.one if case.decision is not None else ""
        names = filter(None, (case.matricule, case.wrong_matricule, one, *case.people))
        for name in (*names, *case.accounts):
            yield self._night.key_of_account(name) or self._first(name)

    def want(self, rules: Rules) -> None:
        """Notes who is evaluated, and who together with whom."""
        state, memory = self._state, self._memory
        uids = self._night.uids if memory.unwitnessed else ()
        unwitnessed = [uid for uid in uids if normal_value(uid) in memory.unwitnessed]
        slips = [{*map(self._first, (name, *known))} for name, known in state.slips.items()]
        self._night.want(
            rules.as_of,
            map(self._first, memory.pending() | state.linked.people()),
            [*memory.drift, *memory.archivals, *unwitnessed],
            [*self._cases.values(), *slips],
            {
                matricule: stored_traces(w.person, w.numen_digest, w.births[0], w.person.private_mail)
                for matricule, w in memory.waiting.items()
            },
        )

    def memory_of(self, keys: set[str]) -> Memory:
        """The part of the memory that speaks of these people."""
        memory = self._memory
        sources = {
            name: replace(
                source,
                absences={key: absence for key, absence in source.absences.items() if key[0] in keys},
                deviations={m: one for m, one in source.deviations.items() if m in keys},
            )
            for name, source in memory.sources.items()
        }
        return replace(
            memory,
            sources=sources,
            waiting={m: waiting for m, waiting in memory.waiting.items() if m in keys},
            cases={id_: case for id_, case in memory.cases.items() if not keys.isdisjoint(self._cases[id_])},
            vanished={uid: gone for uid, gone in memory.vanished.items() if gone.matricule in keys},
        )


@dataclass(frozen=True, slots=True)
class Continued:
    """The feeds and the plan of one run (see `build_plan`), the errors that refuse the feeds of other
    sources, and what remains of the scanned feeds without these."""

    feeds: list[FeedOfRun]
    ready: ReadyPlan
    refused: tuple[PiactlError, ...]
    remarks: tuple[str, ...]
    scans: ScannedFeeds


def build_continuing(
    accounts: ManagedAccounts,
    rules: Rules,
    settings: Settings,
    scans: ScannedFeeds,
    state: RunState,
    night: NightDb,
    accepted: Accepted = NOTHING,
    renew_lock: Callable[[], None] = lambda: None,
    *,
    before: Continued | None = None,
) -> Continued:
    """The plan of `build_plan` without the sources whose feed is refused, if all of these may be left out.

    No feed of a refused source is used, nor one that the plan `before` of the same run was made without: its
    rows are gone. Raises FeedRefused and what else `build_plan` raises.
    """
    remaining = scans if before is None else before.scans
    sources, remarks = list[str](), [*before.remarks] if before is not None else []
    refused: list[PiactlError] = [*before.refused] if before is not None else []
    older = read_older(Path(settings.state_folder))
    while True:
        try:
            feeds, ready = build_plan(
                accounts, rules, settings, remaining, state, night, accepted, renew_lock
            )
            break
        except (FeedRefused, FeedsOfAnotherDay) as error:
            if files := refused_before(error, older):
                remarks += [
                    Phrase("{file}: skipped: an older feed, refused before; remove it", file=file)
                    for file in files
                ]
                remaining = _without(night, remaining, files=files)
                continue
            errors = error.errors if isinstance(error, FeedsRefused) else [error]
            sets = (e.sources if isinstance(e, FeedsOfAnotherDay) else {e.source} for e in errors)
            names = set[str]().union(*sets)
            alone = isinstance(error, FeedsOfAnotherDay) and not error.others_fit
            if alone or not names <= settings.go_on:
                raise
            refused.append(error)
            sources += sorted(names)
            remaining = _without(night, remaining, sources=names)
    if sources:
        remarks.append(
            Phrase(
                "feed refused of {sources}: dates and the other sources go on without it",
                sources=", ".join(sources),
            )
        )
    if remarks:
        ready = replace(ready, plan=replace(ready.plan, remarks=(*ready.plan.remarks, *remarks)))
    return Continued(feeds, ready, tuple(refused), tuple(remarks), remaining)


def _without(
    night: NightDb, scans: ScannedFeeds, *, files: Collection[str] = (), sources: Collection[str] = ()
) -> ScannedFeeds:
    gone = [feed for feed in scans.feeds if str(feed.path) in files or feed.source.name in sources]
    for feed in gone:
        night.rows.forget(feed.number)
    refused = [error for error in scans.refused if error.source not in sources]
    return ScannedFeeds([feed for feed in scans.feeds if feed not in gone], refused)
