"""Reconciles the directory with feeds, dates and policy: the plan of one run. Nothing here can write."""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from itertools import chain

from piactl.core.model.account import State
from piactl.core.model.numen_and_digests import NUMEN
from piactl.core.model.overrides import override_words
from piactl.core.model.person import Person
from piactl.core.model.settings import SourceSettings
from piactl.core.naming.local_part_and_capitalisation import TakenNames
from piactl.core.naming.posix_numbers import Numbers
from piactl.core.plan.change import Change
from piactl.core.plan.drift import Drift
from piactl.core.plan.feed_quality import FeedQuality
from piactl.core.plan.guards import Census, Tally, no_own_guards, tally
from piactl.core.plan.identity_case import (
    BY_RULE,
    Case,
    CaseAnswer,
    Decision,
    case_counts,
    case_remarks,
    closed_remarks,
)
from piactl.core.plan.losses import (
    NO_LOSSES,
    NOTHING_TAKEN,
    losses_before,
    losses_with,
    taken_after,
    taken_lately,
)
from piactl.core.plan.plan import Basis, Contradiction, HoldCode, Plan, Rows
from piactl.core.plan.run_state import LastRun, Memory, SourceMemory, Waiting, bare, waiting_for
from piactl.core.plan.sync_cache import SyncCache
from piactl.core.rules.address_allocation import all_named
from piactl.core.rules.confirmation import contradicted
from piactl.core.rules.desired import MATRICULE, Desired, Rules, local_of
from piactl.core.rules.matching import Births, Doubt, birth_digests
from piactl.core.rules.reasons import post_text
from piactl.core.text import counted
from piactl.directory.store.accounts import (
    Entry,
    Unreadable,
    read_accounts,
    read_accounts_named,
    read_accounts_of,
)
from piactl.directory.store.attribute_scans import read_foreign_names, read_identifiers, read_owners
from piactl.directory.store.base_digest import LAYOUT, is_sealed
from piactl.directory.store.state_records import memory_writes
from piactl.errors import UsageError
from piactl.flows.drift import decided, device_drift, drift_list, remembered
from piactl.flows.plan.chunks import PlanAssembly
from piactl.flows.plan.deleted_entries import FirstOwners, ListedNames, hold_unmanaged, vanished_drift
from piactl.flows.plan.evaluate import Evaluation
from piactl.flows.plan.feed_quality import PlannedPeople, qualities, warnings
from piactl.flows.plan.group_changes import plan_groups
from piactl.flows.plan.incremental import NextCache, RunState, SkipSet
from piactl.flows.plan.inputs.account_index import AccountIndex, ManagedAccounts, census_of, numbers_of
from piactl.flows.plan.inputs.certain_joins import SetNumbers, certain_joins, set_numbers
from piactl.flows.plan.inputs.identity_cases import find_cases, row_is_gone
from piactl.flows.plan.inputs.linked_matricules import LinkedMatricules
from piactl.flows.plan.inputs.load_feeds import check_feed_dates, check_held, check_limits
from piactl.flows.plan.inputs.lost_zeros import without_slips
from piactl.flows.plan.inputs.merge_feeds import NOTHING, Accepted, MergedFeeds, SourcedFeed, judged
from piactl.flows.plan.plan_rows import PlanRows
from piactl.flows.plan.ready_plan import AccountWrite, ReadyPlan
from piactl.flows.plan.sponsors import ADVICE, leaving_sponsors
from piactl.flows.plan.staged import Names

EVERYBODY = SkipSet()
CORRECTED_DAYS = 92
"""For so long a birth date that HR has corrected is an error if HR states it again; later it is a case."""
REMEMBERED_DAYS = 366
"""How long a decision that joined a matricule, or accepted another birth date, can be taken back."""


def reconcile(
    accounts: ManagedAccounts,
    rules: Rules,
    sources: Mapping[str, SourceSettings],
    feeds: Sequence[SourcedFeed],
    state: RunState,
    accepted: Accepted = NOTHING,
    tick: Callable[[], None] = lambda: None,
    skip: SkipSet = EVERYBODY,
    cache: NextCache | None = None,
    numbers: Numbers | None = None,
) -> ReadyPlan:
    """The plan of one run and its writes; without feeds, what dates and the policy alone change.

    Evaluates together everybody except the accounts of `skip`, whose rows were not read from the feeds, and
    adds the staged changes. `cache` collects what the run leaves for the next, `numbers` are those that the
    chunks have taken. `tick` is called now and then.

    Reads the directory in whole searches, never one per person. Raises FeedRefused if a feed breaks a limit
    of its source and is not `accepted`, UnsafePlan if the date of one is far from that of the run, UsageError
    if an accepted feed is not one of this run, DirectoryTruncated, DirectoryUnreachable; a plan that breaks
    guards is returned with its refusals.
    """
    strangers = sorted(set(accepted.feeds) - {sourced.feed.facts.digest for sourced in feeds})
    if strangers:
        raise UsageError(
            f"--accept-feed {strangers[0]}: no feed of this run has this digest; copy it from the message "
            "that refused the feed"
        )
    if not accepted.date:
        check_feed_dates(feeds, rules.as_of, accepted.feeds)
    evaluation = _JointEvaluation(
        rules,
        sources,
        feeds,
        state.memory,
        AccountIndex(),
        cache,
        tick,
        accepted,
        numbers or numbers_of(accounts, rules.policy, state.listed),
    )
    evaluation.read(accounts, state, skip)
    skipped = cache.cache.known(skip.entries()) if cache else {}
    check_limits(evaluation.feeds, state.memory, evaluation.known(), rules.as_of, accepted.feeds, skipped)
    return evaluation.plan()


class _JointEvaluation(Evaluation):
    """Evaluates together everybody who is not in the skip set, and makes the plan of all."""

    accounts: ManagedAccounts
    state: RunState
    skip: SkipSet
    answered: Sequence[Case] = ()
    """The cases of newcomers that need nobody."""

    def read(self, accounts: ManagedAccounts, state: RunState, skip: SkipSet) -> None:
        """Reads the accounts, and judges the feeds, with each person under one matricule."""
        self.accounts, self.state, self.skip = accounts, state, skip
        keys, policy, register = self.rules.keys, self.rules.policy, self.rules.register
        for entry in self._entries():
            self._add(entry)
        self.feeds = [replace(s, feed=without_slips(s.feed, state.slips)) for s in self.feeds]
        numbers = set_numbers(self.feeds, self.sources.values())
        self._read_feeds_of(state.linked)
        # people in waiting may have an account that was not read, often an archived one
        if state.due_only:
            self._add_others(self.memory.waiting)
        elif skip:
            former = (p.former for sourced in self.feeds for p in sourced.feed.people.values() if p.former)
            self._add_others(dict.fromkeys([*self._people(), *self.memory.waiting, *former]))
        self._read_feeds_of(LinkedMatricules().returning(self.index, self._people(), keys))
        self._join(numbers)
        self.feeds = [judged(sourced, policy, register) for sourced in self.feeds]

    def _join(self, numbers: SetNumbers) -> None:
        """Reads the rows of newcomers who need no decision as those of their account, or of one person."""
        joins = certain_joins(self.feeds, self.index, self.memory, self.rules, numbers)
        first: dict[str, str] = dict(joins.first)
        for matricule, account in joins.accounts.items():
            if account.matricule is not None:
                first[matricule] = account.matricule
                continue
            # the first one that comes back to an archived account is its matricule from now on
            lead = min(m for m, other in joins.accounts.items() if other.uid == account.uid)
            digest = self.rules.keys.digest(MATRICULE, lead)
            self.index.archived[digest] = self.index.archived[account.matricule_digests[0]]
            first[matricule] = lead
        for matricule, lead in first.items():
            self.joining[lead] = (*self.joining.get(lead, ()), matricule)
        self.answered = joins.cases
        self._read_feeds_of(LinkedMatricules({m: lead for m, lead in first.items() if m != lead}))

    def _people(self) -> Iterator[str]:
        return (m for sourced in self.feeds for m in (*sourced.feed.people, *sourced.feed.held))

    def _read_feeds_of(self, linked: LinkedMatricules) -> None:
        """Reads the feeds and the memory with these people, who have several matricules, under their first
        ones."""
        linked = linked.named(self._people(), self.rules.keys)
        self.memory = linked.memory(self.memory)
        self.feeds = [replace(sourced, feed=linked.feed(sourced.feed)) for sourced in self.feeds]

    def _entries(self) -> Iterable[Entry | Unreadable]:
        if self.skip:
            return read_accounts_named(*self.accounts, self.skip.evaluate)
        if not self.state.due_only:
            return read_accounts(*self.accounts)
        since = self.state.since or (self.memory.last.began if self.memory.last else None)
        entries = read_accounts(*self.accounts, due=self.as_of, written_since=since)
        by_dn = {entry.dn: entry for entry in entries}
        # the changes of other programs that remain are listed every night
        for entry in read_accounts_named(*self.accounts, [*self.memory.drift, *self.memory.unwitnessed]):
            by_dn.setdefault(entry.dn, entry)
        return by_dn.values()

    def _add_others(self, matricules: Iterable[str]) -> None:
        """Reads the accounts of these people that were not read yet."""
        seen = {entry.dn for entry in self.index.entries()} | {entry.dn for entry in self.index.unreadable}
        missing = [m for m in matricules if m not in self.index.by_matricule]
        for entry in read_accounts_of(*self.accounts, self.rules.keys, missing):
            if entry.dn not in seen:
                self._add(entry)

    def _add(self, entry: Entry | Unreadable) -> None:
        days = self.rules.policy.drift_days
        self.index.add(decided(entry, self.accounts.encoding, self.memory, self.as_of, days))

    def plan(self) -> ReadyPlan:
        """The plan of the run. Raises FeedRefused if too many people of a feed that is not `accepted` are
        held."""
        merged = self.merge()
        hold_unmanaged(merged, self.accounts, self.index, self.memory)
        rejected = len(merged.rejections)
        find_cases(merged, self.index, self.memory, self.rules)
        self.rejections += merged.rejections[rejected:]
        self._find_owners()
        subjects = self.subjects(merged)
        waits = {key[0] for name in merged.sources for key in self.unconfirmed(merged, name)}
        desired, names = self._named(self.desired(subjects, waits))
        has_delta = any(not sourced.feed.facts.full for sourced in self.feeds)
        plan_rows = PlanRows(self.accounts, self.rules, self.index, self.memory.waiting, has_delta)
        plan_rows.drift, plan_rows.drift_waits = self._drift(), self.state.drift_waits
        plan_rows.unwitnessed = self.memory.unwitnessed
        fed = {sourced.source.name for sourced in self.feeds if sourced.feed.facts.full}
        plan_rows.whole = bool(fed) and all(name in fed for name, s in self.sources.items() if s.full)
        groups = plan_groups(self.accounts, self.rules, self.memory.last)
        rows = [*plan_rows.rows(desired), *groups.rows]
        self.tick()
        self.holds += plan_rows.holds
        check_held(self.feeds, self.holds, self.memory, self.as_of, self.accepted.feeds)
        before = self._census()
        by_uid = {d.account.uid: d for d in desired}
        # archived accounts that only get their link are not among them
        written = [by_uid[uid] for uid in dict.fromkeys(write.uid for write, _ in rows) if uid in by_uid]
        after = self._census_after(before, written)
        waiting = self._waiting(merged, {d.subject.matricule for d in desired})
        self._keep_news_of_held(merged, waiting, plan_rows.withheld)
        changes: Rows[Change] = tuple(change for _, made in rows for change in made)
        writes: Rows[AccountWrite] = tuple(write for write, _ in rows)
        drift = plan_rows.left_over(rows)
        partly = self.state.due_only or bool(self.skip)
        standing = remembered(drift, self.memory.drift, self.index.accounts(), partly=partly)
        former, losses, taken = self.memory.last, NO_LOSSES, NOTHING_TAKEN
        if former:
            taken = former.taken
        lately = taken_lately(taken, self.as_of)
        counted = tally(changes, self.memory.sources, lately)
        if self.cache is not None and self.skip.staged is not None:
            assembly = PlanAssembly(self.cache, self.skip.staged, self.tick, self.memory.sources, lately)
            changes, writes = assembly.rows(rows, names)
            counted, after = assembly.tally, assembly.census(after)
        if former:
            losses = losses_before(former.losses, former.unfinished, counted.by_kind(), self.as_of)
        merged.cases |= {case.id: case for case in self.answered}
        cases = self._cases(merged)
        policy, facts = self.rules.policy, [sourced.feed.facts for sourced in self.feeds]
        held = [hold.uid or hold.matricule or "" for hold in self.holds]
        several = sum(source.full for source in self.sources.values()) > 1
        in_sources = (
            {feed_facts.source: feed_facts.people for feed_facts in facts if feed_facts.full}
            if several
            else {}
        )
        plan = Plan(
            basis=Basis.of(self.rules, self.accounts.directory.accounts, former, facts),
            changes=changes,
            rejections=tuple(self.rejections),
            holds=tuple(sorted(self.holds, key=lambda hold: (hold.matricule or "", hold.uid or ""))),
            absents=tuple(merged.absents),
            drift=tuple(drift),
            contradictions=tuple(self._contradictions(by_uid)),
            disagreements=tuple(
                sorted(
                    merged.disagreements,
                    key=lambda disagreement: (disagreement.uid or "", disagreement.matricule or ""),
                )
            ),
            refusals=tuple(
                counted.refusals(before, policy, self.as_of, held=held, losses=losses, sources=in_sources)
            ),
            archivals=tuple(archival for _, archival in sorted(self.archivals.items())),
            remarks=(
                *self._remarks(),
                *case_remarks(cases.values(), self.rules.matching, self.as_of),
                *closed_remarks(self.memory.cases, cases, lambda case: row_is_gone(case, self.feeds)),
                *self._sponsors(by_uid),
                *(self.numbers.remarks() if isinstance(self.numbers, Numbers) else ()),
                *groups.remarks,
                *counted.remarks(),
            ),
            cases=case_counts(cases.values(), self.rules.matching, self.as_of),
            summary=counted.by_kind(),
            totals=counted.totals(),
            counted=counted.counted(before, policy, self.as_of, held=held, losses=losses),
            impact=tuple(counted.impact(before, policy, self.as_of, in_sources)),
            quality=tuple(self._quality(written, desired, counted)),
        )
        last = LastRun(
            run="",
            as_of=self.as_of,
            policy=policy.digest,
            register=self.rules.register_digest,
            plan="",
            clean=True,
            census=after,
            otp_schema=self.accounts.encoding.otp_schema,
            layout=LAYOUT,
            losses=losses_with(losses, plan.summary, self.as_of),
            taken=taken_after(taken, counted.lost, counted.given, self.as_of),
            unbased=self._unbased({write.uid for write, _ in rows}),
        )
        archivals = self._archivals(by_uid)
        of_sources = self._without_archived(merged, desired)
        memory = Memory(last, of_sources, waiting, standing, archivals, cases, self.memory.vanished)
        places = self.accounts.directory.state
        records = tuple(memory_writes(self.state.remembered, memory, places, self.rules.keys))
        self._keep_cache_entries(self.unsure(merged, memory), {write.uid for write, _ in rows}, written)
        return ReadyPlan(plan, writes, records, last)

    def _drift(self) -> list[Drift]:
        """What other programs changed on accounts, the entries that they deleted, and the devices that they
        added, in the order of a plan."""
        reader, directory, _ = self.accounts
        days, entries = self.rules.policy.drift_days, self.index.entries()
        account_drift = drift_list(reader, directory, entries, self.memory, self.as_of, days, self.owners)
        apart = vanished_drift(self.accounts, self.memory.vanished), device_drift(reader, directory)
        return sorted(chain(account_drift, *apart), key=lambda drift: drift.rank)

    def _census_after(self, before: Census, written: Sequence[Desired]) -> Census:
        """The census once these accounts are written."""
        former = census_of((d.subject.current for d in written if d.subject.current), self.as_of)
        return before.plus(former, -1).plus(census_of((d.account for d in written), self.as_of))

    def _keep_cache_entries(
        self, unsure: Collection[str], written: Collection[str], desired: Iterable[Desired]
    ) -> None:
        """Keeps the cache entries of the accounts that need nothing, and prepares those of the accounts that
        this run writes, except for the `unsure` ones."""
        if self.cache is None or not self.cache.complete:
            return
        into = self.cache.cache
        for draft in self.cache_entries({*unsure, *written}):
            into.packed[draft.key] = into.pack(draft)
        self.cache.skipped = self.skip.unchanged
        self.expect(((d.account, self._csn(d)) for d in desired), unsure)

    def _quality(
        self, written: Iterable[Desired], desired: Iterable[Desired], counted: Tally
    ) -> Iterator[FeedQuality]:
        with_account = {wanted.subject.matricule for wanted in desired}
        planned_people = PlannedPeople(
            written={wanted.subject.matricule or "" for wanted in written},
            held={hold.matricule for hold in self.holds if hold.matricule},
            without={
                matricule
                for matricule in self._people()
                if matricule not in with_account and self.index.entry(matricule, self.rules.keys) is None
            },
            posts=counted.posts,
            staged=self.skip.staged if self.skip.staged is not None else (),
            owners=self.cache.owners if self.cache and self.skip.staged is not None else {},
        )
        return qualities(self.feeds, planned_people, self.memory.sources, self.as_of)

    def _unbased(self, written: Container[str]) -> tuple[str, ...] | None:
        """The accounts that have never had a sealed base by the end of this run, which writes the `written`
        ones; see `LastRun`."""
        last = self.memory.last
        # the list of an earlier version is of accounts without an unsealed base
        before = last.unbased if last and last.layout >= LAYOUT else None
        if before is None and self.state.due_only:
            return None
        without = {
            entry.account.uid
            for entry in self.index.entries()
            if not is_sealed(entry.base) and not (entry.drift and entry.drift.baseless)
        }
        without |= {entry.uid for entry in self.index.unreadable}
        unbased = {uid for uid in without if uid not in written}
        if before is None:
            return tuple(sorted(unbased))
        seen = {account.uid for account in self.index.accounts()}
        return tuple(uid for uid in before if uid not in seen or uid in unbased)

    def _csn(self, desired: Desired) -> bytes:
        """The entryCSN of the current entry of an account, b"" if there is none or it was not read."""
        matricule = desired.subject.matricule
        entry = self.index.entry(matricule, self.rules.keys) if matricule else None
        return entry.csn if entry else b""

    def _census(self) -> Census:
        """The census before the run. A night without a feed relies on the one that the last run left."""
        if self.state.due_only and self.memory.last:
            return self.memory.last.census
        here = self.index.census(self.as_of)
        return here.plus(self.cache.cache.census(self.skip.entries())) if self.cache else here

    def _named(self, desired: Sequence[Desired]) -> tuple[list[Desired], Names]:
        """The accounts with the names that they get, and the names of the staged newcomers."""
        staged = self.skip.staged
        if staged is None and not any(wanted.base for wanted in desired):
            return list(desired), Names.none()
        names = set(read_foreign_names(*self.accounts)) | self.index.names
        if self.state.due_only:
            names |= set(read_identifiers(*self.accounts))
        policy = self.rules.policy
        cache = self.cache.cache if self.cache else SyncCache("", 0, ())
        skipped = ListedNames(self.state.listed, cache, self.skip.entries(), self.skip)
        owns = FirstOwners(self.accounts.directory, self.rules.keys)
        first = policy.first_homonym_digit
        taken = TakenNames(map(local_of, names), first, skipped, self.state.first_owners, owns)
        staged_names, without = Names.none(), list[int]()

        def give(local: str, uid: str, number: int) -> None:
            posix = self.numbers.number_for(uid) if self.numbers else 0
            if posix is None:
                without.append(number)
            else:
                staged_names.give(local, uid, number, posix)

        claims = staged.claims() if staged is not None else ()
        result = all_named(desired, claims, taken, policy, give, self.numbers)
        for wanted, named in zip(desired, result, strict=True):
            if named is None:
                self.hold_without_number(wanted.subject.matricule)
        if staged is not None and without:
            self.skip = replace(self.skip, staged=staged.without((), without))
            for number in without:
                self.hold_without_number(staged.matricule(number))
        return [named for named in result if named is not None], staged_names

    def _waiting(self, merged: MergedFeeds, with_account: set[str | None]) -> dict[str, Waiting]:
        waiting: dict[str, Waiting] = {}
        before = self.memory.waiting
        for matricule in dict.fromkeys([*before, *merged.people]):
            old = before.get(matricule)
            if matricule in merged.held:
                if old:
                    waiting[matricule] = old
                continue
            if matricule in with_account or matricule in self.index.by_matricule:
                continue
            person = merged.people.get(matricule) or (old.person if old else None)
            if person is None:
                continue
            numen, births = self._digests(person, old)
            assignments = merged.assignments.get(matricule, old.assignments if old else ())
            record = waiting_for(person, numen, births, assignments, self.rules.policy, self.as_of)
            if record is not None:
                waiting[matricule] = record
        return waiting

    def _keep_news_of_held(
        self, merged: MergedFeeds, waiting: dict[str, Waiting], withheld: Iterable[str | None]
    ) -> None:
        """Keeps the news that a delta brings of held people, or of those from whom changes are `withheld`,
        until they are no longer held, because no later feed repeats it. The news of those whom a case keeps
        out is not kept: after a decision the delta is applied again."""
        for matricule in {*withheld, *(hold.matricule for hold in self.holds)} & merged.once.keys():
            person, assignments = merged.once[matricule or ""]
            numen, births = self._digests(person, self.memory.waiting.get(matricule or ""))
            waiting[matricule or ""] = Waiting(bare(person), numen, assignments, self.as_of, births)

    def _digests(self, person: Person, old: Waiting | None) -> tuple[str | None, Births]:
        """The digests of the NUMEN and of the birth of a person in waiting; `old` is their present record."""
        numen, births = (old.numen_digest, old.births) if old else (None, (None, None))
        if person.numen is not None:
            numen = self.rules.keys.keep_or_renew(numen, NUMEN, person.numen.reveal())
        return numen, birth_digests(births, person, self.rules.keys, self.rules.matching)

    def _sponsors(self, by_uid: Mapping[str, Desired]) -> Iterator[str]:
        written = {uid: desired.account for uid, desired in by_uid.items()}
        # accounts with changes by hand are never in the sync cache, so the index has all of them
        for sentence in leaving_sponsors(self.accounts, self.index.accounts(), written):
            yield f"WARNING: {sentence}: {ADVICE}"

    def _contradictions(self, by_uid: Mapping[str, Desired]) -> Iterator[Contradiction]:
        """The changes by hand that HR contradicts, by uid, also of accounts that this run leaves as they
        are."""
        rules = self.rules
        for current in sorted(self.index.accounts(), key=lambda account: account.uid):
            account = by_uid[current.uid].account if current.uid in by_uid else current
            for override, row, beyond in contradicted(account, rules.policy, rules.register, rules.as_of):
                words = override_words(override) + (", beyond the last day of HR" if beyond else "")
                why = f"HR has {post_text(row, rules.policy)} [{row.origin}]"
                yield Contradiction(account.matricule, account.uid, words, why)

    def _cases(self, merged: MergedFeeds) -> dict[str, Case]:
        """The cases after this run. A case ends if a feed has its person and the case is not found again, or
        if its row is in no feed any more. A decision about newcomers stays."""
        before = self.memory.cases.items()
        remaining = {id_: case for id_, case in before if self._remains(case, merged)}
        # asked once: if HR states the wrong birth date again, it is known to be an error
        reason = "HR went back to the birth date of the account"
        error = Decision(CaseAnswer.WRONG_ROW, BY_RULE, reason, self.as_of)
        corrected = {
            id_: replace(case, decision=error)
            for id_, case in before
            if case.doubt is Doubt.BIRTH_CHANGED and case.open and id_ not in remaining
            if not row_is_gone(case, self.feeds)
        }
        return {**remaining, **corrected, **merged.cases}

    def _remains(self, case: Case, merged: MergedFeeds) -> bool:
        if case.of_newcomer and case.answered(CaseAnswer.SAME):
            return (self.as_of - case.since).days <= REMEMBERED_DAYS
        if case.answered(CaseAnswer.DIFFERENT) and not case.gates:
            return True
        if case.corrected:
            return (self.as_of - case.since).days <= CORRECTED_DAYS
        if case.gates and case.answered(CaseAnswer.SAME) and case.births:
            return (self.as_of - case.since).days <= REMEMBERED_DAYS
        if row_is_gone(case, self.feeds):
            return False
        entry = self.index.entry(case.matricule, self.rules.keys)
        matricule = (entry.account.matricule if entry else None) or case.matricule
        if case.gates:
            return (case.source, matricule) not in merged.asked
        rejected = merged.held.get(matricule, (HoldCode.CASE, ""))[0] is not HoldCode.CASE
        return rejected or all(asked != matricule for _, asked in merged.asked)

    def _find_owners(self) -> None:
        """Finds the owner of each address that another program put on an entry: the account whose ledger has
        it, else the first account that has it."""
        holders = [(e.account.uid, a) for e in self.index.entries() for a in e.account.foreign_addresses]
        if not holders:
            return
        for uid, address in sorted(holders, key=lambda holder: holder[0]):
            self.owners.setdefault(address.casefold(), uid)
        addresses = sorted({address for _, address in holders})
        self.owners.update(read_owners(*self.accounts, addresses))

    def _archivals(self, evaluated: Container[str]) -> dict[str, date]:
        """The archivals that are noted for the next runs. Those noted on a day after this run, by a wrong
        clock, do not count."""
        before = self.memory.archivals.items()
        remaining = {uid: day for uid, day in before if uid not in evaluated and day <= self.as_of}
        return dict(
            sorted({**remaining, **{uid: archival.noted for uid, archival in self.archivals.items()}}.items())
        )

    def _without_archived(self, merged: MergedFeeds, desired: Iterable[Desired]) -> dict[str, SourceMemory]:
        """The memory of sources without the deviations of people whose account is archived."""
        archived = {d.subject.matricule for d in desired if d.account.state is State.ARCHIVED}
        sources = dict(merged.sources)
        for name, source in merged.sources.items():
            if not archived.isdisjoint(source.deviations):
                deviations = {m: deviation for m, deviation in source.deviations.items() if m not in archived}
                sources[name] = replace(source, deviations=deviations)
        return sources

    def _remarks(self) -> Iterable[str]:
        run, policy = self.memory.last, self.rules.policy
        if run is not None and run.policy not in ("", policy.digest):
            yield f"the policy has changed since run {run.run} of {run.as_of}: {policy.file}"
        yield from filter(None, [no_own_guards(policy)])
        for sourced in self.feeds:
            facts = sourced.feed.facts
            last = self.memory.sources.get(facts.source)
            if last is not None and last.record.digest == facts.digest:
                yield f"{facts.file}: this file has already been applied"
            for remark in sourced.feed.remarks:
                yield f"{facts.file}: {remark.message}"
            for column, difference in warnings(sourced, last, self.as_of).items():
                yield f"WARNING: {facts.file}: column {column}: {difference}"
            strangers = self.strangers.get(facts.file)
            if strangers:
                yield (
                    f"{facts.file}: {counted(strangers, 'person', 'people')} without an account: "
                    f"{facts.source} makes none"
                )
            if facts.unattributed:
                yield (
                    f"{facts.file}: {counted(facts.unattributed, 'row has', 'rows have')} no known person: "
                    f"no absence from source {facts.source} counts in this run"
                )
        if self.state.due_only:
            yield "no feed: only the changes that are due were evaluated"
