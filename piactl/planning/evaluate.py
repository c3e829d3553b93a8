"""Evaluates accounts and people against feeds and rules: the holds, and the desired account of each."""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain

from piactl.core.model.account import Account, State, merged_into
from piactl.core.model.keyed_digests import NUMEN
from piactl.core.model.overrides import MANUAL, override_words
from piactl.core.model.person import Assignment, Person
from piactl.core.model.settings import SourceSettings
from piactl.core.naming.names import UnusableName
from piactl.core.plan.case import BY_RULE, Case, CaseAnswer, Decision
from piactl.core.plan.plan import Contradiction, DueArchival, Hold, HoldCode
from piactl.core.plan.state_between_runs import Memory, Waiting, bare, waiting_for
from piactl.core.rules.confirmed_by_hr import contradicted
from piactl.core.rules.desired_account import (
    MATRICULE,
    Desired,
    Rules,
    Subject,
    archival_day,
    assignment_problems,
    desired_account,
    with_ledger,
)
from piactl.core.rules.matching import Births, Doubt, birth_digests, with_matricule
from piactl.core.rules.reasons import post_text
from piactl.directory.store.account_entries import Entry, Unreadable
from piactl.directory.store.attribute_scans import read_owners
from piactl.phrase import Phrase
from piactl.planning.account_index import AccountIndex, ManagedAccounts
from piactl.planning.drift_by_rules import decided
from piactl.planning.find_cases import doubts, find_cases, row_is_gone, those_let_in
from piactl.planning.join_newcomers import SetNumbers, certain_joins, set_numbers
from piactl.planning.linked_matricules import LinkedMatricules
from piactl.planning.lost_zeros import without_slips
from piactl.planning.merge_feeds import Accepted, MergedFeeds, SourcedFeed, judged, merge_feeds
from piactl.planning.run_state import RunState
from piactl.planning.vanished_accounts import hold_unmanaged, vanished_words

CORRECTED_DAYS = 92
"""For so long a birth date that HR has corrected is an error if HR states it again; later it is a case."""
REMEMBERED_DAYS = 366
"""How long a decision that joined a matricule, or accepted another birth date, can be taken back."""


class Evaluation:
    """One evaluation of some accounts and the people in `feeds`, which have their rows alone; `memory` has
    what earlier runs left of them. It fills `holds`."""

    def __init__(
        self,
        accounts: ManagedAccounts,
        rules: Rules,
        sources: Mapping[str, SourceSettings],
        feeds: Sequence[SourcedFeed],
        state: RunState,
        memory: Memory,
        accepted: Accepted,
    ) -> None:
        self.accounts, self.rules, self.sources, self.feeds = accounts, rules, sources, feeds
        self.state, self.memory, self.accepted = state, memory, accepted
        self.as_of = rules.as_of
        self.index = AccountIndex()
        self.merged = MergedFeeds()
        self.owners: dict[str, str] = {}
        """The owners of addresses that another program put on entries (see `with_ledger`)."""
        self.holds: list[Hold] = []
        self.archivals: dict[str, DueArchival] = {}
        """The accounts that are due for archival but not archived by this run, by uid."""
        self.strangers: dict[str, int] = {}
        """The people of supplements who have no account and get none, by file."""
        self.joining: dict[str, tuple[str, ...]] = {}
        """Matricules of newcomers that join an account in this run, by its first matricule."""
        self.answered: Sequence[Case] = ()
        """The cases of newcomers that need nobody."""
        self.judged_feeds: Sequence[SourcedFeed] = ()
        """The feeds with their rejections, before anybody is left out."""
        self.before: dict[str, tuple[Assignment, ...]] = {}
        """The assignments of each person before the run, by matricule."""

    def evaluate(self, entries: Iterable[Entry | Unreadable]) -> list[Desired]:
        """The desired accounts, those that need a name or a number still without it."""
        rules, encoding = self.rules, self.accounts.encoding
        for entry in entries:
            self.index.add(decided(entry, encoding, self.memory.last, rules))
        self.feeds = [replace(s, feed=without_slips(s.feed, self.state.slips)) for s in self.feeds]
        numbers = set_numbers(self.feeds, self.sources.values())
        # Three readings, each of what the one before left: people of several matricules; those who come back
        # from the archive, whose matricules may be among these; those who join an account now.
        self._read_feeds_of(self.state.linked)
        self._read_feeds_of(LinkedMatricules().returning(self.index, self.people(), rules.keys))
        self._join(numbers)
        self.feeds = [judged(sourced, rules.policy, rules.register) for sourced in self.feeds]
        self.judged_feeds = list(self.feeds)
        self.before = {m: entry.account.assignments for m, entry in self.index.by_matricule.items()}
        # a person in waiting who has an account waits because a write of HR's news failed
        self.before |= {m: self._news(m, w) for m, w in self.memory.waiting.items()}
        merged = self.merged = self.merge()
        hold_unmanaged(merged, self.accounts, self.index, self.memory)
        find_cases(merged, self.feeds, self.index, self.memory, rules)
        merged.cases |= {case.id: case for case in self.answered}
        self._find_owners()
        return self.desired(self.subjects(), self.unconfirmed())

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
        merge_feeds(feeds, self.before, accounts, merged, self.rules, self.accepted, doubt)
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
                why = Phrase("its merge into {into} is not finished; the next night does it", into=into)
                merged.hold(matricule, why, HoldCode.MERGE)
        for matricule, account_entry in self.index.further.items():
            other = self.index.by_matricule.get(matricule)
            if other is not None:
                why = Phrase(
                    "accounts {uid} and {other} both have matricule {matricule}; if a split was cut short, "
                    "the same command again ends it",
                    uid=other.account.uid,
                    other=account_entry.account.uid,
                    matricule=matricule,
                )
                merged.hold(matricule, why, HoldCode.ACCOUNTS)
                merged.hold(account_entry.account.matricule or "", why, HoldCode.ACCOUNTS)
        for matricule, doubles in self.index.doubled.items():
            why = Phrase(
                "several accounts have this matricule: {uids}; if a split was cut short, the same command "
                "again ends it",
                uids=", ".join(doubles),
            )
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
        people = (m for sourced in self.feeds for m in sourced.feed.people) if self.index.archived else ()
        return {
            m: entry.account
            for m in people
            if m not in self.index.by_matricule and (entry := self.index.entry(m, self.rules.keys))
        }

    def named_holds(self) -> Iterator[Hold]:
        """The holds; those without an account have the name that the feed has."""
        without = {hold.matricule for hold in self.holds if hold.uid is None}
        names: dict[str | None, str] = {}
        for feed in (sourced.feed for sourced in self.judged_feeds) if without else ():
            for person, faulty in chain(((p, ()) for p in feed.people.values()), feed.unusable):
                if person.matricule in without and not {"prenom", "nom_famille"} & {*faulty}:
                    names[person.matricule] = f"{person.given_name} {person.family_name}"
        for hold in self.holds:
            yield replace(hold, name=names.get(hold.matricule, "")) if hold.uid is None else hold

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

    def subjects(self) -> list[Subject]:
        """The people to compute accounts for; everybody else is a hold."""
        merged, waiting = self.merged, self.memory.waiting
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
        for subject in subjects:
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
                why = Phrase("its archival waits until the absence of an assignment is confirmed")
                self.holds.append(Hold(subject.matricule, uid, why, HoldCode.ABSENCE))
                continue
            if desired is not None:
                result.append(self._noted_before(desired))
        return result

    def _noted_before(self, desired: Desired) -> Desired:
        """The desired account; instead of an archived one, which is final, one that waits for a second run
        unless a run of an earlier day noted the archival."""
        current = desired.subject.current
        if desired.account.state is not State.ARCHIVED or current is None:
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

    def unconfirmed(self) -> set[str]:
        """The people with an absence that further feeds have to confirm."""
        return {
            key[0]
            for name, source in self.merged.sources.items()
            if name in self.sources
            for key, absence in source.absences.items()
            if len(absence.feeds) < self.sources[name].absent_runs
        }

    def unsure(self, waiting: Iterable[str]) -> set[str]:
        """The people, by matricule or uid, for whom the same feed rows may have another result on another
        night; `waiting` are those in waiting after the run."""
        feeds, merged = [sourced.feed for sourced in self.feeds], self.merged
        unsure = {m for feed in feeds for m in (*feed.remarked, *feed.held, *feed.unread)}
        unsure |= {m for feed in feeds if not feed.facts.full for m in feed.people}
        unsure |= {key[0] for source in merged.sources.values() for key in source.absences}
        unsure |= {*waiting, *merged.held, *merged.disputed, *self.index.doubled}
        unsure |= {matricule for _, matricule in merged.aside}
        unsure |= {entry.account.uid for entry in self.index.entries() if entry.drift is not None}
        return unsure | {name for hold in self.holds for name in (hold.matricule, hold.uid) if name}

    def is_at_rest(self, account: Account, unsure: Container[str | None]) -> bool:
        """Whether the account needs nothing until something changes. The feeds have to list all that it has
        from their sources: what a feed omits may count on another night."""
        matricule, day = account.matricule or "", self.as_of
        if account.uid in unsure or account.matricule in unsure or account.overrides:
            return False
        running = {a.source for a in account.assignments if not a.is_over(day)}
        return all(
            matricule in sourced.feed or sourced.source.name not in running
            if sourced.silence
            else sourced.lists_all(matricule, account.assignments, day)
            for sourced in self.feeds
            if sourced.feed.facts.full
        )

    def entry(self, desired: Desired) -> Entry | None:
        matricule = desired.subject.matricule
        return self.index.entry(matricule, self.rules.keys) if matricule else None

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

    def people(self) -> Iterator[str]:
        return (m for sourced in self.feeds for m in (*sourced.feed.people, *sourced.feed.held))

    def _read_feeds_of(self, linked: LinkedMatricules) -> None:
        """Reads the feeds and the memory with these people, who have several matricules, under their first
        ones."""
        linked = linked.named(self.people(), self.rules.keys)
        self.memory = linked.memory(self.memory)
        self.feeds = [replace(sourced, feed=linked.feed(sourced.feed)) for sourced in self.feeds]

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

    def waiting(self, with_account: set[str | None]) -> dict[str, Waiting]:
        """The people in waiting after the run."""
        waiting: dict[str, Waiting] = {}
        merged, before = self.merged, self.memory.waiting
        for matricule in dict.fromkeys([*before, *merged.people]):
            old = before.get(matricule)
            if matricule in merged.held:
                if old:
                    waiting[matricule] = old
                continue
            if matricule in with_account or matricule in self.index.by_matricule:
                continue
            record = self.waiting_for(matricule)
            if record is not None:
                waiting[matricule] = record
        return waiting

    def waiting_for(self, matricule: str) -> Waiting | None:
        """The record of a person without an account, None if nobody waits."""
        merged, old = self.merged, self.memory.waiting.get(matricule)
        person = merged.people.get(matricule) or (old.person if old else None)
        if person is None:
            return None
        numen, births = self._digests(person, old)
        assignments = merged.assignments.get(matricule, old.assignments if old else ())
        return waiting_for(person, numen, births, assignments, self.rules.policy, self.as_of)

    def news_of(self, matricule: str) -> Waiting:
        """What a delta says of a person who is held, or from whom changes are withheld; it is kept until they
        are no longer held, because no later feed repeats it. The news of those whom a case keeps out is not
        kept: after a decision the delta is applied again."""
        person, assignments = self.merged.once[matricule]
        numen, births = self._digests(person, self.memory.waiting.get(matricule))
        return Waiting(bare(person), numen, assignments, self.as_of, births)

    def _digests(self, person: Person, old: Waiting | None) -> tuple[str | None, Births]:
        """The digests of the NUMEN and of the birth of a person in waiting; `old` is their present record."""
        numen, births = (old.numen_digest, old.births) if old else (None, (None, None))
        if person.numen is not None:
            numen = self.rules.keys.digest(NUMEN, person.numen.reveal())
        return numen, birth_digests(births, person, self.rules.keys, self.rules.matching)

    def contradictions(self, by_uid: Mapping[str, Desired]) -> Iterator[Contradiction]:
        """The changes by hand that HR contradicts, by uid, also of accounts that this run leaves as they
        are."""
        rules = self.rules
        for current in sorted(self.index.accounts(), key=lambda account: account.uid):
            account = by_uid[current.uid].account if current.uid in by_uid else current
            for override, row, beyond in contradicted(account, rules.policy, rules.register, rules.as_of):
                words = override_words(override)
                if beyond:
                    words = Phrase("{change}, beyond the last day of HR", change=words)
                post = post_text(row, rules.policy)
                why = Phrase("HR has {post} [{row}]", post=post, row=row.origin)
                yield Contradiction(account.matricule, account.uid, words, why)

    def cases(self) -> dict[str, Case]:
        """The cases after this run. A case ends if a feed has its person and the case is not found again, or
        if its row is in no feed any more. A decision about newcomers stays."""
        before = self.memory.cases.items()
        remaining = {id_: case for id_, case in before if self._remains(case)}
        # asked once: if HR states the wrong birth date again, it is known to be an error
        reason = Phrase("HR went back to the birth date of the account")
        error = Decision(CaseAnswer.WRONG_ROW, BY_RULE, reason, self.as_of)
        corrected = {
            id_: replace(case, decision=error)
            for id_, case in before
            if case.doubt is Doubt.BIRTH_CHANGED and case.open and id_ not in remaining
            if not row_is_gone(case, self.feeds)
        }
        return {**remaining, **corrected, **self.merged.cases}

    def _remains(self, case: Case) -> bool:
        merged = self.merged
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
