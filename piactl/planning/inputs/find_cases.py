"""The cases of newcomers, who may have an account already, and of known people who share NUMEN or identity.

The person of a case may be in the feed under the wrong matricule. So no absence counts for an account whose
NUMEN, identity or former matricule a row has under another matricule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

from piactl.core.model.account import State
from piactl.core.model.keyed_digests import DigestKeys
from piactl.core.model.person import Person
from piactl.core.plan.identity_case import (
    Case,
    CaseAnswer,
    is_wrong_row,
    renewed,
    stated,
)
from piactl.core.plan.memory import Memory, bare
from piactl.core.plan.plan import HoldCode
from piactl.core.rules.desired import Rules
from piactl.core.rules.matching import (
    SAME_IDENTITY,
    SAME_NUMEN,
    STRONG,
    Doubt,
    Traces,
    births_of,
    compared,
    same_birth,
    traces_of,
)
from piactl.phrase import Phrase
from piactl.planning.inputs.account_index import AccountIndex, traces_of_account
from piactl.planning.inputs.known_people import reject_if_wrong
from piactl.planning.inputs.merge_feeds import MergedFeeds, SourcedFeed
from piactl.planning.inputs.traced_people import MOST_COMPARED, TracedPeople, TracedPerson


def find_cases(merged: MergedFeeds, index: AccountIndex, memory: Memory, rules: Rules) -> None:
    """Holds each newcomer who may be the person of an account, or another newcomer; the account stays. A
    NUMEN that another account has is not taken over by a known person. The cases are in `merged`.

    A case of an earlier run stays open until its newcomer is in a feed again.
    """
    for case in memory.cases.values():
        unheard = case.matricule not in merged.people
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
        """Rejects the rows of newcomers that are decided to be wrong."""
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
        if waiting is not None:
            return replace(waiting.person, assignments=waiting.assignments)
        return Person(other.name, "", "")


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
