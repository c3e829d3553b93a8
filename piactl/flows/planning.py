"""Making a plan: what one run would change. Nothing here can write."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date

from piactl.core.account import State
from piactl.core.assignment import Assignment
from piactl.core.changes import LOSING, Change, Kind
from piactl.core.desired import (
    NUMEN,
    Desired,
    Subject,
    assignment_problems,
    desired_account,
    local_of,
    named,
)
from piactl.core.diff import changes_of, home_establishments
from piactl.core.guards import Census, counts_by_kind, refusals
from piactl.core.memory import LastRun, Memory
from piactl.core.names import TakenNames, UnusableName
from piactl.core.person import Person
from piactl.core.plan import Basis, FeedBasis, Plan
from piactl.core.rejection import Hold, Rejection
from piactl.core.waiting import Waiting, bare, waiting_for
from piactl.directory.accounts import (
    Entry,
    Unreadable,
    account_write,
    read_accounts,
    read_accounts_of,
    read_identifiers,
    read_unmanaged_names,
)
from piactl.directory.port import EntryWrite, Reader
from piactl.directory.records import Remembered, memory_writes, read_memory
from piactl.flows.book import Book
from piactl.flows.feeding import check_limits
from piactl.flows.site import Site
from piactl.flows.telling import SourcedFeed, Told, told_by

LIVE = frozenset({State.ACTIVE, State.ON_LEAVE, State.GRACE, State.ANTICIPATED})


@dataclass(frozen=True, slots=True)
class AccountWrite:
    """The one write of one account, with the kinds of change it makes and why, for the journal."""

    uid: str
    kinds: tuple[str, ...]
    reason: str
    write: EntryWrite
    waiting: Waiting | None = None
    """What must be remembered of the person where the write fails and no later feed will tell it again."""

    @property
    def loses(self) -> bool:
        return any(kind in _LOSING_WORDS for kind in self.kinds)


_LOSING_WORDS = frozenset(kind.value for kind in LOSING)


@dataclass(frozen=True, slots=True)
class Proposal:
    """A plan with the exact writes that make it true: first the accounts, then piactl's own records."""

    plan: Plan
    writes: tuple[AccountWrite, ...]
    records: tuple[EntryWrite, ...]
    memory: Memory
    remembered: Remembered = field(repr=False)


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
) -> Proposal:
    """The plan of one run and its writes; without feeds, what dates and the policy alone change.

    Reads the directory in whole searches, never one per person. Raises FeedRefused where a feed breaks a
    limit of its source and its digest is not `accepted`, DirectoryTruncated, DirectoryUnreachable,
    UnreadableRecord; a plan that breaks guards is returned with its refusals.
    """
    planning = _Planning(reader, site, feeds, as_of)
    check_limits(feeds, planning.memory, planning.known(), as_of, accepted)
    return planning.proposal()


class _Planning:
    def __init__(self, reader: Reader, site: Site, feeds: Sequence[SourcedFeed], as_of: date) -> None:
        self.reader, self.site, self.feeds, self.as_of = reader, site, feeds, as_of
        self.directory = site.settings.directory
        self.rules = site.rules(as_of)
        remembered = read_memory(reader, self.directory.state, due=None if feeds else as_of)
        self.due_only = due_alone(site, remembered.memory, feeds)
        if not feeds and not self.due_only:
            remembered = read_memory(reader, self.directory.state)
        self.remembered = remembered
        self.memory = remembered.memory
        self.book = Book()
        for entry in read_accounts(
            reader, self.directory, site.encoding, due=as_of if self.due_only else None
        ):
            self.book.add(entry)
        if self.due_only:
            self._add_returning()
        self.rejections: list[Rejection] = []
        self.holds: list[Hold] = []

    def _add_returning(self) -> None:
        """Whoever waits may have an account that is not due, above all an archived one: it is theirs."""
        seen = {entry.account.uid for entry in self.book.by_matricule.values()}
        waiting = [m for m in self.memory.waiting if m not in self.book.by_matricule]
        for entry in read_accounts_of(
            self.reader, self.directory, self.site.encoding, self.rules.keys, waiting
        ):
            if isinstance(entry, Unreadable) or entry.account.uid not in seen:
                self.book.add(entry)

    def proposal(self) -> Proposal:
        told = self._told()
        self._hold_shared(told)
        subjects = self._subjects(told)
        desired = self._desired(subjects, {one.absence.matricule for one in told.absents})
        desired = self._named(desired)
        changes, writes = self._differences(desired)
        census = self._census()
        waiting = self._waiting(told, {d.subject.matricule for d in desired})
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
        last = LastRun("", self.as_of, self.rules.policy.digest, self.site.register_digest, "", True, census)
        memory = Memory(last, told.sources, waiting)
        state = self.directory.state
        records = tuple(memory_writes(self.remembered, memory, state, self.rules.keys))
        return Proposal(plan, tuple(writes), records, memory, self.remembered)

    def known(self) -> dict[str, tuple[Assignment, ...]]:
        known = {m: entry.account.assignments for m, entry in self.book.by_matricule.items()}
        # whoever waits although there is an account waits because a write of HR's news failed
        known.update({m: w.assignments for m, w in self.memory.waiting.items()})
        return known

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

    def _hold_shared(self, told: Told) -> None:
        """One NUMEN under two matricules holds both: nobody can tell whose it is."""
        keys = self.rules.keys
        owners: dict[str, str] = {}
        waiting = self._waiting_numens(told)
        for matricule, person in told.people.items():
            if person.numen is None:
                continue
            candidates = keys.candidates(NUMEN, person.numen.reveal())
            waits = next((waiting[c] for c in candidates if c in waiting), matricule)
            entry = self._entry(matricule)
            own = entry.account.uid if entry else None
            uid = next((self.book.numens[c] for c in candidates if c in self.book.numens), None)
            other = owners.setdefault(candidates[0], matricule)
            if uid is not None and uid != own:
                why = f"its NUMEN is that of the account {uid}, which has another matricule"
                told.hold(matricule, why)
                self._hold_uid(told, uid, f"its NUMEN came under another matricule, {matricule}")
            elif waits != matricule:
                told.hold(matricule, f"its NUMEN is that of somebody in waiting, matricule {waits}")
                told.hold(waits, f"its NUMEN came under another matricule, {matricule}")
            elif other != matricule:
                told.hold(matricule, f"its NUMEN came under another matricule too, {other}")
                told.hold(other, f"its NUMEN came under another matricule too, {matricule}")

    def _waiting_numens(self, told: Told) -> dict[str, str]:
        """Digest of the NUMEN -> matricule of those in waiting whom no feed of this run gives one."""
        return {
            one.numen_digest: matricule
            for matricule, one in self.memory.waiting.items()
            if one.numen_digest and (matricule not in told.people or told.people[matricule].numen is None)
        }

    def _hold_uid(self, told: Told, uid: str, why: str) -> None:
        for matricule, entry in self.book.by_matricule.items():
            if entry.account.uid == uid:
                told.hold(matricule, why)

    def _entry(self, matricule: str) -> Entry | None:
        entry = self.book.by_matricule.get(matricule)
        if entry is None and self.book.archived:
            digests = self.rules.keys.candidates("matricule", matricule)
            entry = next((self.book.archived[d] for d in digests if d in self.book.archived), None)
        return entry

    def _subjects(self, told: Told) -> list[Subject]:
        waiting = self.memory.waiting
        subjects = []
        for matricule in dict.fromkeys([*self.book.by_matricule, *waiting, *told.people]):
            if matricule in told.held:
                continue
            entry = self._entry(matricule)
            wait = waiting.get(matricule)
            person: Person | None = told.people.get(matricule) or (wait.person if wait else None)
            known = wait.assignments if wait else entry.account.assignments if entry else ()
            subjects.append(
                Subject(
                    matricule=matricule,
                    current=entry.account if entry else None,
                    person=person,
                    assignments=told.assignments.get(matricule, known),
                    numen_digest=wait.numen_digest if wait else None,
                )
            )
        damaged = {one.matricule: one.uid for one in self.book.unreadable if one.matricule}
        for matricule, why in told.held.items():
            entry = self._entry(matricule)
            self.holds.append(Hold(matricule, entry.account.uid if entry else damaged.get(matricule), why))
        return subjects

    def _desired(self, subjects: Iterable[Subject], absent: Collection[str]) -> list[Desired]:
        result = []
        for subject in subjects:
            uid = subject.current.uid if subject.current else None
            problems = assignment_problems(subject.assignments, self.rules.policy, self.rules.register)
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

    def _named(self, desired: Sequence[Desired]) -> list[Desired]:
        if not any(one.base for one in desired):
            return list(desired)
        taken = set(read_unmanaged_names(self.reader, self.directory))
        if self.due_only:
            taken |= set(read_identifiers(self.reader, self.directory, self.site.encoding))
        else:
            for account in self.book.accounts():
                taken |= account.identifiers
            for one in self.book.unreadable:
                taken |= {one.uid, *one.identifiers}
        policy = self.rules.policy
        locals_taken = (local_of(name) for name in taken)
        return named(desired, TakenNames(locals_taken, policy.first_homonym_digit), policy)

    def _differences(self, desired: Sequence[Desired]) -> tuple[list[Change], list[AccountWrite]]:
        rows: list[tuple[AccountWrite, list[Change]]] = []
        for one in desired:
            matricule = one.subject.matricule
            entry = self._entry(matricule) if matricule else None
            write = account_write(self.directory, self.site.encoding, entry, one.account)
            if write is None:
                continue
            if one.account.state is State.ARCHIVED:
                write = self._erasing(write)
            current = one.subject.current
            if current and (current.protected or current.uid in self.rules.policy.protected):
                self.holds.append(Hold(matricule, current.uid, "protected: no import touches it"))
                continue
            changes = changes_of(one, self.rules) or [self._restored(one, write)]
            kinds = tuple(dict.fromkeys(change.kind.value for change in changes))
            row = AccountWrite(one.account.uid, kinds, changes[0].reason, write, self._retry(one.subject))
            rows.append((row, changes))
        rows.sort(key=lambda row: (not row[0].loses, row[0].uid))
        return [change for _, changes in rows for change in changes], [write for write, _ in rows]

    def _erasing(self, write: EntryWrite) -> EntryWrite:
        """An archival also takes away what others have put on the entry, and the password."""
        entry = self.reader.read(write.dn, ["*"])
        kept = {"objectclass", "oathtotptoken", *(name.lower() for name in self.site.encoding.attributes)}
        others = {
            name: values
            for name, values in (entry.values if entry else {}).items()
            if name.lower() not in kept
        }
        # no values: whatever it holds, for nobody can read it
        return replace(write, delete={**write.delete, **others, "userPassword": ()})

    def _retry(self, subject: Subject) -> Waiting | None:
        person = subject.person
        if person is None or not any(not sourced.feed.facts.full for sourced in self.feeds):
            return self.memory.waiting.get(subject.matricule or "")
        numen = subject.numen_digest
        if person.numen is not None:
            numen = self.rules.keys.digest(NUMEN, person.numen.reveal())
        return Waiting(bare(person), numen, subject.assignments, self.as_of)

    def _restored(self, desired: Desired, write: EntryWrite) -> Change:
        """The rules have not changed, but somebody else's hand has: what they manage is put back."""
        names = sorted({*write.delete, *write.add})
        return Change(
            kind=Kind.UPDATE,
            uid=desired.account.uid,
            matricule=desired.account.matricule,
            before={"attributes": names},
            after={"attributes": names},
            reason="managed attributes were changed by another hand: " + ", ".join(names),
            effective=self.as_of,
            establishments=home_establishments(desired.account, self.as_of),
            profiles=desired.account.profiles,
        )

    def _census(self) -> Census:
        if self.due_only and self.memory.last is not None:
            return self.memory.last.census
        total, places, profiles = 0, Counter[str](), Counter[str]()
        for account in self.book.accounts():
            if account.state in LIVE:
                total += 1
                places.update(home_establishments(account, self.as_of))
                profiles.update(account.profiles)
        return Census(total, dict(sorted(places.items())), dict(sorted(profiles.items())))

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
            if facts.unattributed:
                yield (
                    f"{facts.file}: {facts.unattributed} rows could not be told whose they are: no absence "
                    f"from source {facts.source} counts in this run"
                )
        if self.due_only:
            yield "no feed: only what the date makes due was looked at"
