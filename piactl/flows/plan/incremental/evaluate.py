"""Evaluates accounts and people against feeds and rules: who is held, and which account each should have."""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import date

from piactl.core.model.account import Account, State
from piactl.core.model.assignment import Assignment
from piactl.core.model.overrides import MANUAL
from piactl.core.model.person import Person
from piactl.core.naming.local_part import UnusableName
from piactl.core.plan.plan import DueArchival, Hold, Rejection
from piactl.core.plan.run_state import Memory, Waiting
from piactl.core.plan.sync_cache import key_of
from piactl.core.rules.absences import Key
from piactl.core.rules.desired import (
    Desired,
    Subject,
    archival_day,
    assignment_problems,
    desired_account,
    with_ledger,
)
from piactl.flows.plan.incremental.next_cache import NextCache
from piactl.flows.plan.inputs.account_index import AccountIndex
from piactl.flows.plan.inputs.merge_feeds import NOTHING, Accepted, MergedFeeds, SourcedFeed, merge_feeds
from piactl.flows.site import Site

TICK = 5_000
"""People between two calls of `tick`."""


class Evaluation:
    """One evaluation of the accounts in `index` and the people in the feeds. It fills `holds` and
    `rejections`."""

    def __init__(
        self,
        site: Site,
        feeds: Sequence[SourcedFeed],
        as_of: date,
        memory: Memory,
        index: AccountIndex,
        cache: NextCache | None,
        tick: Callable[[], None],
        accepted: Accepted = NOTHING,
    ) -> None:
        self.site, self.feeds, self.as_of, self.tick = site, feeds, as_of, tick
        self.rules = site.rules(as_of)
        self.memory, self.index, self.cache = memory, index, cache
        self.accepted = accepted
        self.owners: dict[str, str] = {}
        """Whose the addresses are that another hand put on entries (see `with_ledger`)."""
        self.rejections: list[Rejection] = []
        self.holds: list[Hold] = []
        self.archivals: dict[str, DueArchival] = {}
        """The accounts that are due for archival and not archived by this run, by uid."""
        self.archives_at_once = False
        """Whether an archival needs no earlier run that noted it: another evaluation asks for that."""

    def known(self) -> dict[str, tuple[Assignment, ...]]:
        known = {m: entry.account.assignments for m, entry in self.index.by_matricule.items()}
        # whoever waits although there is an account waits because a write of HR's news failed
        known.update({m: self._news(m, w) for m, w in self.memory.waiting.items()})
        return known

    def _news(self, matricule: str, wait: Waiting) -> tuple[Assignment, ...]:
        """What HR told of somebody who waits; what was done by hand stands on their account, if any."""
        entry = self.index.by_matricule.get(matricule)
        if entry is None:
            return wait.assignments
        by_hand = [a for a in entry.account.assignments if a.source == MANUAL]
        told = [a for a in wait.assignments if a.source != MANUAL]
        return tuple(sorted([*told, *by_hand], key=lambda a: (a.start, a.uai, a.function, a.source)))

    def told(self) -> MergedFeeds:
        accounts = {m: entry.account for m, entry in self.index.by_matricule.items()}
        told = merge_feeds(self.feeds, self.known(), accounts, self.memory, self.rules, self.accepted)
        self.rejections += told.rejections
        for one in self.index.unreadable:
            if one.matricule:
                told.hold(one.matricule, one.why)
            else:
                self.holds.append(Hold(None, one.uid, one.why))
        for matricule, doubles in self.index.doubled.items():
            told.hold(matricule, f"several accounts have this matricule: {', '.join(doubles)}")
        return told

    def subjects(self, told: MergedFeeds) -> list[Subject]:
        waiting = self.memory.waiting
        subjects = []
        for matricule in dict.fromkeys([*self.index.by_matricule, *waiting, *told.people]):
            if matricule in told.held:
                continue
            entry = self.index.entry(matricule, self.rules.keys)
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
        damaged = {one.matricule: one.uid for one in self.index.unreadable if one.matricule}
        for matricule, why in told.held.items():
            entry = self.index.entry(matricule, self.rules.keys)
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
                result.append(self._noted_before(desired))
        return result

    def _noted_before(self, one: Desired) -> Desired:
        """The desired account; instead of an archived one, which is final, one that waits for a second run
        unless a run of an earlier day noted the archival."""
        current = one.subject.current
        if self.archives_at_once or one.account.state is not State.ARCHIVED or current is None:
            return one
        if current.state is State.ARCHIVED or current.protected or current.uid in self.rules.policy.protected:
            return one
        due = archival_day(current, one.career, self.rules)
        noted = self.memory.archivals.get(current.uid, self.as_of)
        if due <= noted < self.as_of:
            return one
        self.archivals[current.uid] = DueArchival(current.uid, due, self.as_of)
        waits = self._desired(one.subject, archives=False)
        return waits or one

    def _desired(self, subject: Subject, *, archives: bool = True) -> Desired | None:
        current = subject.current
        if current is None or current.state is State.ARCHIVED:
            return desired_account(subject, self.rules)
        named = replace(subject, current=with_ledger(current, self.owners))
        desired = desired_account(named, self.rules, archives=archives)
        return replace(desired, subject=subject) if desired else None

    def unconfirmed(self, told: MergedFeeds, source: str) -> list[Key]:
        settings = self.site.settings.sources.get(source)
        if settings is None:
            return []
        absences = told.sources[source].absences
        return [key for key, one in absences.items() if len(one.feeds) < settings.absent_runs]

    def unsure(self, told: MergedFeeds, memory: Memory) -> set[str]:
        """The people, by matricule or uid, for whom the same feed rows may give another result another
        night."""
        unsure = {m for sourced in self.feeds for m in (*sourced.feed.remarked, *sourced.feed.held)}
        unsure |= {key[0] for source in memory.sources.values() for key in source.absences}
        unsure |= {*memory.waiting, *told.held, *told.disputed, *self.index.doubled}
        return unsure | {name for hold in self.holds for name in (hold.matricule, hold.uid) if name}

    def cache_entries(self, but: Container[str]) -> Iterator[tuple[str, bytes]]:
        """The keys and cache entries of the evaluated accounts that need nothing: all but those of some uids
        and matricules."""
        if self.cache is None:
            return
        for entry in self.index.entries():
            account = entry.account
            if account.uid in but or account.matricule in but or not entry.csn:
                continue
            if "\n" in account.uid:  # the cache file has one key a line
                continue
            if self.listed(account):
                packed = self.cache.entry_of(account, entry.csn, self.as_of)
                if packed is not None:
                    yield key_of(account.uid, account.matricule), packed

    def expect(self, accounts: Iterable[tuple[Account, bytes]], unsure: Container[str]) -> None:
        """Prepares the cache entries of accounts as they will be written, each given with the entryCSN that
        it was read with, b"" for a new account."""
        if self.cache is None:
            return
        for account, read in accounts:
            if account.uid not in unsure and account.matricule not in unsure and self.listed(account):
                self.cache.expect(account, read, self.as_of)

    def listed(self, account: Account) -> bool:
        """Whether every feed whose omissions do not count lists all assignments of the account: the same feed
        may count another night, and then an omission does too."""
        deaf = (sourced for sourced in self.feeds if not sourced.silence)
        return all(one.lists_all(account.matricule or "", account.assignments, self.as_of) for one in deaf)
