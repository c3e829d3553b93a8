"""Making a plan: what one run would change. Nothing here can write."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import date

from piactl.core.absences import Key
from piactl.core.account import Account, State
from piactl.core.assignment import Assignment
from piactl.core.desired import (
    NUMEN,
    Desired,
    Subject,
    assignment_problems,
    desired_account,
    local_of,
    named,
)
from piactl.core.guards import Census, counts_by_kind, refusals
from piactl.core.memory import LastRun, Memory
from piactl.core.names import TakenNames, UnusableName
from piactl.core.person import Person
from piactl.core.pins import MANUAL
from piactl.core.plan import Basis, FeedBasis, Plan
from piactl.core.rejection import Hold, Rejection
from piactl.core.waiting import Waiting, bare, waiting_for
from piactl.directory.accounts import (
    Entry,
    Unreadable,
    read_accounts,
    read_accounts_named,
    read_accounts_of,
    read_identifiers,
    read_numen_holders,
    read_unmanaged_names,
)
from piactl.directory.port import Reader
from piactl.directory.records import memory_writes, read_memory
from piactl.errors import UsageError
from piactl.flows.book import Book, census_of
from piactl.flows.differing import Differing
from piactl.flows.feeding import check_limits
from piactl.flows.holding import hold_shared_numens
from piactl.flows.proposal import Proposal
from piactl.flows.settling import NotSettled, Settling
from piactl.flows.site import Site
from piactl.flows.telling import SourcedFeed, Told, judged, told_by

TICK = 5_000
"""People between two signs of life."""


def due_alone(site: Site, memory: Memory, feeds: Sequence[SourcedFeed]) -> bool:
    """Whether only what the date makes due has to be looked at: nothing else has changed since the last
    run, and that one left nothing undone."""
    last = memory.last
    return (
        not feeds
        and last is not None
        and last.clean
        and last.policy == site.policy.digest
        and last.register == site.register_digest
    )


def propose(
    reader: Reader,
    site: Site,
    feeds: Sequence[SourcedFeed],
    as_of: date,
    accepted: Collection[str] = (),
    tick: Callable[[], None] = lambda: None,
    settling: Settling | None = None,
) -> Proposal:
    """The plan of one run and its writes; without feeds, what dates and the policy alone change.

    Reads the directory in whole searches, never one per person. Raises FeedRefused where a feed breaks a
    limit of its source and its digest is not `accepted`, DirectoryTruncated, DirectoryUnreachable,
    UnreadableRecord; a plan that breaks guards is returned with its refusals. `tick` is called now and then,
    never while the directory is being read. `settling` says who is passed by; the feeds were read without
    them. Raises NotSettled where somebody of them has to be looked at after all.
    """
    strangers = sorted(set(accepted) - {sourced.feed.facts.digest for sourced in feeds})
    if strangers:
        raise UsageError(
            f"--accept-feed {strangers[0]}: no feed of this run has this digest; the message that refused it "
            "says the right one"
        )
    feeds = [judged(sourced, site.policy, site.register) for sourced in feeds]
    planning = _Planning(reader, site, feeds, as_of, tick, settling)
    passed = settling.old.known(settling.settled.values()) if settling else {}
    check_limits(feeds, planning.memory, planning.known(), as_of, accepted, passed)
    return planning.proposal()


class _Planning:
    def __init__(
        self,
        reader: Reader,
        site: Site,
        feeds: Sequence[SourcedFeed],
        as_of: date,
        tick: Callable[[], None],
        settling: Settling | None = None,
    ) -> None:
        self.settling = settling
        self.reader, self.site, self.feeds, self.as_of, self.tick = reader, site, feeds, as_of, tick
        self.directory = site.settings.directory
        self.rules = site.rules(as_of)
        remembered = read_memory(reader, self.directory.state, due=None if feeds else as_of)
        self.due_only = due_alone(site, remembered.memory, feeds)
        if not feeds and not self.due_only:
            remembered = read_memory(reader, self.directory.state)
        self.remembered = remembered
        self.memory = remembered.memory
        self.book = Book()
        for entry in self._entries():
            self.book.add(entry)
        # whoever waits may have an account that was not read, above all an archived one: it is theirs
        if self.due_only:
            self._add_others(self.memory.waiting)
        elif settling and settling.passes:
            self._refuse_passed([*self.memory.waiting, *self._absent()])
            people = {m: None for sourced in feeds for m in sourced.feed.people}
            self._add_others({**people, **dict.fromkeys(self.memory.waiting)})
            self._check_numens()
        self.rejections: list[Rejection] = []
        self.holds: list[Hold] = []

    def _entries(self) -> Iterable[Entry | Unreadable]:
        encoding = self.site.encoding
        if self.settling and self.settling.passes:
            return read_accounts_named(self.reader, self.directory, encoding, self.settling.others)
        return read_accounts(self.reader, self.directory, encoding, due=self.as_of if self.due_only else None)

    def _add_others(self, matricules: Iterable[str]) -> None:
        """Reads the accounts of these people that were not read yet."""
        seen = {entry.account.uid for entry in self.book.entries()}
        missing = [m for m in matricules if m not in self.book.by_matricule]
        for entry in read_accounts_of(
            self.reader, self.directory, self.site.encoding, self.rules.keys, missing
        ):
            if isinstance(entry, Unreadable) or entry.account.uid not in seen:
                self.book.add(entry)

    def _absent(self) -> Iterable[str]:
        return (key[0] for source in self.memory.sources.values() for key in source.absences)

    def _refuse_passed(self, matricules: Iterable[str]) -> None:
        """Raises NotSettled where one of these people is passed by."""
        settled = self.settling.settled if self.settling else {}
        for matricule in matricules:
            if matricule in settled:
                raise NotSettled

    def _check_numens(self) -> None:
        """Raises NotSettled where somebody who is passed by has the NUMEN of somebody who is not."""
        keys = self.rules.keys
        numens = {n for sourced in self.feeds for n in sourced.feed.numens()}
        digests = [digest for numen in numens for digest in keys.candidates(NUMEN, numen.reveal())]
        seen = {entry.account.uid for entry in self.book.entries()}
        for uid, _ in read_numen_holders(self.reader, self.directory, self.site.encoding, digests):
            if uid not in seen:
                raise NotSettled

    def proposal(self) -> Proposal:
        told = self._told()
        hold_shared_numens(told, self.book, self.memory, self.rules.keys)
        subjects = self._subjects(told)
        waits = {key[0] for name in told.sources for key in self._unconfirmed(told, name)}
        desired = self._desired(subjects, waits)
        desired = self._named(desired)
        told_once = any(not sourced.feed.facts.full for sourced in self.feeds)
        differing = Differing(self.reader, self.site, self.rules, self.book, self.memory.waiting, told_once)
        changes, writes = differing.rows(desired)
        self.tick()
        self.holds += differing.holds
        last = self.memory.last
        census = self._census()
        written = {d.account.uid: d for d in desired}
        written = {write.uid: written[write.uid] for write in writes}
        after = census.plus(
            census_of((d.subject.current for d in written.values() if d.subject.current), self.as_of), -1
        ).plus(census_of((d.account for d in written.values()), self.as_of))
        waiting = self._waiting(told, {d.subject.matricule for d in desired})
        self._keep_news_of_held(told, waiting)
        plan = Plan(
            basis=self._basis(),
            changes=tuple(changes),
            rejections=tuple(self.rejections),
            holds=tuple(sorted(self.holds, key=lambda hold: (hold.matricule or "", hold.uid or ""))),
            absents=tuple(told.absents),
            refusals=tuple(refusals(changes, census, self.rules.policy, self.as_of)),
            remarks=tuple(self._remarks()),
            summary=counts_by_kind(changes),
        )
        last = LastRun("", self.as_of, self.rules.policy.digest, self.site.register_digest, "", True, after)
        memory = Memory(last, told.sources, waiting)
        state = self.directory.state
        records = tuple(memory_writes(self.remembered, memory, state, self.rules.keys))
        self._leave_marks(told, memory, {uid: d.account for uid, d in written.items()})
        return Proposal(plan, tuple(writes), records, memory, self.settling)

    def _census(self) -> Census:
        """The accounts before the run. A night without a feed relies on what the last one left."""
        if self.due_only and self.memory.last:
            return self.memory.last.census
        here = self.book.census(self.as_of)
        return here.plus(self.settling.old.census(self.settling.settled.values())) if self.settling else here

    def _leave_marks(self, told: Told, memory: Memory, written: Mapping[str, Account]) -> None:
        """Marks the accounts that were looked at and are as the rules want them."""
        if self.settling is None:
            return
        unsure = {m for sourced in self.feeds for m in (*sourced.feed.remarked, *sourced.feed.held)}
        unsure |= {key[0] for source in memory.sources.values() for key in source.absences}
        unsure |= {*memory.waiting, *told.held, *self.book.doubled}
        unsure |= {name for hold in self.holds for name in (hold.matricule, hold.uid) if name}
        for entry in self.book.entries():
            account = entry.account
            if account.uid in written or account.uid in unsure or account.matricule in unsure:
                continue
            if entry.csn and self._listed(account):
                self.settling.mark(account, entry.csn, self.as_of)
        for uid, account in written.items():
            if uid not in unsure and account.matricule not in unsure and self._listed(account):
                self.settling.written[uid] = account

    def _listed(self, account: Account) -> bool:
        """Whether no feed is silent on an assignment without that silence counting: the very same lines may
        make it count another night."""
        deaf = (sourced for sourced in self.feeds if not sourced.silence)
        return all(one.lists_all(account.matricule or "", account.assignments, self.as_of) for one in deaf)

    def known(self) -> dict[str, tuple[Assignment, ...]]:
        known = {m: entry.account.assignments for m, entry in self.book.by_matricule.items()}
        # whoever waits although there is an account waits because a write of HR's news failed
        known.update({m: self._news(m, w) for m, w in self.memory.waiting.items()})
        return known

    def _news(self, matricule: str, wait: Waiting) -> tuple[Assignment, ...]:
        """What HR told of somebody who waits; what was done by hand stands on their account, if any."""
        entry = self.book.by_matricule.get(matricule)
        if entry is None:
            return wait.assignments
        by_hand = [a for a in entry.account.assignments if a.source == MANUAL]
        told = [a for a in wait.assignments if a.source != MANUAL]
        return tuple(sorted([*told, *by_hand], key=lambda a: (a.start, a.uai, a.function, a.source)))

    def _told(self) -> Told:
        uids = {m: entry.account.uid for m, entry in self.book.by_matricule.items()}
        told = told_by(self.feeds, self.known(), uids, self.memory, self.rules)
        self.rejections += told.rejections
        for one in self.book.unreadable:
            if one.matricule:
                told.hold(one.matricule, one.why)
            else:
                self.holds.append(Hold(None, one.uid, one.why))
        for matricule, doubles in self.book.doubled.items():
            told.hold(matricule, f"several accounts have this matricule: {', '.join(doubles)}")
        return told

    def _subjects(self, told: Told) -> list[Subject]:
        waiting = self.memory.waiting
        subjects = []
        for matricule in dict.fromkeys([*self.book.by_matricule, *waiting, *told.people]):
            if matricule in told.held:
                continue
            entry = self.book.entry(matricule, self.rules.keys)
            wait = waiting.get(matricule)
            person: Person | None = told.people.get(matricule) or (wait.person if wait else None)
            known = self._news(matricule, wait) if wait else entry.account.assignments if entry else ()
            subjects.append(
                Subject(
                    matricule=matricule,
                    current=entry.account if entry else None,
                    person=person,
                    assignments=told.assignments.get(matricule, known),
                    numen_digest=wait.numen_digest if wait else None,
                    note=told.notes.get(matricule, ""),
                )
            )
        damaged = {one.matricule: one.uid for one in self.book.unreadable if one.matricule}
        for matricule, why in told.held.items():
            entry = self.book.entry(matricule, self.rules.keys)
            self.holds.append(Hold(matricule, entry.account.uid if entry else damaged.get(matricule), why))
        return subjects

    def _desired(self, subjects: Iterable[Subject], absent: Collection[str]) -> list[Desired]:
        result = []
        for number, subject in enumerate(subjects):
            if number % TICK == 0:
                self.tick()
            uid = subject.current.uid if subject.current else None
            # what is over must hold nobody back, least of all from an end
            running = [a for a in subject.assignments if a.end is None or a.end >= self.as_of]
            problems = assignment_problems(running, self.rules.policy, self.rules.register)
            if problems:
                self.holds.append(Hold(subject.matricule, uid, problems[0][3]))
                continue
            try:
                desired = desired_account(subject, self.rules)
            except UnusableName as error:
                self.holds.append(Hold(subject.matricule, uid, str(error)))
                continue
            if (
                desired is not None
                and desired.account.state is State.ARCHIVED
                and subject.matricule in absent
            ):
                # what an archival erases could not tell any more what HR takes back
                why = "its archival waits until the absence of an assignment is confirmed"
                self.holds.append(Hold(subject.matricule, uid, why))
                continue
            if desired is not None:
                result.append(desired)
        return result

    def _unconfirmed(self, told: Told, source: str) -> list[Key]:
        settings = self.site.settings.sources.get(source)
        if settings is None:
            return []
        absences = told.sources[source].absences
        return [key for key, one in absences.items() if len(one.feeds) < settings.absent_runs]

    def _named(self, desired: Sequence[Desired]) -> list[Desired]:
        if not any(one.base for one in desired):
            return list(desired)
        taken = set(read_unmanaged_names(self.reader, self.directory))
        if self.due_only or (self.settling and self.settling.passes):
            taken |= set(read_identifiers(self.reader, self.directory, self.site.encoding))
        else:
            taken |= self.book.names
        policy = self.rules.policy
        locals_taken = (local_of(name) for name in taken)
        return named(desired, TakenNames(locals_taken, policy.first_homonym_digit), policy)

    def _waiting(self, told: Told, with_account: set[str | None]) -> dict[str, Waiting]:
        waiting: dict[str, Waiting] = {}
        before = self.memory.waiting
        for matricule in dict.fromkeys([*before, *told.people]):
            old = before.get(matricule)
            if matricule in told.held:
                if old:
                    waiting[matricule] = old
                continue
            if matricule in with_account or matricule in self.book.by_matricule:
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

    def _keep_news_of_held(self, told: Told, waiting: dict[str, Waiting]) -> None:
        """A delta tells its news once: of whoever is held, they wait until the person is free again."""
        for matricule in {hold.matricule for hold in self.holds} & told.once.keys():
            person, assignments = told.once[matricule or ""]
            old = self.memory.waiting.get(matricule or "")
            numen = old.numen_digest if old else None
            if person.numen is not None:
                numen = self.rules.keys.keep_or_renew(numen, NUMEN, person.numen.reveal())
            waiting[matricule or ""] = Waiting(bare(person), numen, assignments, self.as_of)

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
                yield f"{facts.file}: this very feed was applied already; it adds nothing"
            for remark in sourced.feed.remarks:
                yield f"{facts.file}: {remark.message}"
            if facts.unattributed:
                yield (
                    f"{facts.file}: {facts.unattributed} rows could not be told whose they are: no absence "
                    f"from source {facts.source} counts in this run"
                )
        if self.due_only:
            yield "no feed: only what the date makes due was looked at"
