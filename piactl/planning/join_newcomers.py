"""Joins the matricules of newcomers who need no decision, or have one: to an account, or to each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from piactl.core.model.account import Account
from piactl.core.model.person import Assignment, Person, namespace_of
from piactl.core.model.settings import SourceSettings
from piactl.core.plan.case import (
    BY_RULE,
    Case,
    CaseAnswer,
    Decision,
    is_wrong_row,
    stated,
)
from piactl.core.plan.state_between_runs import Memory, bare
from piactl.core.rules.desired_account import Rules
from piactl.core.rules.matching import (
    CERTAIN,
    SAME_IDENTITY,
    SAME_NUMEN,
    Doubt,
    births_of,
    doubt_about,
    family_agrees,
    given_agrees,
    joins,
    same_birth,
    traces_of,
    whole_given_agrees,
)
from piactl.phrase import Phrase
from piactl.planning.account_index import AccountIndex, TracedPeople, TracedPerson, traces_of_account
from piactl.planning.merge_feeds import SourcedFeed, merged_person


@dataclass(slots=True)
class Joins:
    """The newcomers who need no decision, or have one. `accounts`: matricule -> the account that it joins;
    `first`: matricule -> that of another newcomer, who is the same person. `cases` are those that NUMEN and
    identity have answered; they are kept so that an administrator can take a join back."""

    accounts: dict[str, Account] = field(default_factory=dict)
    first: dict[str, str] = field(default_factory=dict)
    cases: list[Case] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class SetNumbers:
    """The numbers that the feeds of supplements list in a run. In the namespaces of `whole` all feeds are
    there and list everybody: a number that is not listed is no longer in use."""

    listed: frozenset[str]
    whole: frozenset[str]


def set_numbers(feeds: Sequence[SourcedFeed], sources: Iterable[SourceSettings]) -> SetNumbers:
    """The numbers in the feeds of supplements, which are not yet read as those of accounts."""
    adding = [sourced for sourced in feeds if sourced.source.supplement]
    whole = {s.source.name for s in adding if s.feed.facts.full and not s.feed.facts.part}
    partly = {s.namespace for s in sources if s.supplement and s.name not in whole}
    return SetNumbers(
        listed=frozenset(matricule for sourced in adding for matricule in sourced.feed.present),
        whole=frozenset(sourced.source.namespace for sourced in adding) - partly,
    )


def certain_joins(
    feeds: Sequence[SourcedFeed],
    index: AccountIndex,
    memory: Memory,
    rules: Rules,
    numbers: SetNumbers,
) -> Joins:
    """The newcomers whose evidence, or a decision, says who they are.

    NUMEN and identity together are enough if all others with the same evidence agree, and if the matricule
    that is known is still listed or its posts have ended: if it vanishes on the night on which another one
    comes, that may be the same with a typing error.
    """
    joining = _Joining(feeds, index, memory, rules, numbers)
    joining.find()
    return joining.joins


@dataclass(slots=True)
class _Joining:
    feeds: Sequence[SourcedFeed]
    index: AccountIndex
    memory: Memory
    rules: Rules
    numbers: SetNumbers
    joins: Joins = field(default_factory=Joins)
    groups: dict[str, set[str]] = field(default_factory=dict)
    """For each newcomer, all newcomers that are the same person."""

    def find(self) -> None:
        keys, supplements = self.rules.keys, list[Person]()
        people: dict[str, Person] = {}
        for sourced in self.feeds:
            for matricule, person in sourced.feed.people.items():
                if self.index.entry(matricule, keys) is not None or self._is_wrong(person):
                    continue
                if sourced.source.supplement and matricule not in sourced.feed.local:
                    supplements.append(person)
                else:
                    before = people.get(matricule)
                    people[matricule] = merged_person(before, person)[0] if before else person
        self._join_decided()
        traced = TracedPeople(self.index, self.memory, self.rules)
        traced.add_newcomers(people)
        for matricule, person in people.items():
            account = self._of_former(person, traced)
            if account is not None:
                self.joins.accounts.setdefault(matricule, account)
        if self.rules.matching.automatic:
            self._join_certain(people, traced)
        for names in self.groups.values():
            accounts = [self.joins.accounts[name] for name in names if name in self.joins.accounts]
            for name in names:
                if accounts:
                    self.joins.accounts[name] = accounts[0]
                elif name != min(names):
                    self.joins.first[name] = min(names)
        self._join_supplements(supplements, traced)

    def _is_wrong(self, person: Person) -> bool:
        cases = self.memory.cases.values()
        return any(is_wrong_row(case, person, self.rules.keys) for case in cases)

    def _unite(self, names: Iterable[str]) -> None:
        group = {name for own in names for name in self.groups.get(own, {own})}
        self.groups.update(dict.fromkeys(group, group))

    def _join_decided(self) -> None:
        """Joins two newcomers whom a decision says to be one person: both get one account, or one of them
        that of the other."""
        for case in self.memory.cases.values():
            if case.of_newcomer and case.decision is not None and case.answered(CaseAnswer.SAME):
                pair = (case.matricule, case.decision.one)
                entries = {name: self.index.entry(name, self.rules.keys) for name in pair}
                without = [name for name, entry in entries.items() if entry is None]
                account = next((entry.account for entry in entries.values() if entry is not None), None)
                if case.decision.one in case.people and account is None:
                    self._unite(pair)
                elif case.decision.one in case.people and account is not None:
                    self.joins.accounts.update(dict.fromkeys(without, account))

    def _of_former(self, person: Person, traced: TracedPeople) -> Account | None:
        """The account of the former matricule that the feed names, if the NUMEN, or birth date and a name,
        agree, and if nobody else has any of the evidence."""
        entry = self.index.entry(person.former, self.rules.keys) if person.former else None
        if entry is None:
            return None
        account, own = entry.account, traced.newcomers[person.matricule]
        accounts = {o: words for o, words in traced.evidence(own).items() if o.account is not None}
        if len(accounts) != 1 or any(traced.are_apart(own, other) for other in accounts):
            return None
        ((_, words),) = accounts.items()
        born = same_birth(person, *births_of(account), self.rules.keys)
        names = family_agrees(person, account) or given_agrees(person, account)
        return account if joins(words, born, names) else None

    def _join_certain(self, people: Mapping[str, Person], traced: TracedPeople) -> None:
        """Joins the newcomers who have NUMEN and identity of one account or of each other."""
        certain = self._certain(traced)
        for group in _connected({name: [o.name for o in others] for name, others in certain.items()}):
            accounts = {o.name: o.account for name in group for o in certain[name] if o.account is not None}
            decided = (self.joins.accounts[name] for name in group if name in self.joins.accounts)
            accounts |= {account.uid: account for account in decided}
            if len(accounts) > 1:
                continue
            self._unite(group)
            for account in accounts.values():
                self.joins.accounts.update(dict.fromkeys(group, account))
            one = next(iter(accounts), min(group))
            for name in sorted(group & people.keys() - {one}):
                if not self._decided(name):
                    words = {other.name: words for other, words in certain[name].items()}
                    self.joins.cases.append(self._answered(people[name], one, words, people))

    def _certain(self, traced: TracedPeople) -> dict[str, dict[TracedPerson, tuple[str, ...]]]:
        """The newcomers whose evidence leaves no doubt, each with all of it."""
        certain: dict[str, dict[TracedPerson, tuple[str, ...]]] = {}
        for name, own in traced.newcomers.items():
            evidence = {o: w for o, w in traced.evidence(own).items() if not traced.are_apart(own, o)}
            agree = all(
                {*words} >= CERTAIN and not self._vanished(other) for other, words in evidence.items()
            )
            if evidence and agree and not self._asked(name):
                certain[name] = evidence
        while True:
            doubtful = [
                name
                for name, evidence in certain.items()
                if any(other.account is None and other.name not in certain for other in evidence)
            ]
            if not doubtful:
                return certain
            for name in doubtful:
                del certain[name]

    def _asked(self, name: str) -> bool:
        return any(
            case.open and name in (case.matricule, *case.people) for case in self.memory.cases.values()
        )

    def _decided(self, name: str) -> bool:
        return any(
            case.of_newcomer and case.matricule == name and case.answered(CaseAnswer.SAME)
            for case in self.memory.cases.values()
        )

    def _answered(
        self, person: Person, one: str, evidence: Mapping[str, tuple[str, ...]], people: Mapping[str, Person]
    ) -> Case:
        """The case of a newcomer that NUMEN and identity have answered."""
        rules, other = self.rules, people.get(one) or self._waiting(one)
        reason = Phrase("NUMEN and identity are the same")
        return Case(
            doubt=Doubt.SAME_PERSON,
            source=next((a.source for a in person.assignments), ""),
            person=replace(bare(person), assignments=person.assignments),
            accounts=() if other else (one,),
            newcomers=(replace(bare(other), assignments=other.assignments),) if other else (),
            evidence={one: evidence.get(one, (SAME_NUMEN, SAME_IDENTITY))},
            since=rules.as_of,
            stated=stated(rules.keys, person),
            decision=Decision(CaseAnswer.SAME, BY_RULE, reason, rules.as_of, one),
        )

    def _waiting(self, matricule: str) -> Person | None:
        waiting = self.memory.waiting.get(matricule)
        return waiting.whole if waiting else None

    def _vanished(self, other: TracedPerson) -> bool:
        """Whether a feed of this run that should have a post of somebody does not list it."""
        if other.account is not None:
            first, posts = other.account.matricule or "", other.account.assignments
        else:
            waiting = self.memory.waiting.get(other.name)
            first, posts = other.name, waiting.assignments if waiting else ()
        return any(
            not post.is_over(self.rules.as_of)
            and post.source == sourced.source.name
            and sourced.silence
            and not _lists(sourced, first, post)
            for sourced in self.feeds
            for post in posts
        )

    def _join_supplements(self, supplements: Sequence[Person], traced: TracedPeople) -> None:
        """Joins the people of supplements, which have no NUMEN, to the one account with their identity. An
        account that has a number of that namespace in the sets, or about which somebody has to decide, gets
        none."""
        account_of: dict[str, Account] = {}
        for person in supplements:
            account = self._same_identity(person, traced)
            if account is not None:
                account_of[person.matricule] = account
        taken, doubtful = self._with_number(account_of.values()), self._in_doubt(account_of.values())
        times = Counter((account.uid, namespace_of(matricule)) for matricule, account in account_of.items())
        for matricule, account in account_of.items():
            place = (account.uid, namespace_of(matricule))
            if times[place] == 1 and place not in taken and doubtful.isdisjoint((account.uid, matricule)):
                self.joins.accounts[matricule] = account

    def _same_identity(self, person: Person, traced: TracedPeople) -> Account | None:
        """The only account that may be that of a person of a supplement: the identity has to agree, and the
        whole given names. Somebody may have decided that other accounts are not theirs."""
        own, likely = TracedPerson(person.matricule, traces_of(person, self.rules.keys)), []
        for other, words in traced.evidence(own).items():
            if other.account is not None and not traced.are_apart(own, other):
                twin = words == (SAME_IDENTITY,) and not whole_given_agrees(person, other.account)
                likely += [] if twin else [(other.account, words)]
        if len(likely) != 1 or SAME_IDENTITY not in likely[0][1]:
            return None
        return likely[0][0]

    def _with_number(self, accounts: Iterable[Account]) -> set[tuple[str, str]]:
        """The accounts, by uid, that have a number of a namespace, the second item, in the sets of
        supplements: a second one is that of another person."""
        taken = {
            (account.uid, namespace)
            for account in accounts
            for namespace in map(namespace_of, account.matricules)
            if namespace not in self.numbers.whole
        }
        for matricule in self.numbers.listed:
            entry = self.index.entry(matricule, self.rules.keys)
            if entry is not None:
                taken.add((entry.account.uid, namespace_of(matricule)))
        return taken

    def _in_doubt(self, accounts: Iterable[Account]) -> set[str]:
        """The accounts (uid) and newcomers (matricule) that an open case is about, or that this night makes
        one about. Only of the `accounts` the rows under their own matricule are compared."""
        doubtful, keys = set[str](), self.rules.keys
        for case in self.memory.cases.values():
            if case.open:
                entry = self.index.entry(case.matricule, keys)
                doubtful |= {case.matricule, *case.others, *((entry.account.uid,) if entry else ())}
        own = {account.matricule: account for account in accounts}
        for sourced in self.feeds:
            for matricule, person in sourced.feed.people.items() if not sourced.source.supplement else ():
                account = own.get(matricule)
                if account is not None:
                    born = same_birth(person, *births_of(account), keys)
                    if doubt_about(person, account, born) is not None:
                        doubtful.add(account.uid)
                elif matricule not in self.joins.accounts and self.index.entry(matricule, keys) is None:
                    traces = traces_of(person, keys)
                    holders = (a for trace in traces for a in self.index.holders.get(trace, ()))
                    doubtful |= {a.uid for a in holders if traces.evidence(traces_of_account(a))}
        return doubtful


def _connected(links: Mapping[str, Iterable[str]]) -> Iterator[set[str]]:
    """The groups of those of `links` that are connected by others of them."""
    remaining = set(links)
    while remaining:
        group, reached = set[str](), {min(remaining)}
        while reached:
            group |= reached
            reached = {name for own in reached for name in links[own] if name in links} - group
        remaining -= group
        yield group


def _lists(sourced: SourcedFeed, first: str, post: Assignment) -> bool:
    """Whether a feed lists a post, under the matricule that it had, of the person with this first one."""
    person = sourced.feed.people.get(first)
    if person is None:
        return first in sourced.feed.held
    seen = {(listed.matricule, listed.uai, listed.function) for listed in person.assignments}
    return (post.matricule, post.uai, post.function) in seen
