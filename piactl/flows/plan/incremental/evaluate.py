"""One look at accounts and at what the feeds tell of them: who is told what, who is held, what should be."""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterable, Sequence
from dataclasses import replace
from datetime import date

from piactl.core.model.account import Account, State
from piactl.core.model.assignment import Assignment
from piactl.core.model.overrides import MANUAL
from piactl.core.model.person import Person
from piactl.core.naming.local_part import UnusableName
from piactl.core.plan.plan import Hold, Rejection
from piactl.core.plan.run_state import Memory, Waiting
from piactl.core.rules.absences import Key
from piactl.core.rules.desired import Desired, Subject, assignment_problems, desired_account, with_ledger
from piactl.flows.plan.incremental.unchanged import Settling
from piactl.flows.plan.inputs.account_index import Book
from piactl.flows.plan.inputs.merge_feeds import NOTHING, Accepted, SourcedFeed, Told, told_by
from piactl.flows.site import Site

TICK = 5_000
"""People between two signs of life."""


class Look:
    """The accounts in `book`, the feeds, and what is remembered. `holds` and `rejections` fill on the way."""

    def __init__(
        self,
        site: Site,
        feeds: Sequence[SourcedFeed],
        as_of: date,
        memory: Memory,
        book: Book,
        settling: Settling | None,
        tick: Callable[[], None],
        accepted: Accepted = NOTHING,
    ) -> None:
        self.site, self.feeds, self.as_of, self.tick = site, feeds, as_of, tick
        self.rules = site.rules(as_of)
        self.memory, self.book, self.settling = memory, book, settling
        self.accepted = accepted
        self.owners: dict[str, str] = {}
        """Whose the addresses are that another hand put on entries (see `with_ledger`)."""
        self.rejections: list[Rejection] = []
        self.holds: list[Hold] = []

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

    def told(self) -> Told:
        accounts = {m: entry.account for m, entry in self.book.by_matricule.items()}
        told = told_by(self.feeds, self.known(), accounts, self.memory, self.rules, self.accepted)
        self.rejections += told.rejections
        for one in self.book.unreadable:
            if one.matricule:
                told.hold(one.matricule, one.why)
            else:
                self.holds.append(Hold(None, one.uid, one.why))
        for matricule, doubles in self.book.doubled.items():
            told.hold(matricule, f"several accounts have this matricule: {', '.join(doubles)}")
        return told

    def subjects(self, told: Told) -> list[Subject]:
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

    def desired(self, subjects: Iterable[Subject], absent: Collection[str]) -> list[Desired]:
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
                desired = self._desired(subject)
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

    def _desired(self, subject: Subject) -> Desired | None:
        current = subject.current
        if current is None or current.state is State.ARCHIVED:
            return desired_account(subject, self.rules)
        desired = desired_account(replace(subject, current=with_ledger(current, self.owners)), self.rules)
        return replace(desired, subject=subject) if desired else None

    def unconfirmed(self, told: Told, source: str) -> list[Key]:
        settings = self.site.settings.sources.get(source)
        if settings is None:
            return []
        absences = told.sources[source].absences
        return [key for key, one in absences.items() if len(one.feeds) < settings.absent_runs]

    def unsure(self, told: Told, memory: Memory) -> set[str]:
        """Of whom, by matricule or uid, the look at the very same lines may find something else another
        night."""
        unsure = {m for sourced in self.feeds for m in (*sourced.feed.remarked, *sourced.feed.held)}
        unsure |= {key[0] for source in memory.sources.values() for key in source.absences}
        unsure |= {*memory.waiting, *told.held, *told.disputed, *self.book.doubled}
        return unsure | {name for hold in self.holds for name in (hold.matricule, hold.uid) if name}

    def mark_settled(self, but: Container[str]) -> None:
        """Marks the accounts that were looked at and are as the rules want them: all but those of some uids
        and matricules."""
        if self.settling is None:
            return
        for entry in self.book.entries():
            account = entry.account
            if account.uid in but or account.matricule in but or not entry.csn:
                continue
            if self.listed(account):
                self.settling.mark(account, entry.csn, self.as_of)

    def foresee(self, accounts: Iterable[tuple[Account, bytes]], unsure: Container[str]) -> None:
        """Prepares the marks of accounts as they will be written; each comes with the entryCSN that its entry
        was read with, b"" where there is none."""
        if self.settling is None:
            return
        for account, read in accounts:
            if account.uid not in unsure and account.matricule not in unsure and self.listed(account):
                self.settling.foresee(account, read, self.as_of)

    def listed(self, account: Account) -> bool:
        """Whether no feed is silent on an assignment without that silence counting: the very same lines may
        make it count another night."""
        deaf = (sourced for sourced in self.feeds if not sourced.silence)
        return all(one.lists_all(account.matricule or "", account.assignments, self.as_of) for one in deaf)
