"""The cases of newcomers, who may have an account already, of known people who share NUMEN or identity, and
of rows that may not be of the person of their matricule.

The person of a case may be in the feed under the wrong matricule. So no absence counts for an account whose
NUMEN, identity or former matricule a row has under another matricule.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

from piactl.core.model.account import Account, State
from piactl.core.model.keyed_digests import NUMEN, DigestKeys
from piactl.core.model.person import Person
from piactl.core.plan.case import (
    Case,
    CaseAnswer,
    is_wrong_row,
    renewed,
    stated,
    states_again,
)
from piactl.core.plan.plan import HoldCode, Rejection
from piactl.core.plan.state_between_runs import Memory, Waiting, bare
from piactl.core.rules.desired_account import Rules
from piactl.core.rules.matching import (
    SAME_IDENTITY,
    SAME_NUMEN,
    STRONG,
    Doubt,
    Named,
    Traces,
    births_of,
    compared,
    doubt_about,
    family_agrees,
    given_agrees,
    same_birth,
    traces_of,
)
from piactl.phrase import Phrase
from piactl.planning.account_index import (
    MOST_COMPARED,
    AccountIndex,
    TracedPeople,
    TracedPerson,
    traces_of_account,
)
from piactl.planning.merge_feeds import MergedFeeds, SourcedFeed


def find_cases(
    merged: MergedFeeds,
    feeds: Sequence[SourcedFeed],
    index: AccountIndex,
    memory: Memory,
    rules: Rules,
) -> None:
    """Holds each newcomer who may be the person of an account, or another newcomer; the account stays. A
    NUMEN that another account has is not taken over by a known person. The cases are in `merged`.

    A case of an earlier run stays open until its newcomer is in a feed again, or in no feed any more.
    """
    for case in memory.cases.values():
        unheard = case.matricule not in merged.people and not row_is_gone(case, feeds)
        if case.of_newcomer and case.listed and unheard and index.entry(case.matricule, rules.keys) is None:
            merged.hold(case.matricule, case.why, HoldCode.CASE)
    _Search(merged, index, memory, rules, TracedPeople(index, memory, rules)).find()


@dataclass(slots=True)
class _Search:
    merged: MergedFeeds
    index: AccountIndex
    memory: Memory
    rules: Rules
    traced: TracedPeople
    known: dict[str, tuple[TracedPerson, Traces]] = field(default_factory=dict)
    """The known people of the feeds, each with what their feed states."""
    looked_at: set[str] = field(default_factory=set)

    def find(self) -> None:
        people = self.merged.people
        self._reject_wrong()
        self.traced.add_newcomers({m: p for m, p in people.items() if m not in self.merged.held})
        for matricule, person in people.items():
            self._add_known(matricule, person)
        self.looked_at = {m for m in self.traced.newcomers if m in people and m not in self.merged.held}
        for matricule in sorted(self.looked_at):
            self._look(people[matricule], self.traced.newcomers[matricule])
        for matricule, (own, traces) in self.known.items():
            if matricule not in self.merged.held:
                self._look_at_known(matricule, own, traces)

    def _reject_wrong(self) -> None:
        for case in self.memory.cases.values():
            person = self.merged.people.get(case.wrong_matricule)
            if person is None or not case.of_newcomer or not is_wrong_row(case, person, self.rules.keys):
                continue
            if self.index.entry(person.matricule, self.rules.keys) is None:
                self.merged.cases[case.id] = case
                reject_if_wrong(case, person, self.merged)
                self.merged.hold(person.matricule, case.why, HoldCode.REJECTED)

    def _add_known(self, matricule: str, person: Person) -> None:
        keys = self.rules.keys
        entry = self.index.entry(matricule, keys)
        if entry is None or (person.numen is None and person.birth_date is None):
            return
        account, traces = entry.account, replace(traces_of(person, keys), mail="")
        own = traces_of_account(account).plus(traces)
        other = TracedPerson(account.uid, own, account, account.matricules)
        self.known[matricule] = other, traces
        self.traced.put(other, traces)

    def _look(self, person: Person, own: TracedPerson) -> None:
        """Makes the case of a newcomer, if somebody may be the same person. Of two newcomers only the first
        has a case, which names the other, unless there are too many to compare all. A newcomer made by a head
        of school is always a case: only somebody who knows them can say which account is theirs."""
        evidence, others = {}, self.traced.evidence(own)
        for other, words in others.items():
            if self.traced.are_apart(own, other):
                self._without_numen(person, words)
            elif (
                other.account is not None
                or other.name not in self.looked_at
                or own.name < other.name
                or len(others) >= MOST_COMPARED
            ):
                evidence[other] = words
        if evidence or person.matricule in self.merged.local:
            case = self._case(Doubt.SAME_PERSON, person, evidence)
            self.merged.cases[case.id] = case
            if evidence or not case.answered(CaseAnswer.DIFFERENT):
                for held in (person.matricule, *(m for m in case.people if m in self.looked_at)):
                    self.merged.hold(held, case.why, HoldCode.CASE)

    def _look_at_known(self, matricule: str, own: TracedPerson, stated_traces: Traces) -> None:
        """Makes the case of a known person whose NUMEN, or birth date and names, another account has."""
        numens, identities = stated_traces.numens, stated_traces.identities
        others = {
            other: other.traces
            for other in self.traced.others(own, [*numens, *identities])
            if other.account is not None
        }
        has_it = own.account is not None and own.account.numen_digest in numens
        shared = {
            other: (SAME_NUMEN,)
            for other, traces in others.items()
            if not numens.isdisjoint(traces.numens)
            and (not has_it or (other.account is not None and other.account.numen_digest in numens))
        }
        doubt = Doubt.SHARED_NUMEN
        person = self.merged.people[matricule]
        if shared:
            self._without_numen(person, (SAME_NUMEN,))
        remaining = {o: words for o, words in shared.items() if not self.traced.are_apart(own, o)}
        if not remaining:
            doubt = Doubt.SHARED_IDENTITY
            remaining = {
                other: (SAME_IDENTITY,)
                for other, traces in others.items()
                if not identities.isdisjoint(traces.identities)
                and not self.traced.are_apart(own, other)
                and self._comes_first(matricule, other)
            }
        if remaining:
            case = self._case(doubt, person, remaining)
            self.merged.cases[case.id] = case
            self.merged.aside["", matricule] = case

    def _comes_first(self, matricule: str, other: TracedPerson) -> bool:
        """Whether the case of two accounts is that of this matricule; archived accounts are not compared."""
        account = other.account
        if account is None or account.state is State.ARCHIVED:
            return False
        return account.matricule not in self.known or matricule < (account.matricule or "")

    def _without_numen(self, person: Person, words: Iterable[str]) -> None:
        if SAME_NUMEN in words:
            now = self.merged.people[person.matricule]
            self.merged.people[person.matricule] = replace(now, numen=None)

    def _case(self, doubt: Doubt, person: Person, evidence: Mapping[TracedPerson, tuple[str, ...]]) -> Case:
        case = Case(
            doubt=doubt,
            source=next((a.source for a in person.assignments), ""),
            person=self._shown(person),
            accounts=tuple(sorted(other.name for other in evidence if other.account is not None)),
            newcomers=tuple(
                sorted(
                    (self._newcomer(other) for other in evidence if other.account is None),
                    key=lambda newcomer: newcomer.matricule,
                )
            ),
            evidence={
                other.name: (*words, *_beside(person, other, words, self.rules.keys))
                for other, words in sorted(evidence.items(), key=lambda pair: pair[0].name)
            },
            since=self.rules.as_of,
            stated=stated(self.rules.keys, person),
        )
        return renewed(case, person, self.memory.cases, self.rules.keys)

    def _shown(self, person: Person) -> Person:
        posts = self.merged.assignments.get(person.matricule, person.assignments)
        return replace(bare(person), assignments=posts)

    def _newcomer(self, other: TracedPerson) -> Person:
        person, waiting = self.merged.people.get(other.name), self.memory.waiting.get(other.name)
        if person is not None:
            return self._shown(person)
        return waiting.whole if waiting is not None else Person(other.name, "", "")


def _beside(person: Person, other: TracedPerson, words: Iterable[str], keys: DigestKeys) -> tuple[str, ...]:
    """How birth date and names compare, unless the identity already agrees."""
    born = same_birth(person, *births_of(other.account), keys) if other.account is not None else None
    return () if SAME_IDENTITY in words else compared(person, other.traces.named, born)


# Accounts whose absence does not count.


def doubts(
    feeds: Sequence[SourcedFeed], index: AccountIndex, memory: Memory, rules: Rules
) -> Callable[[str], str]:
    """Says why an absence of the person of a matricule does not count; "" if it does. The feeds are searched
    when the first absence is asked about."""

    @cache
    def under() -> dict[str, Phrase]:
        return {
            matricule: Phrase(
                "absences do not count: the person may be listed under matricule {other}, which is a case: "
                "piactl match list",
                other=other,
            )
            for matricule, other in _elsewhere(feeds, index, memory, rules)
        }

    return lambda matricule: under().get(matricule, "")


def _elsewhere(
    feeds: Sequence[SourcedFeed], index: AccountIndex, memory: Memory, rules: Rules
) -> Iterator[tuple[str, str]]:
    """The matricules of accounts, and of people in waiting, each with that of a row that may be theirs."""
    keys, traced = rules.keys, TracedPeople(index, memory, rules)
    traced.add_newcomers({})
    rows = [
        person
        for sourced in feeds
        if not sourced.source.supplement
        for person in (*sourced.feed.people.values(), *(person for person, _ in sourced.feed.unusable))
    ]
    for person in rows:
        entry = index.entry(person.matricule, keys)
        account = entry.account if entry else None
        names = (person.matricule, *((account.uid, *account.matricules) if account else ()))
        own = TracedPerson(person.matricule, traces_of(person, keys), account, names, person.former)
        for other, words in traced.evidence(own).items():
            if other.name in names or STRONG.isdisjoint(words) or traced.are_apart(own, other):
                continue
            first = other.account.matricule if other.account is not None else other.name
            if first is not None:
                yield first, person.matricule
    listed = {person.matricule for person in rows}
    by_uid = {account.uid: account for account in index.accounts()}
    for case in memory.cases.values():
        if case.matricule not in listed and not row_is_gone(case, feeds):
            for account in (by_uid[uid] for uid in case.held_accounts if uid in by_uid):
                if account.matricule is not None and case.matricule not in account.matricules:
                    yield account.matricule, case.matricule


def row_is_gone(case: Case, feeds: Sequence[SourcedFeed]) -> bool:
    """Whether a feed of this run shows that the row of a case is not there any more."""
    return any(
        sourced.source.name == case.source and sourced.silence and case.matricule not in sourced.feed.present
        for sourced in feeds
    )


# The gate: a row changes the account of its matricule, or the person in waiting, only if it is of the same
# person. Else it is a case.


def reject_if_wrong(case: Case, person: Person, merged: MergedFeeds) -> bool:
    """Rejects the rows of a person if it is decided that they are wrong."""
    if case.decision is None or case.wrong_matricule != person.matricule:
        return False
    decision = case.decision
    why = Phrase(
        "case {id}: {by} decided on {day} that this row is wrong: {reason}",
        id=case.id,
        by=decision.by,
        day=decision.day,
        reason=decision.reason,
    )
    for assignment in person.assignments or (None,):
        file, _, line = (assignment.origin if assignment else "").rpartition(":")
        number = int(line) if line.isdecimal() else 0
        rejection = Rejection(file, number, "matricule", "wrong-row", why, person.matricule)
        merged.rejections.append(rejection)
    return True


def those_let_in(
    feeds: Sequence[SourcedFeed],
    accounts: Mapping[str, Account],
    index: AccountIndex,
    memory: Memory,
    merged: MergedFeeds,
    rules: Rules,
) -> list[SourcedFeed]:
    """The feeds without the people whom a case separates from the account of their matricule, or from the
    person in waiting. The account then keeps the known data. `accounts` has archived ones too. The cases are
    added to `merged`.

    People in waiting who have an account are compared as well: they may come from a delta whose people were
    held.
    """
    let_in = []
    names = {sourced.source.name for sourced in feeds}
    for sourced in feeds:
        source, people = sourced.source.name, dict(sourced.feed.people)
        # a delta does not say again what was left out, so it waits for nobody
        heard = names if sourced.feed.facts.full else {*memory.sources}
        for matricule, person in sourced.feed.people.items():
            account, waiting = accounts.get(matricule), memory.waiting.get(matricule)
            if account is not None or waiting is not None:
                gate = _Gate(person, account, waiting, source, heard, rules, memory)
                case = gate.case(index, [o.feed.people.get(matricule) for o in feeds if o is not sourced])
                if case is not None:
                    case = _asked_already(case, person, merged, rules.keys)
                    if _keeps_out(case, merged):
                        del people[matricule]
                        merged.aside[source, matricule] = case
                        reject_if_wrong(case, person, merged)
                elif gate.without_birth:
                    people[matricule] = replace(person, birth_date=None)
            merged.asked.add((source, matricule))
        let_in.append(replace(sourced, feed=replace(sourced.feed, people=people)))
    for matricule, waiting in memory.waiting.items():
        account = accounts.get(matricule)
        if account is not None:
            born = True if account.identity_digest in (waiting.births[0], None) else None
            doubt = doubt_about(waiting.person, account, born)
            if doubt is not None:
                case = _gating(doubt, waiting.person, account, born, "waiting", {}, rules, memory)
                if _keeps_out(case, merged):
                    merged.hold(matricule, case.why, HoldCode.CASE)
    return let_in


def _asked_already(case: Case, person: Person, merged: MergedFeeds, keys: DigestKeys) -> Case:
    """The case; if another source asks the same question tonight, that one."""
    gating = {id_: asked for id_, asked in merged.cases.items() if asked.gates}
    return renewed(case, person, gating, keys) if gating and case.id not in gating else case


def _keeps_out(case: Case, merged: MergedFeeds) -> bool:
    merged.cases[case.id] = case
    if case.answered(CaseAnswer.SAME) and case.decision is not None:
        merged.notes[case.matricule] = Phrase(
            "case {id}, {by}: {reason}", id=case.id, by=case.decision.by, reason=case.decision.reason
        )
        return False
    return True


@dataclass(slots=True)
class _Gate:
    """Compares a row with the account of its matricule, or with the person in waiting. `without_birth`: the
    row is let in, but not its birth date, which is taken for a typing error."""

    person: Person
    account: Account | None
    waiting: Waiting | None
    source: str
    heard: Collection[str]
    """The sources that are not waited for: those that have a feed tonight."""
    rules: Rules
    memory: Memory
    without_birth: bool = False

    def case(self, index: AccountIndex, elsewhere: Iterable[Person | None]) -> Case | None:
        """The case; None if it is the same person. `elsewhere`: what other sources state of them tonight."""
        person, keys = self.person, self.rules.keys
        known: Named
        if self.account is not None:
            known, births = self.account, births_of(self.account)
        elif self.waiting is not None:
            known, births = self.waiting.person, self.waiting.births
        else:
            return None
        born = same_birth(person, *births, keys)
        doubt = doubt_about(person, known, born)
        if doubt is None or (doubt is Doubt.BIRTH_CHANGED and self._confirmed(list(elsewhere))):
            return None
        also = _also_of(person, self.account, index, keys)
        return _gating(doubt, person, known, born, self.source, also, self.rules, self.memory)

    def _confirmed(self, elsewhere: Sequence[Person | None]) -> bool:
        """Whether a changed birth date needs no decision: the account had it before somebody decided about
        the one that it has now, or another source states the same one. It is an error if HR has corrected it
        once, or if the NUMEN is that of the account and another source states the date of the account, or may
        still do so."""
        person, keys = self.person, self.rules.keys
        self.without_birth = any(states_again(case, person, keys) for case in self.memory.cases.values())
        if self.without_birth:
            return True
        decided = (
            case
            for case in self.memory.cases.values()
            if case.matricule == person.matricule and case.gates and case.answered(CaseAnswer.SAME)
        )
        if any(same_birth(person, None, birth, keys) for case in decided for birth in case.births):
            return True
        others = [
            other
            for other in elsewhere
            if other is not None and family_agrees(other, person) and given_agrees(other, person)
        ]
        if any(other.birth_date == person.birth_date for other in others):
            return True
        account = self.account
        if account is None or person.numen is None:
            return False
        same_numen = account.numen_digest in keys.candidates(NUMEN, person.numen.reveal())
        self.without_birth = same_numen and (
            any(same_birth(other, *births_of(account), keys) for other in others)
            or self._may_be_heard(account)
        )
        return self.without_birth

    def _may_be_heard(self, account: Account) -> bool:
        """Whether another source, of which a post runs, has no feed tonight and had one lately: one that
        states another birth date all the time is asked about at no night on which the other one is late."""
        rules, sources = self.rules, self.memory.sources
        running = [a for a in account.assignments if not a.is_over(rules.as_of)]
        names = {a.source for a in rules.supplements.authoritative(running)} - {*self.heard}
        last = [sources[name].record.date for name in names & sources.keys()]
        most = rules.matching.max_hold_days
        return any(day is not None and (rules.as_of - day).days <= most for day in last)


def _also_of(
    person: Person, account: Account | None, index: AccountIndex, keys: DigestKeys
) -> dict[str, tuple[str, ...]]:
    """The other accounts that have the NUMEN or the identity of a row, with the evidence: the row may be
    theirs, under the wrong matricule."""
    traces, also = traces_of(person, keys), {}
    for holder in (holder for trace in traces for holder in index.holders.get(trace, ())):
        words = traces.evidence(traces_of_account(holder))
        if holder is not account and not STRONG.isdisjoint(words):
            also[holder.uid] = words
    return also


def _gating(
    doubt: Doubt,
    person: Person,
    known: Named,
    born: bool | None,
    source: str,
    also: Mapping[str, tuple[str, ...]],
    rules: Rules,
    memory: Memory,
) -> Case:
    uid = known.uid if isinstance(known, Account) else None
    birth = known.birth_digest if isinstance(known, Account) else None
    case = Case(
        doubt=doubt,
        source=source,
        person=replace(bare(person), assignments=person.assignments),
        accounts=tuple(dict.fromkeys([*filter(None, [uid]), *sorted(also)])),
        newcomers=() if uid is not None else (bare(person),),
        evidence={uid or person.matricule: compared(person, known, born), **also},
        since=rules.as_of,
        stated=stated(rules.keys, person),
        births=(birth,) if birth and doubt is Doubt.BIRTH_CHANGED else (),
    )
    return renewed(case, person, memory.cases, rules.keys)
