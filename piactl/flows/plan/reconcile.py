"""Reconciles the directory with feeds, dates and policy: the plan of one run. Nothing here can write."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

from piactl.core.model.account import State
from piactl.core.naming.local_part import TakenNames
from piactl.core.plan.guards import Census, tally
from piactl.core.plan.plan import Basis, Changes, FeedBasis, ForeignAddress, Plan
from piactl.core.plan.run_state import LastRun, Memory, SourceMemory, Waiting, bare, waiting_for
from piactl.core.rules.address_allocation import all_named, named
from piactl.core.rules.desired import (
    NUMEN,
    Desired,
    local_of,
)
from piactl.core.rules.same_person import another_person
from piactl.directory.port import Reader
from piactl.directory.store.accounts import (
    Entry,
    Unreadable,
    read_accounts,
    read_accounts_named,
    read_accounts_of,
)
from piactl.directory.store.attribute_scans import (
    read_foreign_names,
    read_identifiers,
    read_owners,
)
from piactl.directory.store.state_records import memory_writes
from piactl.errors import UsageError
from piactl.flows.plan.chunked.assemble import Names, PlanAssembly
from piactl.flows.plan.incremental.evaluate import Evaluation
from piactl.flows.plan.incremental.next_cache import NextCache
from piactl.flows.plan.incremental.skip_set import SkipSet
from piactl.flows.plan.inputs.account_index import AccountIndex, census_of
from piactl.flows.plan.inputs.load_feeds import check_feed_dates, check_held, check_limits
from piactl.flows.plan.inputs.merge_feeds import (
    NOTHING,
    Accepted,
    MergedFeeds,
    SourcedFeed,
    judged,
    who_is_known,
)
from piactl.flows.plan.inputs.numen_conflicts import hold_shared_numens
from piactl.flows.plan.inputs.run_state import RunState, read_run_state
from piactl.flows.plan.proposal import Proposal
from piactl.flows.plan.rows.bundle import Writes
from piactl.flows.plan.rows.entry_diff import EntryDiff
from piactl.flows.site import Site

EVERYBODY = SkipSet()


def reconcile(
    reader: Reader,
    site: Site,
    feeds: Sequence[SourcedFeed],
    as_of: date,
    accepted: Accepted = NOTHING,
    tick: Callable[[], None] = lambda: None,
    state: RunState | None = None,
    skip: SkipSet = EVERYBODY,
    cache: NextCache | None = None,
) -> Proposal:
    """The plan of one run and its writes; without feeds, what dates and the policy alone change.

    Evaluates together everybody but the accounts of `skip`, without which the feeds were read, and adds the
    staged changes. `state` is read where it is not given; `cache` collects what the run leaves for the next.
    `tick` is called now and then.

    Reads the directory in whole searches, never one per person. Raises FeedRefused where a feed breaks a
    limit of its source and is not `accepted`, UnsafePlan where the date of one is far from `as_of`,
    UsageError where what is accepted is nothing of this run, DirectoryTruncated, DirectoryUnreachable; a plan
    that breaks guards is returned with its refusals.
    """
    strangers = sorted(set(accepted.feeds) - {sourced.feed.facts.digest for sourced in feeds})
    if strangers:
        raise UsageError(
            f"--accept-feed {strangers[0]}: no feed of this run has this digest; the message that refused it "
            "says the right one"
        )
    if not accepted.date:
        check_feed_dates(feeds, as_of, accepted.feeds)
    feeds = [judged(sourced, site.policy, site.register) for sourced in feeds]
    if state is None:
        state = read_run_state(reader, site, as_of, feeds=bool(feeds))
    evaluation = _JointEvaluation(reader, site, feeds, as_of, tick, state, skip, cache, accepted)
    skipped = cache.cache.known(skip.entries()) if cache else {}
    check_limits(feeds, state.memory, evaluation.known(), as_of, accepted.feeds, skipped)
    return evaluation.proposal()


class _JointEvaluation(Evaluation):
    """Evaluates together everybody who is not in the skip set, and makes the plan of all."""

    def __init__(
        self,
        reader: Reader,
        site: Site,
        feeds: Sequence[SourcedFeed],
        as_of: date,
        tick: Callable[[], None],
        state: RunState,
        skip: SkipSet,
        cache: NextCache | None,
        accepted: Accepted,
    ) -> None:
        self.reader, self.directory = reader, site.settings.directory
        self.state, self.skip = state, skip
        super().__init__(site, feeds, as_of, state.memory, AccountIndex(), cache, tick, accepted)
        for entry in self._entries():
            self.index.add(entry)
        # people in waiting may have an account that was not read, above all an archived one
        if state.due_only:
            self._add_others(self.memory.waiting)
        elif skip:
            people = [m for sourced in feeds for m in (*sourced.feed.people, *sourced.feed.held)]
            self._add_others(dict.fromkeys([*people, *self.memory.waiting]))

    def _entries(self) -> Iterable[Entry | Unreadable]:
        encoding = self.site.encoding
        if self.skip:
            return read_accounts_named(self.reader, self.directory, encoding, self.skip.evaluate)
        due = self.as_of if self.state.due_only else None
        return read_accounts(self.reader, self.directory, encoding, due=due)

    def _add_others(self, matricules: Iterable[str]) -> None:
        """Reads the accounts of these people that were not read yet."""
        seen = {entry.account.uid for entry in self.index.entries()}
        missing = [m for m in matricules if m not in self.index.by_matricule]
        for entry in read_accounts_of(
            self.reader, self.directory, self.site.encoding, self.rules.keys, missing
        ):
            if isinstance(entry, Unreadable) or entry.account.uid not in seen:
                self.index.add(entry)

    def proposal(self) -> Proposal:
        """Raises FeedRefused where too many people of a feed that is not `accepted` are held."""
        told = self.told()
        self._refuse_needless(told)
        hold_shared_numens(told, self.index, self.memory, self.rules.keys)
        self._find_owners()
        subjects = self.subjects(told)
        waits = {key[0] for name in told.sources for key in self.unconfirmed(told, name)}
        desired, names = self._named(self.desired(subjects, waits))
        told_once = any(not sourced.feed.facts.full for sourced in self.feeds)
        entry_diff = EntryDiff(self.reader, self.site, self.rules, self.index, self.memory.waiting, told_once)
        rows = entry_diff.rows(desired)
        self.tick()
        self.holds += entry_diff.holds
        check_held(self.feeds, self.holds, self.memory, self.as_of, self.accepted.feeds)
        before = self._census()
        by_uid = {d.account.uid: d for d in desired}
        # archived accounts that only get their link are none of them
        written = [by_uid[uid] for uid in dict.fromkeys(write.uid for write, _ in rows) if uid in by_uid]
        after = before.plus(
            census_of((d.subject.current for d in written if d.subject.current), self.as_of), -1
        ).plus(census_of((d.account for d in written), self.as_of))
        waiting = self._waiting(told, {d.subject.matricule for d in desired})
        self._keep_news_of_held(told, waiting)
        changes: Changes = tuple(change for _, made in rows for change in made)
        writes: Writes = tuple(write for write, _ in rows)
        foreign = self._foreign_addresses()
        counted = tally(changes)
        if self.cache is not None and self.skip.staged is not None:
            assembly = PlanAssembly(self.cache, self.skip.staged, entry_diff, self.as_of, self.tick)
            changes, writes = assembly.rows(rows, names, Path(self.site.settings.state_folder))
            counted, after = assembly.tally, assembly.census(after)
        plan = Plan(
            basis=self._basis(),
            changes=changes,
            rejections=tuple(self.rejections),
            holds=tuple(sorted(self.holds, key=lambda hold: (hold.matricule or "", hold.uid or ""))),
            absents=tuple(told.absents),
            foreign_addresses=tuple(self._foreign(foreign)),
            disagreements=tuple(sorted(told.disagreements, key=lambda one: one.uid)),
            refusals=tuple(counted.refusals(before, self.rules.policy, self.as_of)),
            archivals=tuple(one for _, one in sorted(self.archivals.items())),
            remarks=tuple(self._remarks()),
            summary=counted.by_kind(),
        )
        digests = self.rules.policy.digest, self.site.register_digest
        otp_schema = self.site.encoding_for(self.reader).otp_schema
        last = LastRun("", self.as_of, *digests, "", True, after, otp_schema)
        memory = Memory(
            last, self._without_archived(told, desired), waiting, foreign, self._archivals(by_uid)
        )
        state = self.directory.state
        records = tuple(memory_writes(self.state.remembered, memory, state, self.rules.keys))
        unsure = self.unsure(told, memory)
        if self.cache is not None and self.cache.kept:
            unchanged = self.cache_entries({*unsure, *(write.uid for write, _ in rows)})
            self.cache.cache.packed.update(unchanged)
            self.cache.skipped = self.skip.unchanged
            self.expect(((d.account, self._csn(d)) for d in written), unsure)
        return Proposal(plan, writes, records, memory, self.cache)

    def _refuse_needless(self, told: MergedFeeds) -> None:
        """Raises UsageError where somebody is accepted by hand who would not be held: a slip of the hand
        must not let anybody through on another day."""
        needless = sorted(set(self.accepted.people) - told.let_through)
        if needless:
            raise UsageError(
                f"--accept-person {needless[0]}: nobody is held as another person under this matricule in "
                "this run; the message that held one says the right matricule"
            )

    def _csn(self, desired: Desired) -> bytes:
        """The entryCSN of the entry that an account is to be made of, b"" where there is none or it was not
        read."""
        matricule = desired.subject.matricule
        entry = self.index.entry(matricule, self.rules.keys) if matricule else None
        return entry.csn if entry else b""

    def _census(self) -> Census:
        """The accounts before the run. A night without a feed relies on what the last one left."""
        if self.state.due_only and self.memory.last:
            return self.memory.last.census
        here = self.index.census(self.as_of)
        return here.plus(self.cache.cache.census(self.skip.entries())) if self.cache else here

    def _named(self, desired: Sequence[Desired]) -> tuple[list[Desired], Names]:
        """With the names that those who need one get, and the names of the staged newcomers."""
        staged = self.skip.staged
        if staged is None and not any(one.base for one in desired):
            return list(desired), Names()
        names = set(read_foreign_names(self.reader, self.directory, self.site.encoding)) | self.index.names
        if self.state.due_only:
            names |= set(read_identifiers(self.reader, self.directory, self.site.encoding))
        policy = self.rules.policy
        skipped = self.cache.cache.names(self.skip.entries(), self.skip) if self.cache else ()
        taken = TakenNames(map(local_of, names), policy.first_homonym_digit, skipped)
        if staged is None:
            return named(desired, taken, policy), Names()
        staged_names = Names()
        return all_named(desired, staged.claims(), taken, policy, staged_names.give), staged_names

    def _waiting(self, told: MergedFeeds, with_account: set[str | None]) -> dict[str, Waiting]:
        waiting: dict[str, Waiting] = {}
        before = self.memory.waiting
        for matricule in dict.fromkeys([*before, *told.people]):
            old = before.get(matricule)
            if matricule in told.held:
                if old:
                    waiting[matricule] = old
                continue
            if matricule in with_account or matricule in self.index.by_matricule:
                continue
            person = told.people.get(matricule) or (old.person if old else None)
            if person is None:
                continue
            numen = old.numen_digest if old else None
            if person.numen is not None:
                numen = self.rules.keys.keep_or_renew(numen, NUMEN, person.numen.reveal())
            assignments = told.assignments.get(matricule, old.assignments if old else ())
            one = waiting_for(person, numen, assignments, self.rules.policy, self.as_of)
            if one is not None:
                waiting[matricule] = one
        return waiting

    def _keep_news_of_held(self, told: MergedFeeds, waiting: dict[str, Waiting]) -> None:
        """A delta tells its news once: of whoever is held, they wait until the person is free again. Those of
        another person do not: with a decision by hand the delta is fed again."""
        accounts = {m: entry.account for m, entry in self.index.by_matricule.items()}
        for matricule in {hold.matricule for hold in self.holds} & told.once.keys():
            person, assignments = told.once[matricule or ""]
            known = who_is_known(matricule or "", accounts, self.memory)
            if known is not None and another_person(person, known):
                continue
            old = self.memory.waiting.get(matricule or "")
            numen = old.numen_digest if old else None
            if person.numen is not None:
                numen = self.rules.keys.keep_or_renew(numen, NUMEN, person.numen.reveal())
            waiting[matricule or ""] = Waiting(bare(person), numen, assignments, self.as_of)

    def _find_owners(self) -> None:
        """Whose the addresses are that another hand put on the entries: the account in whose ledger they
        stand, else the first that has them."""
        found = {a: e.account.uid for e in self.index.entries() for a in e.account.foreign_addresses}
        if not found:
            return
        holders = ((a, e.account.uid) for e in self.index.entries() for a in e.account.foreign_addresses)
        for address, uid in sorted(holders, key=lambda one: one[1]):
            self.owners.setdefault(address.casefold(), uid)
        self.owners.update(read_owners(self.reader, self.directory, self.site.encoding, sorted(found)))

    def _foreign_addresses(self) -> dict[str, dict[str, date]]:
        """What another hand put on accounts: what is there now of those that were looked at, of the others
        what was there when they were. A night without a feed sees what is due alone."""
        before = self.memory.foreign_addresses
        partly = self.state.due_only or bool(self.skip)
        after = {uid: dict(found) for uid, found in before.items()} if partly else {}
        for entry in self.index.entries():
            account, foreign = entry.account, entry.account.foreign_addresses
            if not foreign and account.uid not in before:
                continue
            after.pop(account.uid, None)
            known = {address.casefold(): since for address, since in before.get(account.uid, {}).items()}
            here = {
                address: known.get(address.casefold(), self.as_of)
                for address in account.addresses
                if address.casefold() in known or address in foreign
            }
            if here:
                after[account.uid] = dict(sorted(here.items()))
        return after

    def _foreign(self, foreign: Mapping[str, Mapping[str, date]]) -> Iterable[ForeignAddress]:
        for uid, found in sorted(foreign.items()):
            for address, since in found.items():
                owner = self.owners.get(address.casefold(), uid)
                yield ForeignAddress(uid, address, since, owner if owner != uid else "")

    def _archivals(self, evaluated: Container[str]) -> dict[str, date]:
        """The archivals that are noted for the next runs. Those noted on a day after this run, by a wrong
        clock, are void."""
        before = self.memory.archivals.items()
        kept = {uid: day for uid, day in before if uid not in evaluated and day <= self.as_of}
        return dict(sorted({**kept, **{uid: one.noted for uid, one in self.archivals.items()}}.items()))

    def _without_archived(self, told: MergedFeeds, desired: Iterable[Desired]) -> dict[str, SourceMemory]:
        """What is remembered of sources, but for what they said of people who are archived."""
        gone = {one.subject.matricule for one in desired if one.account.state is State.ARCHIVED}
        sources = dict(told.sources)
        for name, one in told.sources.items():
            if not gone.isdisjoint(one.deviations):
                left = {m: deviation for m, deviation in one.deviations.items() if m not in gone}
                sources[name] = replace(one, deviations=left)
        return sources

    def _basis(self) -> Basis:
        facts = [sourced.feed.facts for sourced in self.feeds]
        return Basis(
            feeds=tuple(FeedBasis(f.source, f.file, f.digest, f.date, f.rows, f.full) for f in facts),
            policy=self.rules.policy.digest,
            register=self.site.register_digest,
            directory=self.directory.accounts,
            after=self.memory.last.run if self.memory.last else "",
            as_of=self.as_of,
        )

    def _remarks(self) -> Iterable[str]:
        for sourced in self.feeds:
            facts = sourced.feed.facts
            last = self.memory.sources.get(facts.source)
            if last is not None and last.record.digest == facts.digest:
                yield f"{facts.file}: this file has already been applied"
            for remark in sourced.feed.remarks:
                yield f"{facts.file}: {remark.message}"
            if facts.unattributed:
                yield (
                    f"{facts.file}: {facts.unattributed} rows could not be told whose they are: no absence "
                    f"from source {facts.source} counts in this run"
                )
        if self.state.due_only:
            yield "no feed: only what the date makes due was looked at"
