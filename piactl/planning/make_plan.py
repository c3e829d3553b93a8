"""Makes the plan of a run out of the evaluations of its people, batch by batch. Nothing here can write.

Everybody may be in one batch, or a thousand people in each of many: the plan is the same, as long as people
who share a trace are in one batch. Names and uidNumbers are given once all are evaluated, in the order of
all claims."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path

from piactl.core.model.account import Account, State
from piactl.core.model.overrides import sponsor_of
from piactl.core.model.settings import SourceSettings
from piactl.core.naming.posix_numbers import Numbers
from piactl.core.plan.drift import Drift
from piactl.core.plan.feed_limits import LEADING_ZEROS, SAMPLE, FeedFacts
from piactl.core.plan.guards import Census, Tally, no_own_guards
from piactl.core.plan.identity_case import Case, case_counts, case_remarks, closed_remarks
from piactl.core.plan.losses import (
    NO_LOSSES,
    NOTHING_TAKEN,
    losses_before,
    losses_with,
    taken_after,
    taken_lately,
)
from piactl.core.plan.memory import LastRun, Memory, SourceMemory, Waiting
from piactl.core.plan.plan import (
    AbsentAssignment,
    Basis,
    Contradiction,
    Disagreement,
    DueArchival,
    Hold,
    HoldCode,
    Plan,
    Rejection,
)
from piactl.core.plan.write import Write
from piactl.core.rules.address_allocation import addressed, claim_of, numbered, take
from piactl.core.rules.career import career_of
from piactl.core.rules.desired import MATRICULE, Desired, Rules, Subject
from piactl.directory.store.accounts import Entry, Unreadable
from piactl.directory.store.base_digest import LAYOUT
from piactl.directory.store.state_records import memory_writes
from piactl.errors import UsageError
from piactl.feed.feed import first_faults
from piactl.phrase import Phrase, counted
from piactl.planning.count_rows import Fate, FeedQualityCount, column_warnings_of
from piactl.planning.deleted_entries import taken_names, vanished_drift
from piactl.planning.drift_fates import device_drift, standing
from piactl.planning.evaluate import Evaluation
from piactl.planning.group_changes import plan_groups
from piactl.planning.inputs.account_index import AccountIndex, ManagedAccounts, census_of, numbers_of
from piactl.planning.inputs.load_feeds import (
    CountedFeed,
    check_counted,
    check_feed_dates,
    check_held,
    from_source,
)
from piactl.planning.inputs.merge_feeds import MOST_REJECTED, Accepted, SourcedFeed
from piactl.planning.night_db import NightDb
from piactl.planning.plan_rows import PlanRows, devices_at_no_device
from piactl.planning.plan_table import PlanTable
from piactl.planning.read_state import RunState
from piactl.planning.ready_plan import ReadyPlan
from piactl.planning.sponsors import ADVICE, leaving_sponsors

AT_ONCE = 500
"""New accounts of which the rows are made together."""


@dataclass(slots=True)
class FeedOfRun:
    """A feed of a run: its facts, and what the evaluations find in it. `remarks` returns the remarks about
    it, given the lines of rows that count once and of unusual NUMENs."""

    source: SourceSettings
    path: Path
    facts: FeedFacts
    remarks: Callable[[Sequence[int], Sequence[int]], Sequence[str]]
    known: int = 0
    """The people who are known from its source, and of these those who are still in it."""
    still: int = 0
    gone: list[str] = field(default_factory=list)
    """The first of those who are not."""
    rejections: list[Rejection] = field(default_factory=list)
    judged: list[Rejection] = field(default_factory=list)
    held: dict[str, str] = field(default_factory=dict)
    duplicates: list[int] = field(default_factory=list)
    unusual_numens: list[int] = field(default_factory=list)
    quality: FeedQualityCount = field(default_factory=FeedQualityCount)

    def add(self, sourced: SourcedFeed, evaluation: Evaluation) -> None:
        """Adds what the feed says of the people of an evaluation, before the feeds are merged."""
        feed, as_of = sourced.feed, evaluation.as_of
        self.rejections += feed.rejections
        self.judged += sourced.judgement
        self.duplicates += feed.duplicates
        self.unusual_numens += feed.unusual_numens
        present = feed.present
        for matricule, posts in evaluation.before.items():
            if from_source(posts, self.source.name, feed.written, as_of):
                self.known += 1
                if matricule in present:
                    self.still += 1
                else:
                    self.gone = sorted([*self.gone, matricule])[:SAMPLE]

    def finish(self, skipped: int) -> None:
        """Completes the facts; `skipped` people are known from the source and in the feed, and were not
        evaluated."""
        self.known += skipped
        self.still += skipped
        columns = dict(self.facts.columns)
        for column, count in Counter(rejection.column for rejection in self.judged).items():
            values, bad = columns.get(column, (0, 0))
            columns[column] = (values, bad + count)
        wrong = first_faults(
            sorted(self.judged, key=_place), first_faults(sorted(self.rejections, key=_place))
        )
        self.facts = replace(self.facts, columns=columns, wrong=wrong)
        self.duplicates.sort()
        self.unusual_numens.sort()

    def counted(self) -> CountedFeed:
        """What the limits of the source count."""
        zeros = {r.line: r.message for r in self.rejections if r.code == LEADING_ZEROS}
        return CountedFeed(self.facts, self.source, self.path, self.known, self.still, self.gone, zeros)


def _place(rejection: Rejection) -> tuple[str, int, str, str]:
    return rejection.file, rejection.line, rejection.column, rejection.code


@dataclass(slots=True)
class _Claimant:
    """Who waits for a name or a number. `kept` has all that is known of an existing account; of a newcomer
    only the new account is kept, which has everything but the name. `lines` are the lines in each feed,
    with their establishments."""

    account: Account
    note: str
    base: str | None
    lines: tuple[tuple[tuple[int, str], ...], ...]
    settled: bool
    kept: int = -1


@dataclass(slots=True)
class _Kept:
    desired: Desired
    entry: Entry | None


class Planning:
    """Collects the evaluations of a run. `feeds` are all feeds, in order; `night` learns what the next run
    has to know of each account."""

    def __init__(
        self,
        accounts: ManagedAccounts,
        rules: Rules,
        sources: Mapping[str, SourceSettings],
        state: RunState,
        accepted: Accepted,
        feeds: Sequence[FeedOfRun],
        folder: Path,
        night: NightDb | None = None,
    ) -> None:
        """Raises UsageError if an accepted feed is not one of this run, UnsafePlan if the date of a feed is
        far from that of the run."""
        self.accounts, self.rules, self.sources, self.state = accounts, rules, sources, state
        self.accepted, self.feeds, self.as_of, self.night = accepted, feeds, rules.as_of, night
        self.memory = state.memory
        strangers = sorted(set(accepted.feeds) - {feed.facts.digest for feed in feeds})
        if strangers:
            raise UsageError(
                Phrase(
                    "--accept-feed {digest}: no feed of this run has this digest; copy it from the "
                    "message that refused the feed",
                    digest=strangers[0],
                )
            )
        if not accepted.date:
            check_feed_dates(feeds, rules.as_of, accepted.feeds)
        self.table = PlanTable(folder)
        self.numbers = numbers_of(accounts, rules.policy, state.listed)
        self.has_delta = any(not feed.facts.full for feed in feeds)
        fed = {feed.source.name for feed in feeds if feed.facts.full}
        self.whole = bool(fed) and all(name in fed for name, source in sources.items() if source.full)
        self.rejections: list[Rejection] = []
        self.holds: list[Hold] = []
        self.absents: list[AbsentAssignment] = []
        self.drift: list[Drift] = []
        self.contradictions: list[Contradiction] = []
        self.disagreements: list[Disagreement] = []
        self.archivals: dict[str, DueArchival] = {}
        self.strangers: Counter[str] = Counter()
        self.cases: dict[str, Case] = {}
        self.rows_gone: set[str] = set()
        self.source_memory: dict[str, SourceMemory] = {}
        self.waiting: dict[str, Waiting] = {}
        self.noted: set[str] = set()
        """The accounts that are due for archival no more, or are noted again."""
        self.census, self.before, self.after = Census(), Census(), Census()
        self.sponsored: dict[str, str] = {}
        self.new_states: dict[str, State] = {}
        self._kept: list[_Kept] = []
        self._numberless: list[tuple[str, _Claimant]] = []
        self.owners: dict[str, str] = {}
        self._news: dict[str, Waiting] = {}
        self._if_none_left: dict[str, Waiting] = {}
        self.table.add(devices_at_no_device(state.special, self.memory.unwitnessed))

    # one batch

    def evaluate(
        self, entries: Iterable[Entry | Unreadable], feeds: Sequence[SourcedFeed], memory: Memory
    ) -> Evaluation:
        """Evaluates some accounts and people together. `feeds` have the rows of these people alone,
        `memory` what earlier runs left of them."""
        evaluation = Evaluation(
            self.accounts, self.rules, self.sources, feeds, self.state, memory, self.accepted
        )
        desired = evaluation.evaluate(entries)
        for feed, sourced in zip(self.feeds, evaluation.judged_feeds, strict=True):
            feed.add(sourced, evaluation)
        late = [wanted for wanted in desired if self._is_late(wanted)]
        late_uids = {wanted.account.uid for wanted in late}
        ready = [wanted for wanted in desired if not self._is_late(wanted)] if late else desired
        self.owners |= evaluation.owners
        maker = self._maker(evaluation.index, memory)
        rows = self._add_rows(maker, ready, {wanted.account.uid for wanted in desired})
        evaluation.holds += maker.holds
        uids = {row.uid for row in rows}
        self._collect(evaluation, desired, memory)
        waiting = evaluation.waiting(evaluation.merged, {wanted.subject.matricule for wanted in desired})
        once = evaluation.merged.once
        for matricule in {*maker.withheld, *(hold.matricule for hold in evaluation.holds)} & once.keys():
            waiting[matricule or ""] = evaluation.news_of(matricule or "")
        self.waiting |= waiting
        unsure = evaluation.unsure(evaluation.merged, waiting)
        self._note_known(evaluation, ready, uids, late_uids, unsure)
        written = [wanted for wanted in ready if wanted.account.uid in uids]
        self._count(written)
        self._count_lines(evaluation, {wanted.subject.matricule or "" for wanted in written}, desired, late)
        self._keep_claims(evaluation, late, unsure)
        return evaluation

    def _is_late(self, desired: Desired) -> bool:
        """Whether an account has to wait for a name or a number."""
        account = desired.account
        without = self.numbers is not None and account.uid and account.number is None
        return desired.base is not None or bool(without and account.state is not State.ARCHIVED)

    def _maker(self, index: AccountIndex, memory: Memory) -> PlanRows:
        maker = PlanRows(self.accounts, self.rules, index, memory.waiting, self.has_delta)
        maker.since, maker.owners = self.memory.drift, self.owners
        maker.drift_waits, maker.whole = self.state.drift_waits, self.whole
        maker.unwitnessed, last = self.memory.unwitnessed, self.memory.last
        maker.seals = last is None or last.layout < LAYOUT
        return maker

    def _add_rows(self, maker: PlanRows, desired: Sequence[Desired], decided: Set[str]) -> list[Write]:
        rows = maker.rows(desired, decided)
        self.table.add(rows)
        self.drift += maker.left_over(rows)
        return rows

    def _collect(self, evaluation: Evaluation, desired: Sequence[Desired], memory: Memory) -> None:
        merged, index = evaluation.merged, evaluation.index
        self.rejections += evaluation.rejections
        self.holds += evaluation.holds
        self.absents += merged.absents
        self.disagreements += merged.disagreements
        self.archivals |= evaluation.archivals
        self.strangers.update(evaluation.strangers)
        for feed, sourced in zip(self.feeds, evaluation.feeds, strict=True):
            if evaluation.holds:
                why = {hold.matricule: hold.why for hold in evaluation.holds if hold.matricule}
                feed.held |= {m: why[m] for m in sourced.feed.present & why.keys()}
        self.cases |= evaluation.cases(merged)
        self.rows_gone |= {id_ for id_, case in memory.cases.items() if evaluation.row_is_gone(case)}
        by_uid = {wanted.account.uid: wanted for wanted in desired if wanted.account.uid}
        self.contradictions += evaluation.contradictions(by_uid)
        self.noted |= by_uid.keys() & self.memory.archivals.keys()
        archived = {wanted.subject.matricule for wanted in desired if wanted.account.state is State.ARCHIVED}
        for name, source in merged.sources.items():
            self._remember(name, source, archived)
        for account in index.accounts():
            after = by_uid[account.uid].account if account.uid in by_uid else account
            if after.state is not account.state:
                self.new_states[account.uid] = after.state
            if account.overrides or after.overrides:
                sponsor = sponsor_of(after.overrides)
                self.sponsored |= {account.uid: sponsor} if sponsor else {}
        self.census = self.census.plus(index.census(self.as_of))

    def _remember(self, name: str, source: SourceMemory, archived: Container[str | None]) -> None:
        deviations = {m: deviation for m, deviation in source.deviations.items() if m not in archived}
        before = self.source_memory.get(name)
        if before is not None:
            source = replace(
                before,
                absences={**before.absences, **source.absences},
                rejected=tuple(sorted({*before.rejected, *source.rejected})),
            )
            deviations = {**before.deviations, **deviations}
        self.source_memory[name] = replace(source, deviations=dict(sorted(deviations.items())))

    def _note_known(
        self,
        evaluation: Evaluation,
        ready: Sequence[Desired],
        written: Container[str],
        late: Container[str],
        unsure: Container[str | None],
    ) -> None:
        """Notes what is known of the accounts that are evaluated."""
        if self.night is None:
            return
        for entry in evaluation.index.entries():
            account = entry.account
            if account.uid not in written and account.uid not in late:
                settled = self._is_settled(evaluation, account, unsure)
                self.night.needs_nothing(account, entry.csn, self.rules, settled=settled)
        for wanted in ready:
            if wanted.account.uid in written:
                settled = self._is_settled(evaluation, wanted.account, unsure)
                entry_before = self._entry(evaluation.index, wanted)
                csn = entry_before.csn if entry_before else b""
                self.night.expect(wanted.account, csn, self.rules, settled=settled)

    def _is_settled(self, evaluation: Evaluation, account: Account, unsure: Container[str | None]) -> bool:
        doubtful = account.uid in unsure or account.matricule in unsure or account.overrides
        return not doubtful and evaluation.listed(account)

    def _entry(self, index: AccountIndex, desired: Desired) -> Entry | None:
        matricule = desired.subject.matricule
        return index.entry(matricule, self.rules.keys) if matricule else None

    def _count(self, written: Sequence[Desired]) -> None:
        """Counts accounts that are written in the census before and after the run."""
        currents = (wanted.subject.current for wanted in written if wanted.subject.current)
        self.before = self.before.plus(census_of(currents, self.as_of))
        self.after = self.after.plus(census_of((wanted.account for wanted in written), self.as_of))

    def _count_lines(
        self,
        evaluation: Evaluation,
        written: Container[str],
        desired: Sequence[Desired],
        late: Sequence[Desired],
    ) -> None:
        held = {hold.matricule for hold in evaluation.holds if hold.matricule}
        with_account = {wanted.subject.matricule for wanted in desired}
        waits = {wanted.subject.matricule for wanted in late}
        keys, index = self.rules.keys, evaluation.index

        def fate(matricule: str) -> Fate:
            if matricule in held:
                return Fate.HELD
            if matricule in waits:
                return Fate.UNKNOWN
            if matricule in written:
                return Fate.APPLIED
            has_none = matricule not in with_account and index.entry(matricule, keys) is None
            return Fate.IGNORED if has_none else Fate.UNCHANGED

        for feed, sourced in zip(self.feeds, evaluation.feeds, strict=True):
            feed.quality.add(sourced, fate, self.memory.sources.get(feed.source.name))

    def _keep_claims(
        self, evaluation: Evaluation, late: Sequence[Desired], unsure: Container[str | None]
    ) -> None:
        """Keeps the accounts that have to wait for a name or a number."""
        claims = []
        for wanted in late:
            matricule = wanted.subject.matricule or ""
            entry = self._entry(evaluation.index, wanted)
            people = (sourced.feed.people.get(matricule) for sourced in evaluation.feeds)
            lines = tuple(
                tuple(zip(person.lines, (a.uai for a in person.assignments), strict=False)) if person else ()
                for person in people
            )
            settled = self._is_settled(evaluation, wanted.account, unsure)
            claimant = _Claimant(wanted.account, wanted.subject.note, wanted.base, lines, settled)
            if entry is not None or self.has_delta:
                claimant.kept = len(self._kept)
                self._kept.append(_Kept(wanted, entry))
            if matricule in evaluation.merged.once:
                self._news[matricule] = evaluation.news_of(matricule)
            if self.numbers is not None and entry is None:
                record = evaluation.waiting_for(matricule)
                self._if_none_left |= {matricule: record} if record else {}
            claim = claim_of(wanted, self.rules.policy)
            if claim is not None:
                claims.append((claim, claimant))
            else:
                self._numberless.append((wanted.account.uid, claimant))
        self.table.add_claims(claims)

    # everybody together

    def give_names(self, names: Container[str], tick: Callable[[], None]) -> None:
        """Gives names and numbers to those who claim one, and makes their rows. `names` are those of the
        accounts that there are."""
        numberless = sorted(self._numberless, key=lambda pair: pair[0])
        for start in range(0, len(numberless), AT_ONCE):
            tick()
            some = ((claimant, None) for _, claimant in numberless[start : start + AT_ONCE])
            self._make_late_rows(map(self._with_names, some))
        if not self.table.has_claims:
            return
        state = self.state
        taken = taken_names(self.accounts, self.rules, state.listed, state.first_owners, names)

        def named() -> Iterator[tuple[_Claimant, tuple[str, str] | None]]:
            for number, claim in self.table.claims():
                claimant = self.table.claimant(number)
                if not isinstance(claimant, _Claimant):
                    raise TypeError(claimant)
                yield claimant, take(claim, taken)

        rest = map(self._with_names, named())
        while self._make_late_rows(rest):
            tick()

    def _with_names(self, pair: tuple[_Claimant, tuple[str, str] | None]) -> tuple[_Claimant, Desired | None]:
        """The account of a claimant with its names and its number; None if no number is left for a new
        one."""
        claimant, given = pair
        if claimant.kept >= 0:
            desired = self._kept[claimant.kept].desired
        else:
            account = claimant.account
            subject = Subject(account.matricule, None, None, account.assignments, note=claimant.note)
            career = career_of(account.assignments, self.rules.policy, self.rules.register)
            desired = Desired(subject, account, career, claimant.base)
        if given is not None:
            desired = addressed(desired, *given, self.rules.policy)
        return claimant, numbered(desired, self.numbers)

    def _make_late_rows(self, rest: Iterator[tuple[_Claimant, Desired | None]]) -> bool:
        """Makes the rows of the next accounts that have their names now; returns whether there were any."""
        index, some = AccountIndex(), dict[str, tuple[_Claimant, Desired]]()
        asked = False
        for claimant, desired in rest:
            asked = True
            kept = self._kept[claimant.kept] if claimant.kept >= 0 else None
            if kept is not None and kept.entry is not None:
                index.add(kept.entry)
                if kept.entry.account.state is State.ARCHIVED:  # it may come back under another matricule
                    digest = self.rules.keys.digest(MATRICULE, kept.desired.subject.matricule or "")
                    index.archived[digest] = kept.entry
            if desired is None:
                self._hold_without_number(claimant)
            else:
                some[desired.account.uid] = claimant, desired
            if len(some) >= AT_ONCE:
                break
        desired_accounts = [desired for _, desired in some.values()]
        maker = self._maker(index, self.memory)
        rows = self._add_rows(maker, desired_accounts, {*some})
        uids = {row.uid for row in rows}
        self._count([desired for uid, (_, desired) in some.items() if uid in uids])
        held = {hold.matricule: hold for hold in maker.holds}
        self.holds += maker.holds
        for matricule in {*held, *maker.withheld} & self._news.keys():
            self.waiting[matricule or ""] = self._news[matricule or ""]
        for uid, (claimant, desired) in some.items():
            matricule = desired.subject.matricule
            hold = held.get(matricule)
            fate = Fate.HELD if hold else Fate.APPLIED if uid in uids else Fate.UNCHANGED
            self._count_late(claimant, matricule or "", fate, hold.why if hold else "")
            if self.night is not None:
                entry = self._entry(index, desired)
                settled = claimant.settled and not hold and matricule not in maker.withheld
                note = self.night.expect if uid in uids else self.night.needs_nothing
                account = desired.account if uid in uids or entry is None else entry.account
                note(account, entry.csn if entry else b"", self.rules, settled=settled)
        return asked

    def _hold_without_number(self, claimant: _Claimant) -> None:
        """Holds a person for whose account no uidNumber is left."""
        kept = self._kept[claimant.kept] if claimant.kept >= 0 else None
        subject = kept.desired.subject if kept else None
        matricule = subject.matricule if subject else claimant.account.matricule
        uid = subject.current.uid if subject and subject.current else None
        why = self.numbers.none_left if self.numbers else ""
        self.holds.append(Hold(matricule, uid, why, HoldCode.NUMBER))
        self.waiting |= {m: w for m, w in self._if_none_left.items() if m == matricule}
        self.waiting |= {m: w for m, w in self._news.items() if m == matricule}
        self._count_late(claimant, matricule or "", Fate.HELD, why)

    def _count_late(self, claimant: _Claimant, matricule: str, fate: Fate, why: str) -> None:
        for feed, lines in zip(self.feeds, claimant.lines, strict=True):
            if lines:
                feed.quality.add_lines(lines, fate)
                if fate is Fate.HELD:
                    feed.held[matricule] = why

    # the plan

    def plan(self, others: Census, skipped: Mapping[str, int]) -> ReadyPlan:
        """The plan. `others` is the census of the accounts that were not evaluated, `skipped` their number
        from each source.

        Raises FeedRefused if a feed breaks a limit of its source, or if too many of its people are held, and
        it is not accepted. A plan that breaks guards is returned with its refusals.
        """
        memory, policy, as_of = self.memory, self.rules.policy, self.as_of
        for feed in self.feeds:
            feed.finish(skipped.get(feed.source.name, 0) if feed.facts.full else 0)
        check_counted([feed.counted() for feed in self.feeds], memory, as_of, self.accepted.feeds)
        groups = plan_groups(self.accounts, self.rules, memory.last)
        self.table.add(groups.rows)
        held = {feed.path: feed.held for feed in self.feeds}
        check_held(self.feeds, held, memory, as_of, self.accepted.feeds)
        former, losses, taken = memory.last, NO_LOSSES, NOTHING_TAKEN
        if former:
            taken = former.taken
        tally = Tally(memory.sources, taken_lately(taken, as_of))
        for account_counts in self.table.counts():
            tally.count(account_counts)
        if former:
            losses = losses_before(former.losses, former.unfinished, tally.by_kind(), as_of)
        before = others.plus(self.census)
        facts = [feed.facts for feed in self.feeds]
        holds = tuple(sorted(self.holds, key=lambda hold: (hold.matricule or "", hold.uid or "")))
        held_names = [hold.uid or hold.matricule or "" for hold in holds]
        several = sum(source.full for source in self.sources.values()) > 1
        in_sources = {one.source: one.people for one in facts if one.full} if several else {}
        cases = dict(sorted(self.cases.items()))
        drift = sorted(
            [*self.drift, *vanished_drift(self.accounts, memory.vanished), *self._device_drift()],
            key=lambda one: one.rank,
        )
        plan = Plan(
            basis=Basis.of(self.rules, self.accounts.directory.accounts, former, facts),
            changes=self.table.changes(),
            rejections=tuple(sorted(self.rejections, key=_place)),
            holds=holds,
            absents=tuple(sorted(self.absents, key=self._absent_order)),
            drift=tuple(drift),
            contradictions=tuple(sorted(self.contradictions, key=lambda one: one.uid)),
            disagreements=tuple(
                sorted(self.disagreements, key=lambda one: (one.uid or "", one.matricule or ""))
            ),
            refusals=tuple(
                tally.refusals(before, policy, as_of, held=held_names, losses=losses, sources=in_sources)
            ),
            archivals=tuple(archival for _, archival in sorted(self.archivals.items())),
            remarks=(
                *self._remarks(),
                *case_remarks(cases.values(), self.rules.matching, as_of),
                *closed_remarks(memory.cases, cases, lambda case: case.id in self.rows_gone),
                *(
                    Phrase("WARNING: {sentence}: {advice}", sentence=sentence, advice=ADVICE)
                    for sentence in leaving_sponsors(self.accounts, self.sponsored, self.new_states)
                ),
                *(self.numbers.remarks() if isinstance(self.numbers, Numbers) else ()),
                *groups.remarks,
                *tally.remarks(),
            ),
            cases=case_counts(cases.values(), self.rules.matching, as_of),
            summary=tally.by_kind(),
            totals=tally.totals(),
            counted=tally.counted(before, policy, as_of, held=held_names, losses=losses),
            impact=tuple(tally.impact(before, policy, as_of, in_sources)),
            quality=tuple(
                feed.quality.quality(feed, tally.posts, memory.sources.get(feed.source.name), as_of)
                for feed in self.feeds
            ),
        )
        last = LastRun(
            run="",
            as_of=as_of,
            policy=policy.digest,
            register=self.rules.register_digest,
            plan="",
            clean=True,
            census=before.plus(self.before, -1).plus(self.after),
            otp_schema=self.accounts.encoding.otp_schema,
            layout=LAYOUT,
            losses=losses_with(losses, plan.summary, as_of),
            taken=taken_after(taken, tally.lost, tally.given, as_of),
        )
        remembered_state = Memory(
            last,
            self._of_sources(),
            dict(sorted(self.waiting.items())),
            standing(self.drift),
            self._archivals(),
            cases,
            memory.vanished,
        )
        places = self.accounts.directory.state
        records = memory_writes(self.state.remembered, remembered_state, places, self.rules.keys)
        return ReadyPlan(plan, self.table.writes(), tuple(records), last)

    def _device_drift(self) -> Iterator[Drift]:
        devices = self.state.special.foreign_devices
        return device_drift(self.accounts.reader, self.accounts.directory, devices)

    def _absent_order(self, absent: AbsentAssignment) -> tuple[object, ...]:
        order = [*self.sources].index(absent.source) if absent.source in self.sources else len(self.sources)
        return order, absent.source, absent.matricule, absent.uai, absent.function, absent.start

    def _of_sources(self) -> dict[str, SourceMemory]:
        cut = {name: source.rejected[:MOST_REJECTED] for name, source in self.source_memory.items()}
        return {
            name: replace(source, rejected=cut[name], absences=dict(sorted(source.absences.items())))
            for name, source in self.source_memory.items()
        }

    def _archivals(self) -> dict[str, date]:
        """The archivals that are noted for the next runs. Those noted on a day after this run, by a wrong
        clock, do not count."""
        before = self.memory.archivals.items()
        remaining = {uid: day for uid, day in before if uid not in self.noted and day <= self.as_of}
        noted = {uid: archival.noted for uid, archival in self.archivals.items()}
        return dict(sorted({**remaining, **noted}.items()))

    def _remarks(self) -> Iterator[str]:
        run, policy = self.memory.last, self.rules.policy
        if run is not None and run.policy not in ("", policy.digest):
            yield Phrase(
                "the policy has changed since run {run} of {as_of}: {file}",
                run=run.run,
                as_of=run.as_of,
                file=policy.file,
            )
        yield from filter(None, [no_own_guards(policy)])
        for feed in self.feeds:
            facts = feed.facts
            last = self.memory.sources.get(facts.source)
            if last is not None and last.record.digest == facts.digest:
                yield Phrase("{file}: this file has already been applied", file=facts.file)
            for remark in feed.remarks(feed.duplicates, feed.unusual_numens):
                yield Phrase("{file}: {remark}", file=facts.file, remark=remark)
            for column, difference in column_warnings_of(facts, feed.source, last, self.as_of).items():
                yield Phrase(
                    "WARNING: {file}: column {column}: {difference}",
                    file=facts.file,
                    column=column,
                    difference=difference,
                )
            strangers = self.strangers[facts.file]
            if strangers:
                yield Phrase(
                    "{file}: {people} without an account: {source} makes none",
                    file=facts.file,
                    people=counted(strangers, "person", "people"),
                    source=facts.source,
                )
            if facts.unattributed:
                rows = counted(facts.unattributed, "row has no known person", "rows have no known person")
                yield Phrase(
                    "{file}: {rows}: no absence from source {source} counts in this run",
                    file=facts.file,
                    rows=rows,
                    source=facts.source,
                )
