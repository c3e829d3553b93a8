"""Evaluates accounts and people against feeds and rules: the holds, and the desired account of each."""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from piactl.core.model.account import Account, State, merged_into
from piactl.core.model.overrides import MANUAL
from piactl.core.model.person import Assignment, Person
from piactl.core.model.settings import SourceSettings
from piactl.core.naming.local_part_and_capitalisation import UnusableName
from piactl.core.naming.posix_numbers import GivenNumbers, Numbers
from piactl.core.plan.plan import DueArchival, Hold, HoldCode, Rejection
from piactl.core.plan.run_state import Memory, Waiting
from piactl.core.plan.sync_cache import EntryDraft
from piactl.core.rules.address_allocation import numbered
from piactl.core.rules.desired import (
    Desired,
    Rules,
    Subject,
    archival_day,
    assignment_problems,
    desired_account,
    with_ledger,
)
from piactl.core.rules.feed_absences import Key
from piactl.core.rules.matching import with_matricule
from piactl.flows.plan.deleted_entries import vanished_words
from piactl.flows.plan.incremental import NextCache
from piactl.flows.plan.inputs.account_index import AccountIndex
from piactl.flows.plan.inputs.identity_cases import doubts
from piactl.flows.plan.inputs.known_people import those_let_in
from piactl.flows.plan.inputs.merge_feeds import NOTHING, Accepted, MergedFeeds, SourcedFeed, merge_feeds

TICK = 5_000
"""People between two calls of `tick`."""


class Evaluation:
    """One evaluation of the accounts in `index` and the people in the feeds. It fills `holds` and
    `rejections`."""

    def __init__(
        self,
        rules: Rules,
        sources: Mapping[str, SourceSettings],
        feeds: Sequence[SourcedFeed],
        memory: Memory,
        index: AccountIndex,
        cache: NextCache | None,
        tick: Callable[[], None],
        accepted: Accepted = NOTHING,
        numbers: Numbers | GivenNumbers | None = None,
    ) -> None:
        self.rules, self.sources, self.feeds, self.tick = rules, sources, feeds, tick
        self.as_of = rules.as_of
        self.memory, self.index, self.cache = memory, index, cache
        self.accepted, self.numbers = accepted, numbers
        self.owners: dict[str, str] = {}
        """The owners of addresses that another program put on entries (see `with_ledger`)."""
        self.rejections: list[Rejection] = []
        self.holds: list[Hold] = []
        self.archivals: dict[str, DueArchival] = {}
        """The accounts that are due for archival but not archived by this run, by uid."""
        self.strangers: dict[str, int] = {}
        """The people of supplements who have no account and get none, by file."""
        self.joining: dict[str, tuple[str, ...]] = {}
        """Matricules of newcomers that join an account in this run, by its first matricule."""
        self.archives_at_once = False
        """Whether an archival needs no earlier run that noted it: another evaluation asks for that."""

    def known(self) -> dict[str, tuple[Assignment, ...]]:
        """The assignments of each person before the run, by matricule."""
        known = {m: entry.account.assignments for m, entry in self.index.by_matricule.items()}
        # a person in waiting who has an account waits because a write of HR's news failed
        known.update({m: self._news(m, w) for m, w in self.memory.waiting.items()})
        return known

    def _news(self, matricule: str, wait: Waiting) -> tuple[Assignment, ...]:
        """The assignments of a person in waiting: those of HR, and the manual ones of the account, if any."""
        entry = self.index.by_matricule.get(matricule)
        if entry is None:
            return wait.assignments
        manual = [a for a in entry.account.assignments if a.source == MANUAL]
        of_hr = [a for a in wait.assignments if a.source != MANUAL]
        return tuple(sorted([*of_hr, *manual], key=lambda a: (a.start, a.uai, a.function, a.source)))

    def merge(self) -> MergedFeeds:
        """The merged feeds. People whose account cannot be read, or who have several, are held."""
        accounts = {m: entry.account for m, entry in self.index.by_matricule.items()}
        sources = {name: source.without_undone(self.as_of) for name, source in self.memory.sources.items()}
        merged = MergedFeeds(sources=sources)
        # if several accounts have one matricule, it is unknown which is the person's: they are held below
        sole = {m: account for m, account in accounts.items() if m not in self.index.doubled}
        self.feeds = [self._without_strangers(sourced) for sourced in self.feeds]
        known = {**sole, **self._archived()}
        feeds = those_let_in(self.feeds, known, self.index, self.memory, merged, self.rules)
        doubt = doubts(self.feeds, self.index, self.memory, self.rules)
        merge_feeds(feeds, self.known(), accounts, merged, self.rules, self.accepted, doubt)
        self.rejections += merged.rejections
        for uid, gone in self.memory.vanished.items():
            if gone.matricule:
                merged.hold(gone.matricule, vanished_words(uid, unmanaged=gone.unmanaged), HoldCode.VANISHED)
        for entry in self.index.unreadable:
            if entry.matricule:
                merged.hold(entry.matricule, entry.why, HoldCode.ENTRY)
            else:
                self.holds.append(Hold(None, entry.uid, entry.why, HoldCode.ENTRY))
        self._hold_unreadable(merged)
        for matricule, account_entry in self.index.by_matricule.items():
            into = account_entry.account.merged and merged_into(account_entry.account, self.rules.keys)
            if into:
                why = f"its merge into {into} is not finished; the next night does it"
                merged.hold(matricule, why, HoldCode.MERGE)
        for matricule, account_entry in self.index.further.items():
            other = self.index.by_matricule.get(matricule)
            if other is not None:
                why = (
                    f"accounts {other.account.uid} and {account_entry.account.uid} "
                    f"both have matricule {matricule}"
                )
                why += "; if a split was cut short, the same command again ends it"
                merged.hold(matricule, why, HoldCode.ACCOUNTS)
                merged.hold(account_entry.account.matricule or "", why, HoldCode.ACCOUNTS)
        for matricule, doubles in self.index.doubled.items():
            why = f"several accounts have this matricule: {', '.join(doubles)}"
            why += "; if a split was cut short, the same command again ends it"
            merged.hold(matricule, why, HoldCode.ACCOUNTS)
        return merged

    def _without_strangers(self, sourced: SourcedFeed) -> SourcedFeed:
        """The feed. If it is of a supplement that makes no accounts, the people without an account are left
        out."""
        if not sourced.source.supplement or sourced.source.creates:
            return sourced
        others = [other.feed.present for other in self.feeds if not other.source.supplement]
        strangers = {
            matricule
            for matricule in sourced.feed.present
            if self.index.entry(matricule, self.rules.keys) is None
            and matricule not in sourced.feed.local  # each of them is a case
            and matricule not in self.memory.waiting
            and not any(matricule in present for present in others)
        }
        if not strangers:
            return sourced
        self.strangers[sourced.feed.facts.file] = len(strangers)
        feed = sourced.feed
        people = {m: person for m, person in feed.people.items() if m not in strangers}
        held = {m: why for m, why in feed.held.items() if m not in strangers}
        unread = {m: posts for m, posts in feed.unread.items() if m not in strangers}
        judgement = tuple(r for r in sourced.judgement if r.matricule not in strangers)
        rejections = tuple(r for r in feed.rejections if r.matricule not in strangers)
        feed = replace(feed, people=people, held=held, unread=unread, rejections=rejections)
        return replace(sourced, feed=feed, judgement=judgement)

    def _archived(self) -> dict[str, Account]:
        """The archived accounts of the people in the feeds, by matricule."""
        people = (m for sourced in self.feeds for m in sourced.feed.people) if self.index.archived else ()
        entries = {
            m: self.index.entry(m, self.rules.keys) for m in people if m not in self.index.by_matricule
        }
        return {m: entry.account for m, entry in entries.items() if entry is not None}

    def _hold_unreadable(self, merged: MergedFeeds) -> None:
        """Holds the people whose account is known by the digest of their matricule alone."""
        why = {
            entry.digest: entry.why for entry in self.index.unreadable if entry.digest and not entry.matricule
        }
        if not why:
            return
        for matricule in {*merged.people, *self.memory.waiting}:
            for digest in self.rules.keys.candidates("matricule", matricule):
                if digest in why:
                    merged.hold(matricule, why[digest], HoldCode.ENTRY)

    def subjects(self, merged: MergedFeeds) -> list[Subject]:
        """The people to compute accounts for; everybody else is a hold."""
        waiting = self.memory.waiting
        subjects = []
        for matricule in dict.fromkeys([*self.index.by_matricule, *waiting, *merged.people]):
            if matricule in merged.held:
                continue
            entry = self.index.entry(matricule, self.rules.keys)
            wait = waiting.get(matricule)
            person: Person | None = merged.people.get(matricule) or (wait.person if wait else None)
            known = self._news(matricule, wait) if wait else entry.account.assignments if entry else ()
            subjects.append(
                Subject(
                    matricule=matricule,
                    current=entry.account if entry else None,
                    person=person,
                    assignments=merged.assignments.get(matricule, known),
                    numen_digest=wait.numen_digest if wait else None,
                    births=wait.births if wait else (None, None),
                    note=merged.notes.get(matricule, ""),
                    joining=self.joining.get(matricule, ()),
                )
            )
        without = {entry.matricule: entry.uid for entry in self.index.unreadable if entry.matricule}
        without |= {gone.matricule: uid for uid, gone in self.memory.vanished.items()}
        for matricule, (code, why) in merged.held.items():
            entry = self.index.entry(matricule, self.rules.keys)
            uid = entry.account.uid if entry else without.get(matricule)
            self.holds.append(Hold(matricule, uid, why, code))
        for matricule, why in merged.doubted.items():
            entry = self.index.entry(matricule, self.rules.keys)
            self.holds.append(Hold(matricule, entry.account.uid if entry else None, why, HoldCode.CASE))
        for (_, matricule), case in merged.aside.items():
            if not case.listed:
                continue
            entry = self.index.entry(matricule, self.rules.keys)
            uid = entry.account.uid if entry else None
            self.holds.append(Hold(matricule, uid, case.why, HoldCode.CASE))
        return subjects

    def desired(self, subjects: Iterable[Subject], absent: Collection[str]) -> list[Desired]:
        """The desired accounts. People for whom none can be computed are holds, as are those of the
        matricules `absent` whose account would be archived."""
        result = []
        for number, subject in enumerate(subjects):
            if number % TICK == 0:
                self.tick()
            uid = subject.current.uid if subject.current else None
            # a past assignment must not hold an account, and above all must not keep it from ending
            running = [a for a in subject.assignments if a.end is None or a.end >= self.as_of]
            # a post of a supplement that the policy does not cover gives nothing, and holds nobody
            deciding = self.rules.supplements.authoritative(running) or running
            problems = assignment_problems(deciding, self.rules.policy, self.rules.register)
            if problems:
                self.holds.append(Hold(subject.matricule, uid, problems[0][3], HoldCode.ASSIGNMENT))
                continue
            try:
                desired = self._desired(subject)
            except UnusableName as error:
                self.holds.append(Hold(subject.matricule, uid, str(error), HoldCode.NAME))
                continue
            if (
                desired is not None
                and desired.account.state is State.ARCHIVED
                and subject.matricule in absent
            ):
                # an archival erases what a return of the assignment would need
                why = "its archival waits until the absence of an assignment is confirmed"
                self.holds.append(Hold(subject.matricule, uid, why, HoldCode.ABSENCE))
                continue
            if desired is not None:
                noted = self._noted_before(desired)
                with_number = numbered(noted, self.numbers)
                result += [with_number] if with_number else []
                if with_number is None:
                    self.hold_without_number(noted.subject.matricule, uid)
        return result

    def hold_without_number(self, matricule: str | None, uid: str | None = None) -> None:
        """Holds a person for whose account no uidNumber is left."""
        why = self.numbers.none_left if self.numbers else ""
        self.holds.append(Hold(matricule, uid, why, HoldCode.NUMBER))

    def _noted_before(self, desired: Desired) -> Desired:
        """The desired account; instead of an archived one, which is final, one that waits for a second run
        unless a run of an earlier day noted the archival."""
        current = desired.subject.current
        if self.archives_at_once or desired.account.state is not State.ARCHIVED or current is None:
            return desired
        if current.state is State.ARCHIVED or current.protected or current.uid in self.rules.policy.protected:
            return desired
        due = archival_day(current, desired.career, self.rules)
        noted = self.memory.archivals.get(current.uid, self.as_of)
        if due <= noted < self.as_of:
            return desired
        self.archivals[current.uid] = DueArchival(current.uid, due, self.as_of)
        waits = self._desired(desired.subject, archives=False)
        return waits or desired

    def _desired(self, subject: Subject, *, archives: bool = True) -> Desired | None:
        current = subject.current
        if current is not None:
            for matricule in subject.joining:
                current = with_matricule(current, matricule, self.rules.keys)
        if current is not None and current.state is not State.ARCHIVED:
            current = with_ledger(current, self.owners)
        named = replace(subject, current=current) if current is not None else subject
        desired = desired_account(named, self.rules, archives=archives)
        if desired is None or desired.subject is subject:
            return desired
        return replace(desired, subject=subject)

    def unconfirmed(self, merged: MergedFeeds, source: str) -> list[Key]:
        """The absences of a source that further feeds have to confirm."""
        settings = self.sources.get(source)
        if settings is None:
            return []
        absences = merged.sources[source].absences
        return [key for key, absence in absences.items() if len(absence.feeds) < settings.absent_runs]

    def unsure(self, merged: MergedFeeds, memory: Memory) -> set[str]:
        """The people, by matricule or uid, for whom the same feed rows may have another result on another
        night."""
        feeds = [sourced.feed for sourced in self.feeds]
        unsure = {m for feed in feeds for m in (*feed.remarked, *feed.held, *feed.unread)}
        unsure |= {key[0] for source in memory.sources.values() for key in source.absences}
        unsure |= {*memory.waiting, *merged.held, *merged.disputed, *self.index.doubled}
        unsure |= {matricule for _, matricule in merged.aside}
        unsure |= {entry.account.uid for entry in self.index.entries() if entry.drift is not None}
        return unsure | {name for hold in self.holds for name in (hold.matricule, hold.uid) if name}

    def cache_entries(self, but: Container[str]) -> Iterator[EntryDraft]:
        """The cache entries of the evaluated accounts that need nothing: all except those of the uids and
        matricules in `but`."""
        if self.cache is None:
            return
        for entry in self.index.entries():
            account = entry.account
            if account.uid in but or account.matricule in but or not entry.csn:
                continue
            if "\n" in account.uid:  # the cache file has one key a line
                continue
            if self.listed(account):
                draft = self.cache.draft_of(account, entry.csn, self.as_of)
                if draft is not None:
                    yield draft

    def expect(self, accounts: Iterable[tuple[Account, bytes]], unsure: Container[str]) -> None:
        """Prepares the cache entries of accounts as they will be written, each given with the entryCSN that
        it was read with, b"" for a new account."""
        if self.cache is None:
            return
        for account, read in accounts:
            if account.uid not in unsure and account.matricule not in unsure and self.listed(account):
                draft = self.cache.draft_of(account, read, self.as_of)
                if draft is not None:
                    self.cache.expect(account.uid, draft)

    def listed(self, account: Account) -> bool:
        """Whether every feed whose omissions do not count lists all assignments of the account: on another
        night the same omission may count."""
        uncounted = (sourced for sourced in self.feeds if not sourced.silence)
        return all(
            sourced.lists_all(account.matricule or "", account.assignments, self.as_of)
            for sourced in uncounted
        )
