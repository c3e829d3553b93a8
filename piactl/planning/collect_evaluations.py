"""Makes the plan of a run out of the evaluations of its people, batch by batch. Nothing here can write.

Everybody may be in one batch, or a thousand people in each of many: the plan is the same, as long as people
who share a trace are in one batch. Names and uidNumbers are given once all are evaluated, in the order of
all claims."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path

from piactl.core.model.account import ASSIGNED, Account, State
from piactl.core.model.overrides import sponsor_of
from piactl.core.model.person import Assignment, Person
from piactl.core.model.settings import SourceSettings
from piactl.core.naming.posix_numbers import Numbers
from piactl.core.plan.case import Case, case_counts, case_remarks, closed_remarks
from piactl.core.plan.check_feed_limits import column_warnings
from piactl.core.plan.check_guards import Census, Tally, no_own_guards
from piactl.core.plan.drift import Drift
from piactl.core.plan.plan import (
    AbsentAssignment,
    Basis,
    Contradiction,
    Disagreement,
    DueArchival,
    Hold,
    HoldCode,
    Plan,
    ReadyPlan,
    Rejection,
)
from piactl.core.plan.recent_losses import (
    NO_LOSSES,
    NOTHING_TAKEN,
    losses_before,
    losses_with,
    taken_after,
    taken_lately,
)
from piactl.core.plan.state_between_runs import LastRun, Memory, SourceMemory, Waiting
from piactl.core.rules.address_allocation import Claim, addressed, claim_of, numbered, take
from piactl.core.rules.career import Career, career_of
from piactl.core.rules.desired_account import MATRICULE, Desired, Rules
from piactl.core.text import few
from piactl.directory.store.account_entries import Entry, Unreadable
from piactl.directory.store.base_digest import LAYOUT
from piactl.directory.store.state_records import memory_writes
from piactl.errors import UsageError
from piactl.phrase import Phrase, counted
from piactl.planning.account_index import AccountIndex, ManagedAccounts, census_of, numbers_of
from piactl.planning.account_writes import PlanRows, devices_at_no_device
from piactl.planning.count_feed_rows import Fate, FeedOfRun
from piactl.planning.drift_by_rules import device_drift, standing
from piactl.planning.evaluate import Evaluation
from piactl.planning.find_cases import row_is_gone
from piactl.planning.group_changes import plan_groups
from piactl.planning.load_feeds import check_counted, check_feed_dates, check_held
from piactl.planning.merge_feeds import MOST_REJECTED, Accepted, SourcedFeed
from piactl.planning.night_db import NightDb
from piactl.planning.run_state import RunState
from piactl.planning.signed_plan_file import PlanTable
from piactl.planning.vanished_accounts import ADVICE, leaving_sponsors, taken_names, vanished_drift

AT_ONCE = 500
"""New accounts of which the rows are made together."""
_MOST_NAMED = 5


def _lines(person: Person) -> tuple[tuple[int, str], ...]:
    return tuple(zip(person.lines, (a.uai for a in person.assignments), strict=False))


def _place(rejection: Rejection) -> tuple[str, int, str, str]:
    return rejection.file, rejection.line, rejection.column, rejection.code


@dataclass(slots=True)
class _Late:
    """An account that waits for a name or a number, and all that makes its row then. `lines` are its lines in
    each feed, with their establishments. `news` is what to remember of the person if the row is not made
    because of a hold, `waiting` if no number is left."""

    desired: Desired
    entry: Entry | None
    lines: tuple[tuple[tuple[int, str], ...], ...]
    at_rest: bool
    news: Waiting | None
    waiting: Waiting | None


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
        taken = self.memory.last.taken if self.memory.last else NOTHING_TAKEN
        self.tally = Tally(self.memory.sources, taken_lately(taken, self.as_of))
        self.table = PlanTable(folder, self.tally)
        self.numbers = numbers_of(accounts, rules.policy, state.listed)
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
        self.closed_late: list[str] = []
        """The accounts that are closed at once, because HR moved their end into the past."""
        self._late: list[_Late] = []
        """Those that claim no name, or that have an entry."""
        self.owners: dict[str, str] = {}
        self.table.add(devices_at_no_device(state.rare, self.memory.unwitnessed))

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
            feed.add(sourced, evaluation.before, self.as_of)
        late, ready = list[Desired](), list[Desired]()
        for wanted in desired:
            account = wanted.account
            needs_number = self.numbers is not None and account.uid and account.number is None
            is_late = wanted.base is not None or (needs_number and account.state is not State.ARCHIVED)
            (late if is_late else ready).append(wanted)
        waits = {wanted.account.uid for wanted in late}
        self.owners |= evaluation.owners
        news = {matricule: evaluation.news_of(matricule) for matricule in evaluation.merged.once}
        maker = self._maker(evaluation.index, news)
        uids = self._add_rows(maker, ready, {wanted.account.uid for wanted in desired})
        evaluation.holds += maker.holds
        self._collect(evaluation, desired, memory)
        waiting = evaluation.waiting({wanted.subject.matricule for wanted in desired})
        for matricule in {*maker.withheld, *(hold.matricule for hold in evaluation.holds)} & news.keys():
            waiting[matricule or ""] = news[matricule or ""]
        self.waiting |= waiting
        unsure = evaluation.unsure(waiting)
        written = [wanted for wanted in ready if wanted.account.uid in uids]
        for entry in evaluation.index.entries():
            if entry.account.uid not in uids and entry.account.uid not in waits:
                self._note(
                    entry.account, entry, written=False, at_rest=evaluation.is_at_rest(entry.account, unsure)
                )
        for wanted in written:
            at_rest = evaluation.is_at_rest(wanted.account, unsure)
            self._note(wanted.account, evaluation.entry(wanted), written=True, at_rest=at_rest)
        self._count(written)
        self._count_lines(evaluation, {wanted.subject.matricule or "" for wanted in written}, desired, late)
        self._keep_late(evaluation, late, unsure, news)
        return evaluation

    def _maker(self, index: AccountIndex, news: Mapping[str, Waiting]) -> PlanRows:
        return PlanRows(
            self.accounts,
            self.rules,
            index,
            self.memory,
            owners=self.owners,
            news=news,
            whole=self.whole,
            drift_waits=self.state.drift_waits,
            seals=self.state.seals,
        )

    def _add_rows(self, maker: PlanRows, desired: Sequence[Desired], decided: Set[str]) -> set[str]:
        """Adds the rows to the plan; returns the uids of their accounts."""
        rows = maker.rows(desired, decided)
        self.table.add(rows)
        self.drift += maker.left_over(rows)
        return {row.uid for row in rows}

    def _note(self, account: Account, entry: Entry | None, *, written: bool, at_rest: bool) -> None:
        if self.night is not None:
            self.night.note(
                account, entry.csn if entry else b"", self.rules, written=written, at_rest=at_rest
            )

    def _collect(self, evaluation: Evaluation, desired: Sequence[Desired], memory: Memory) -> None:
        merged, index = evaluation.merged, evaluation.index
        self.rejections += merged.rejections
        self.holds += evaluation.named_holds()
        self.absents += merged.absents
        self.disagreements += merged.disagreements
        self.archivals |= evaluation.archivals
        self.strangers.update(evaluation.strangers)
        for feed, sourced in zip(self.feeds, evaluation.feeds, strict=True):
            if evaluation.holds:
                why = {hold.matricule: hold.why for hold in evaluation.holds if hold.matricule}
                feed.held |= {m: why[m] for m in sourced.feed.present & why.keys()}
        self.cases |= evaluation.cases()
        self.rows_gone |= {id_ for id_, case in memory.cases.items() if row_is_gone(case, evaluation.feeds)}
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
                moved = account.state in ASSIGNED and after.assignments != account.assignments
                last = after.login_until
                if moved and after.state is State.DEACTIVATED and last and last < self.as_of - timedelta(1):
                    self.closed_late.append(account.uid)
            if account.overrides or after.overrides:
                sponsor = sponsor_of(after.overrides)
                self.sponsored |= {account.uid: sponsor} if sponsor else {}
        self.census = self.census.plus(census_of(index.accounts(), self.as_of))

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

    def _count(self, written: Sequence[Desired]) -> None:
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
            feed.add_rows(sourced, fate, self.memory.sources.get(feed.source.name))

    def _keep_late(
        self,
        evaluation: Evaluation,
        late: Sequence[Desired],
        unsure: Container[str | None],
        news: Mapping[str, Waiting],
    ) -> None:
        claims = list[tuple[Claim, _Late | int]]()
        for wanted in late:
            matricule = wanted.subject.matricule or ""
            entry, claim = evaluation.entry(wanted), claim_of(wanted, self.rules.policy)
            people = (sourced.feed.people.get(matricule) for sourced in evaluation.feeds)
            one = _Late(
                wanted,
                entry,
                tuple(_lines(person) if person else () for person in people),
                evaluation.is_at_rest(wanted.account, unsure),
                news.get(matricule),
                evaluation.waiting_for(matricule) if self.numbers is not None and entry is None else None,
            )
            if claim is not None and entry is None:
                # the rest needs no person, whose NUMEN must not go to the disk; a career is made again sooner
                bare = replace(wanted.subject, person=None)
                one.desired = replace(wanted, subject=bare, career=self._career(()))
                claims.append((claim, one))
                continue
            if claim is not None:
                claims.append((claim, len(self._late)))
            self._late.append(one)
        self.table.add_claims(claims)

    # everybody together

    def give_names(self, names: Container[str], renew_lock: Callable[[], None]) -> None:
        """Gives names and numbers to those who claim one, and makes their rows. `names` are those of the
        accounts that there are."""
        rest = ((one, numbered(desired, self.numbers)) for one, desired in self._named(names))
        while self._make_late_rows(rest):
            renew_lock()

    def _named(self, names: Container[str]) -> Iterator[tuple[_Late, Desired]]:
        """The late accounts with their names: those that claim none, then the others as their claims come."""
        numberless = [one for one in self._late if one.desired.base is None]
        for one in sorted(numberless, key=lambda one: one.desired.account.uid):
            yield one, one.desired
        if not self.table.has_claims:
            return
        state = self.state
        taken = taken_names(self.accounts, self.rules, state.listed, state.first_owners, names)
        for claim, claimant in self.table.claims():
            one = self._late[claimant] if isinstance(claimant, int) else claimant
            if one is claimant:
                one.desired = replace(one.desired, career=self._career(one.desired.account.assignments))
            yield one, addressed(one.desired, *take(claim, taken), self.rules.policy)

    def _career(self, posts: Sequence[Assignment]) -> Career:
        return career_of(posts, self.rules.policy, self.rules.register)

    def _make_late_rows(self, rest: Iterator[tuple[_Late, Desired | None]]) -> bool:
        """Makes the rows of the next accounts that have their names now; returns whether there were any. An
        account is None if no number is left for a new one."""
        index, some = AccountIndex(), dict[str, tuple[_Late, Desired]]()
        asked = False
        for one, desired in rest:
            asked = True
            if one.entry is not None:
                index.add(one.entry)
                if one.entry.account.state is State.ARCHIVED:  # it may come back under another matricule
                    digest = self.rules.keys.digest(MATRICULE, one.desired.subject.matricule or "")
                    index.archived[digest] = one.entry
            if desired is None:
                self._hold_without_number(one)
            else:
                some[desired.account.uid] = one, desired
            if len(some) >= AT_ONCE:
                break
        news = {one.desired.subject.matricule or "": one.news for one, _ in some.values() if one.news}
        maker = self._maker(index, news)
        uids = self._add_rows(maker, [desired for _, desired in some.values()], {*some})
        self._count([desired for uid, (_, desired) in some.items() if uid in uids])
        why = {hold.matricule: hold.why for hold in maker.holds}
        self.holds += maker.holds
        for uid, (one, desired) in some.items():
            matricule, written = desired.subject.matricule or "", uid in uids
            stays = matricule in why or matricule in maker.withheld
            if stays and matricule in news:
                self.waiting[matricule] = news[matricule]
            fate = Fate.HELD if matricule in why else Fate.APPLIED if written else Fate.UNCHANGED
            self._count_late(one, matricule, fate, why.get(matricule, ""))
            account = desired.account if written or one.entry is None else one.entry.account
            self._note(account, one.entry, written=written, at_rest=one.at_rest and not stays)
        return asked

    def _hold_without_number(self, one: _Late) -> None:
        subject, why = one.desired.subject, self.numbers.none_left if self.numbers else ""
        uid = subject.current.uid if subject.current else None
        self.holds.append(Hold(subject.matricule, uid, why, HoldCode.NUMBER))
        record = one.news or one.waiting
        if record is not None:
            self.waiting[subject.matricule or ""] = record
        self._count_late(one, subject.matricule or "", Fate.HELD, why)

    def _count_late(self, one: _Late, matricule: str, fate: Fate, why: str) -> None:
        for feed, lines in zip(self.feeds, one.lines, strict=True):
            if lines:
                feed.add_late(lines, fate)
                if fate is Fate.HELD:
                    feed.held[matricule] = why

    # the plan

    def plan(self, others: Census, skipped: Mapping[str, int]) -> ReadyPlan:
        """The plan. `others` is the census of the accounts that were not evaluated, `skipped` their number
        from each source.

        Raises FeedRefused if a feed breaks a limit of its source, or if too many of its people are held, and
        it is not accepted. A plan that breaks guards is returned with its refusals.
        """
        memory, policy, as_of, tally = self.memory, self.rules.policy, self.as_of, self.tally
        for feed in self.feeds:
            feed.finish(skipped.get(feed.source.name, 0) if feed.facts.full else 0)
        check_counted(self.feeds, memory, as_of, self.accepted.feeds)
        groups = plan_groups(self.accounts, self.rules, memory.last)
        self.table.add(groups.rows)
        check_held(self.feeds, memory, as_of, self.accepted.feeds)
        former, losses, taken = memory.last, NO_LOSSES, NOTHING_TAKEN
        if former:
            losses = losses_before(former.losses, former.unfinished, tally.by_kind(), as_of)
            taken = former.taken
        before = others.plus(self.census)
        facts = [feed.facts for feed in self.feeds]
        holds = tuple(sorted(self.holds, key=lambda hold: (hold.matricule or "", hold.uid or "")))
        held_names = [hold.uid or hold.matricule or "" for hold in holds]
        several = sum(source.full for source in self.sources.values()) > 1
        in_sources = {one.source: one.people for one in facts if one.full} if several else {}
        cases = dict(sorted(self.cases.items()))
        order = {name: place for place, name in enumerate(self.sources)}
        devices = device_drift(*self.accounts[:2], self.state.rare.foreign_devices)
        vanished = vanished_drift(self.accounts, memory.vanished)
        drift = sorted([*self.drift, *vanished, *devices], key=lambda one: one.rank)
        plan = Plan(
            basis=Basis.of(self.rules, self.accounts.directory.accounts, former, facts),
            changes=self.table.changes(),
            rejections=tuple(sorted(self.rejections, key=_place)),
            holds=holds,
            absents=tuple(
                sorted(
                    self.absents,
                    key=lambda absent: (
                        order.get(absent.source, len(order)),
                        *(absent.source, absent.matricule, absent.uai, absent.function, absent.start),
                    ),
                )
            ),
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
                feed.quality(tally.posts, memory.sources.get(feed.source.name), as_of) for feed in self.feeds
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
            layout=LAYOUT,
            losses=losses_with(losses, plan.summary, as_of),
            taken=taken_after(taken, tally.lost, tally.given, as_of),
        )
        remembered_state = Memory(
            last,
            {
                name: replace(
                    source,
                    rejected=source.rejected[:MOST_REJECTED],
                    absences=dict(sorted(source.absences.items())),
                )
                for name, source in self.source_memory.items()
            },
            dict(sorted(self.waiting.items())),
            standing(self.drift),
            self._archivals(),
            cases,
            memory.vanished,
        )
        places = self.accounts.directory.state
        records = memory_writes(self.state.remembered, remembered_state, places, self.rules.keys)
        return ReadyPlan(plan, self.table.writes(), tuple(records), last)

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
        if self.closed_late:
            yield Phrase(
                "WARNING: closed at once, because HR moved the end into the past: {accounts}; HR: check "
                "that end",
                accounts=few(sorted(self.closed_late), _MOST_NAMED),
            )
        for feed in self.feeds:
            facts = feed.facts
            last = self.memory.sources.get(facts.source)
            if last is not None and last.record.digest == facts.digest:
                yield Phrase("Nothing new: {file} had already been applied", file=facts.file)
            for remark in feed.remarks(feed.duplicates, feed.unusual_numens):
                yield Phrase("{file}: {remark}", file=facts.file, remark=remark)
            before = last.comparable if last else None
            for column, difference in column_warnings(facts, before, feed.source, self.as_of).items():
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
