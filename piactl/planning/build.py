"""Builds the plan of a run: who has to be evaluated, batch by batch. It may go on without refused feeds."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from piactl import __version__
from piactl.core.model.keyed_digests import NUMEN
from piactl.core.model.settings import Settings
from piactl.core.plan.identity_case import Case
from piactl.core.plan.memory import Memory
from piactl.core.plan.plan import Rejection
from piactl.core.rules.desired import Rules
from piactl.core.rules.matching import stored_traces
from piactl.directory.dn import normal_value
from piactl.directory.store.accounts import read_accounts_named
from piactl.directory.store.base_digest import LAYOUT
from piactl.errors import FeedRefused, FeedsRefused, PiactlError
from piactl.feed.feed import Feed
from piactl.feed.rejects_file import with_rejections
from piactl.phrase import Phrase
from piactl.planning.deleted_entries import newly_gone, still_gone
from piactl.planning.evaluate import Evaluation
from piactl.planning.inputs.account_index import ManagedAccounts
from piactl.planning.inputs.load_feeds import (
    FeedsOfAnotherDay,
    Scan,
    in_order,
    raise_refused,
    read_older,
    refused_before,
)
from piactl.planning.inputs.lost_zeros import Written, find_slips
from piactl.planning.inputs.merge_feeds import NOTHING, Accepted, SourcedFeed
from piactl.planning.make_plan import FeedOfRun, Planning
from piactl.planning.night_db import NightDb
from piactl.planning.read_state import RunState
from piactl.planning.ready_plan import ReadyPlan
from piactl.private_files import room_on_disk

PEOPLE = 1_000
"""The number of people that are evaluated together, some 14 KiB each."""


@dataclass(slots=True)
class _Rejected:
    """The rejections of a feed, and the bytes of the rows that its rejects file has."""

    feed: Feed
    rejections: dict[Rejection, None] = field(default_factory=dict)
    raw_lines: dict[int, bytes] = field(default_factory=dict, repr=False)

    def add(self, part: Feed, raw: Mapping[int, bytes], evaluation: Evaluation, *, supplement: bool) -> None:
        """Adds the rejections of the people of an evaluation, whose rows are in `part` and `raw`."""
        own = set(part.rejections)
        further = [r for r in evaluation.rejections if r.file in part.files and r not in own]
        self.feed = with_rejections(part, raw.items(), further, supplement=supplement)
        self.rejections |= dict.fromkeys(self.feed.rejections)
        self.raw_lines |= self.feed.raw_lines

    def whole(self) -> Feed:
        """The feed with its rejections and without its people."""
        rejections = tuple(sorted(self.rejections, key=lambda r: (r.line, r.column, r.code)))
        return replace(
            self.feed, people={}, held={}, unusable=(), rejections=rejections, raw_lines=self.raw_lines
        )


def build_plan(
    accounts: ManagedAccounts,
    rules: Rules,
    settings: Settings,
    scans: Sequence[Scan],
    state: RunState,
    night: NightDb,
    accepted: Accepted = NOTHING,
    tick: Callable[[], None] = lambda: None,
) -> tuple[list[SourcedFeed], ReadyPlan]:
    """The feeds, with what is rejected of them, and the plan of one run. `night` says who has to be
    evaluated, and learns what the next run has to know. `tick` is called now and then.

    Reads the directory in whole searches, never one per person. Raises FeedRefused if a feed is refused and
    not `accepted`, UnsafePlan if the date of one is far from that of the run, UsageError if an accepted feed
    is not one of this run, DirectoryTruncated, DirectoryUnreachable; a plan that breaks guards is returned
    with its refusals.
    """
    raise_refused([scan.refused for scan in scans if scan.refused is not None])
    with room_on_disk(Path(settings.state_folder)):
        scans = in_order((scan for scan in scans if scan.feed is not None), settings.sources)
        feeds = [scan.feed for scan in scans if scan.feed is not None]
        waiting = state.remembered.memory.waiting
        linked = state.linked.named([*_matricules(night, scans), *waiting], rules.keys)
        written = (_written(night, scan) for scan in scans)
        slips = find_slips(written, accounts, state.listed, linked, state.remembered.memory)
        state = replace(state, linked=linked, slips=slips)
        night.rows.index(linked.first.items())
        if _sees_everybody(state):
            night.forget()
        listing = {name for name, source in settings.sources.items() if source.full}
        night.begin(_basis(accounts, rules, settings), rules.as_of, feeds, listing)
        night.refresh(accounts, tick)
        gone = newly_gone(state.listed, night.uids, rules.as_of)
        state = state.with_vanished(still_gone(accounts, {**gone, **state.memory.vanished}))
        memory = state.memory
        people = _People(state, memory, night)
        people.want(rules)
        night.read_feeds(feeds)
        of_run = [
            FeedOfRun(scan.source, scan.path, feed.facts, feed.remarks)
            for scan, feed in zip(scans, feeds, strict=True)
        ]
        folder = Path(settings.state_folder)
        planning = Planning(accounts, rules, settings.sources, state, accepted, of_run, folder, night)
        rejected: list[_Rejected] = []
        for batch in night.batches(PEOPLE):
            tick()
            night.rows.set_batch(batch)
            parts, raws = [], []
            for scan, feed in zip(scans, feeds, strict=True):
                part, raw = feed.of_batch()
                parts.append(SourcedFeed(part, scan.source, scan.path))
                raws.append(raw)
            entries = read_accounts_named(*accounts, night.uids_of_batch())
            evaluation = planning.evaluate(entries, parts, people.memory_of({*batch}))
            rejected = rejected or [_Rejected(part.feed) for part in parts]
            for of_feed, sourced, raw in zip(rejected, parts, raws, strict=True):
                of_feed.add(sourced.feed, raw, evaluation, supplement=sourced.source.supplement)
        tick()
        planning.give_names(night, tick)
        ready = planning.plan(night.census(), night.known())
        whole = [
            SourcedFeed(replace(of_feed.whole(), facts=feed.facts), feed.source, feed.path)
            for of_feed, feed in zip(rejected, of_run, strict=True)
        ]
        return whole, ready


def _sees_everybody(state: RunState) -> bool:
    """Whether every account has to be looked at: until a run of this version has ended well, some have no
    sealed base."""
    last = state.memory.last
    return last is None or last.layout < LAYOUT


def _matricules(night: NightDb, scans: Iterable[Scan]) -> Iterator[str]:
    for scan in scans:
        if scan.feed is not None:
            yield from night.rows.owners(scan.feed.number)


def _written(night: NightDb, scan: Scan) -> Written:
    if scan.feed is None:
        return Written(scan.source, ())
    return Written(scan.source, night.rows.owners(scan.feed.number), scan.feed.is_rejects)


def _basis(accounts: ManagedAccounts, rules: Rules, settings: Settings) -> str:
    """A digest of what every evaluation depends on: the version, policy, register, configuration and keys,
    and whether closed accounts are linked to no device."""
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

    def __init__(self, state: RunState, memory: Memory, night: NightDb) -> None:
        self._state, self._memory, self._night = state, memory, night
        self._cases = {case.id: {*self._keys_of(case)} for case in memory.cases.values()}

    def _first(self, matricule: str) -> str:
        return self._state.linked.first.get(matricule, matricule)

    def _keys_of(self, case: Case) -> Iterator[str]:
        one = case.decision.one if case.decision is not None else ""
        names = filter(None, (case.matricule, case.wrong_matricule, one, *case.people))
        for name in (*names, *case.accounts):
            yield self._night.key_of_account(name) or self._first(name)

    def want(self, rules: Rules) -> None:
        """Notes who is evaluated, and who together with whom."""
        state, memory, night = self._state, self._memory, self._night
        slips = [{self._first(name), *map(self._first, known)} for name, known in state.slips.items()]
        uids = night.uids if memory.unwitnessed else ()
        unwitnessed = [uid for uid in uids if normal_value(uid) in memory.unwitnessed]
        night.want(
            rules.as_of,
            {*map(self._first, memory.pending()), *map(self._first, state.linked.people())},
            [*memory.drift, *memory.archivals, *unwitnessed],
            [*self._cases.values(), *slips],
        )
        for matricule, record in memory.waiting.items():
            mail = record.person.private_mail
            traces = stored_traces(record.person, record.numen_digest, record.births[0], mail)
            night.add_traces(matricule, traces)

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
    sources, and the scans that remain without these."""

    feeds: list[SourcedFeed]
    ready: ReadyPlan
    refused: tuple[PiactlError, ...] = ()
    remarks: tuple[str, ...] = ()
    scans: tuple[Scan, ...] = ()

    @property
    def messages(self) -> tuple[str, ...]:
        return (*map(str, self.refused), *self.remarks)


def build_continuing(
    accounts: ManagedAccounts,
    rules: Rules,
    settings: Settings,
    scans: Sequence[Scan],
    state: RunState,
    night: NightDb,
    accepted: Accepted = NOTHING,
    tick: Callable[[], None] = lambda: None,
    *,
    before: Continued | None = None,
) -> Continued:
    """The plan of `build_plan` without the sources whose feed is refused, if all of these may be left out.

    No feed of a refused source is used, nor one that the plan `before` of the same run was made without: its
    rows are gone. Raises FeedRefused and what else `build_plan` raises.
    """
    remaining = list(scans if before is None else before.scans)
    sources, remarks = list[str](), [*before.remarks] if before is not None else []
    refused: list[PiactlError] = [*before.refused] if before is not None else []
    older = read_older(Path(settings.state_folder))
    while True:
        try:
            feeds, ready = build_plan(accounts, rules, settings, remaining, state, night, accepted, tick)
            break
        except (FeedRefused, FeedsOfAnotherDay) as error:
            if files := refused_before(error, older):
                remarks += [
                    Phrase("{file}: skipped: an older feed, refused before; remove it", file=file)
                    for file in files
                ]
                remaining = _without(
                    night, remaining, [scan for scan in remaining if str(scan.path) in files]
                )
                continue
            names = {scan.source.name for scan in remaining if str(scan.path) in _files(error)}
            alone = isinstance(error, FeedsOfAnotherDay) and not error.others_fit
            if alone or not names or not names <= settings.go_on:
                raise
            refused.append(error)
            sources += sorted(names)
            remaining = _without(night, remaining, [scan for scan in remaining if scan.source.name in names])
    if sources:
        remarks.append(
            Phrase(
                "feed refused of {sources}: dates and the other sources go on without it",
                sources=", ".join(sources),
            )
        )
    if remarks:
        ready = replace(ready, plan=replace(ready.plan, remarks=(*ready.plan.remarks, *remarks)))
    return Continued(feeds, ready, tuple(refused), tuple(remarks), tuple(remaining))


def _without(night: NightDb, scans: Sequence[Scan], refused: Sequence[Scan]) -> list[Scan]:
    """The feeds without these, whose rows are removed."""
    for scan in refused:
        if scan.feed is not None:
            night.rows.forget(scan.feed.number)
    return [scan for scan in scans if scan not in refused]


def _files(error: FeedRefused | FeedsOfAnotherDay) -> set[str]:
    if isinstance(error, FeedsOfAnotherDay):
        return set(error.files)
    return (
        {feed_error.file for feed_error in error.errors} if isinstance(error, FeedsRefused) else {error.file}
    )
