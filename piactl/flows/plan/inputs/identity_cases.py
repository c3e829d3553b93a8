"""The cases of a run: people who may be others than the accounts of their matricules, or the same as others.

The gate: a row changes the account of its matricule only if it describes the same person. Newcomers may have
an account already, and somebody else may have a NUMEN: each is a case.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field, replace

from piactl.core.model.account import Account
from piactl.core.model.numen_and_digests import NUMEN, DigestKeys
from piactl.core.model.person import Person, namespace_of
from piactl.core.model.settings import SourceSettings
from piactl.core.plan.identity_case import Case, CaseAnswer, Decision, kept_apart, renewed, stated
from piactl.core.plan.plan import HoldCode
from piactl.core.plan.run_state import Memory, bare
from piactl.core.rules.desired import Rules
from piactl.core.rules.matching import (
    SAME_IDENTITY,
    SAME_NUMEN,
    Doubt,
    Named,
    Traces,
    births_of,
    compared,
    doubt_about,
    family_agrees,
    given_agrees,
    joins,
    same_birth,
    stored_traces,
    traces_of,
    whole_given_agrees,
)
from piactl.dataclass import dataclass
from piactl.flows.plan.inputs.account_index import AccountIndex, traces_of_account
from piactl.flows.plan.inputs.merge_feeds import MergedFeeds, SourcedFeed


def those_let_in(
    feeds: Sequence[SourcedFeed],
    accounts: Mapping[str, Account],
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
    for sourced in feeds:
        source, apart = sourced.source.name, set()
        for matricule, person in sourced.feed.people.items():
            case = _case(matricule, person, source, accounts, memory, rules)
            if case is not None and _keeps_out(case, merged):
                apart.add(matricule)
                merged.aside[source, matricule] = case
            merged.asked.add((source, matricule))
        if apart:
            people = {m: person for m, person in sourced.feed.people.items() if m not in apart}
            sourced = replace(sourced, feed=replace(sourced.feed, people=people))
        let_in.append(sourced)
    for matricule, waiting in memory.waiting.items():
        account = accounts.get(matricule)
        born = True if account and account.identity_digest in (waiting.births[0], None) else None
        case = _compared(waiting.person, account, born, "waiting", rules, memory) if account else None
        if case is not None and _keeps_out(case, merged):
            merged.hold(matricule, case.why, HoldCode.CASE)
    return let_in


def _keeps_out(case: Case, merged: MergedFeeds) -> bool:
    merged.cases[case.id] = case
    if case.answered(CaseAnswer.SAME) and case.decision is not None:
        merged.notes[case.matricule] = f"case {case.id}, {case.decision.by}: {case.decision.reason}"
        return False
    return True


def _case(
    matricule: str, person: Person, source: str, accounts: Mapping[str, Account], memory: Memory, rules: Rules
) -> Case | None:
    account, waiting = accounts.get(matricule), memory.waiting.get(matricule)
    if account is not None:
        known: Named = account
        births = (account.identity_digest, account.birth_digest)
    elif waiting is not None:
        known, births = waiting.person, waiting.births
    else:
        return None
    return _compared(person, known, same_birth(person, *births, rules.keys), source, rules, memory)


def _compared(
    person: Person, known: Named, born: bool | None, source: str, rules: Rules, memory: Memory
) -> Case | None:
    doubt = doubt_about(person, known, born)
    if doubt is None:
        return None
    uid = known.uid if isinstance(known, Account) else None
    case = Case(
        doubt=doubt,
        source=source,
        person=replace(bare(person), assignments=person.assignments),
        accounts=() if uid is None else (uid,),
        people=(person.matricule,) if uid is None else (),
        evidence={uid or person.matricule: compared(person, known, born)},
        since=rules.as_of,
        stated=stated(rules.keys, person),
    )
    return renewed(case, person, memory.cases, rules.keys)


@dataclass(frozen=True, slots=True)
class _Other:
    """An account, or a newcomer without one."""

    name: str
    traces: Traces
    account: Account | None = None
    matricules: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name, *self.matricules)


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
) -> dict[str, Account]:
    """The account of each newcomer whose evidence needs no decision, by matricule. A newcomer who may have
    several accounts is a case, and so is an account that may belong to several newcomers."""
    accounts: dict[str, Account] = {}
    added: dict[str, Account] = {}
    decided = {c.matricule: c.decision for c in memory.cases.values() if c.of_newcomer and c.decision}
    for sourced in feeds:
        local = sourced.feed.local
        for matricule, person in sourced.feed.people.items():
            supplement = sourced.source.supplement and matricule not in local
            if not (rules.matching.automatic or person.former or matricule in decided or supplement):
                continue
            if index.entry(matricule, rules.keys) is None:
                if supplement and (matricule not in decided or not decided[matricule].one):
                    account = _same_identity(person, index, memory, rules)
                    account = account or _certain(person, index, decided.get(matricule), rules)
                    if account is not None:
                        added[matricule] = account
                    continue
                account = _certain(person, index, decided.get(matricule), rules)
                if account is not None:
                    accounts[matricule] = account
    times = Counter(account.uid for account in accounts.values())
    joins = {matricule: account for matricule, account in accounts.items() if times[account.uid] == 1}
    if added:
        taken = _have_a_number(added.values(), index, numbers, rules)
        doubtful = _in_doubt(added.values(), feeds, index, memory, rules)
        times_of = Counter((account.uid, namespace_of(matricule)) for matricule, account in added.items())
        joining = {account.uid for account in joins.values()}
        for matricule, account in added.items():
            place = account.uid, namespace_of(matricule)
            if times_of[place] > 1 or place in taken or account.uid in joining:
                continue  # one number a night: each join is a change of its own
            if doubtful.isdisjoint((account.uid, matricule)):
                joins[matricule] = account
                joining.add(account.uid)
    return joins


def _same_identity(person: Person, index: AccountIndex, memory: Memory, rules: Rules) -> Account | None:
    """The only account that may be that of a person of a supplement, which knows no NUMEN: the identity has
    to agree, and the whole given names. Somebody may have decided that other accounts are not theirs."""
    traces, likely = traces_of(person, rules.keys), []
    for account in {a.uid: a for trace in traces for a in index.holders.get(trace, ())}.values():
        words = traces.evidence(traces_of_account(account))
        twin = words == (SAME_IDENTITY,) and not whole_given_agrees(person, account)
        names = account.uid, *account.matricules
        if words and not twin and not kept_apart((person.matricule,), names, memory.cases):
            likely.append((account, words))
    if len(likely) != 1 or SAME_IDENTITY not in likely[0][1]:
        return None
    return likely[0][0]


def _have_a_number(
    accounts: Iterable[Account], index: AccountIndex, numbers: SetNumbers, rules: Rules
) -> set[tuple[str, str]]:
    """The accounts, by uid, that have a number of a namespace, the second item, in the sets of supplements: a
    second one is that of another person."""
    taken = {
        (account.uid, namespace)
        for account in accounts
        for namespace in map(namespace_of, account.matricules)
        if namespace not in numbers.whole
    }
    for matricule in numbers.listed:
        entry = index.entry(matricule, rules.keys)
        if entry is not None:
            taken.add((entry.account.uid, namespace_of(matricule)))
    return taken


def _in_doubt(
    accounts: Iterable[Account],
    feeds: Sequence[SourcedFeed],
    index: AccountIndex,
    memory: Memory,
    rules: Rules,
) -> set[str]:
    """The accounts (uid) and newcomers (matricule) that an open case is about, or that this night makes one
    about. Only of the `accounts` the rows under their own matricule are compared."""
    doubtful: set[str] = set()
    for case in memory.cases.values():
        if case.open:
            entry = index.entry(case.matricule, rules.keys)
            doubtful |= {case.matricule, *case.others, *((entry.account.uid,) if entry else ())}
    own = {account.matricule: account for account in accounts if account.matricule is not None}
    for sourced in feeds:
        for matricule, person in sourced.feed.people.items() if not sourced.source.supplement else ():
            if matricule in own:
                case_tonight = _case(matricule, person, sourced.source.name, own, memory, rules)
                if case_tonight is not None and case_tonight.open:
                    doubtful.add(own[matricule].uid)
            elif index.entry(matricule, rules.keys) is None:
                traces = traces_of(person, rules.keys)
                holders = (a for trace in traces for a in index.holders.get(trace, ()))
                doubtful |= {a.uid for a in holders if traces.evidence(traces_of_account(a))}
    return doubtful


def _certain(person: Person, index: AccountIndex, decision: Decision | None, rules: Rules) -> Account | None:
    """The account of the person if it is certain."""
    keys, traces = rules.keys, traces_of(person, rules.keys)
    likely = {a.uid: a for trace in traces for a in index.holders.get(trace, ())}
    evidence = {uid: words for uid, a in likely.items() if (words := traces.evidence(traces_of_account(a)))}
    named = index.entry(person.former, keys) if person.former else None
    if named is not None:
        likely[named.account.uid] = named.account
        evidence.setdefault(named.account.uid, ())
    if decision is not None:
        return next((a for a in likely.values() if decision.one and decision.one in a.matricules), None)
    if len(evidence) != 1:
        return None
    ((uid, words),) = evidence.items()
    account, former = likely[uid], named is not None
    born = same_birth(person, *births_of(account), keys)
    names = family_agrees(person, account) or given_agrees(person, account)
    return account if joins(words, born, names, former, rules.matching) else None


def find_cases(merged: MergedFeeds, index: AccountIndex, memory: Memory, rules: Rules) -> dict[str, Traces]:
    """Holds each newcomer who may be the person of an account, or another newcomer; the account stays. A
    NUMEN that another account has is not taken over by a known person. The cases are in `merged`. Returns
    the traces of the newcomers, by matricule.

    A case of an earlier run stays open until its newcomer is in a feed again.
    """
    for case in memory.cases.values():
        unheard = case.matricule not in merged.people
        if case.of_newcomer and case.open and unheard and index.entry(case.matricule, rules.keys) is None:
            merged.hold(case.matricule, case.why, HoldCode.CASE)
    search = _Search(merged, index, memory, rules)
    search.find()
    return {matricule: newcomer.traces for matricule, newcomer in search.newcomers.items()}


@dataclass(slots=True)
class _Search:
    merged: MergedFeeds
    index: AccountIndex
    memory: Memory
    rules: Rules
    newcomers: dict[str, _Other] = field(default_factory=dict)
    known: dict[str, tuple[Account, Traces]] = field(default_factory=dict)
    people: dict[str, list[_Other]] = field(default_factory=dict)
    """Newcomers, and known people by the NUMEN that a feed gives them, by trace."""

    def find(self) -> None:
        keys = self.rules.keys
        for matricule, person in self.merged.people.items():
            entry = self.index.entry(matricule, keys)
            if entry is None:
                self._add(matricule, traces_of(person, keys))
            elif person.numen is not None:
                account = entry.account
                traces = Traces(person, frozenset(keys.candidates(NUMEN, person.numen.reveal())))
                self.known[matricule] = (account, traces)
                own = traces_of_account(account).plus(traces.numens)
                self._put(_Other(account.uid, own, account, (matricule,)), traces)
        for matricule, waiting in self.memory.waiting.items():
            if matricule not in self.merged.people and self.index.entry(matricule, keys) is None:
                named, numen, identity = waiting.person, waiting.numen_digest, waiting.births[0]
                traces = stored_traces(named, numen, identity, named.private_mail)
                self._add(matricule, traces)
        for matricule, other in self.newcomers.items():
            if matricule in self.merged.people and matricule not in self.merged.held:
                self._look(self.merged.people[matricule], other)
        for matricule, (account, traces) in self.known.items():
            if matricule not in self.merged.held:
                self._look_at_numen(matricule, account, traces)

    def _add(self, matricule: str, traces: Traces) -> None:
        self.newcomers[matricule] = other = _Other(matricule, traces)
        self._put(other, traces)

    def _put(self, other: _Other, traces: Iterable[str]) -> None:
        for trace in traces:
            self.people.setdefault(trace, []).append(other)

    def _others(self, own: _Other, traces: Iterable[str]) -> Iterator[_Other]:
        """The accounts and newcomers that have one of the traces, each once, accounts first."""
        seen = {own.name}
        traces = list(traces)
        for trace in traces:
            for account in self.index.holders.get(trace, ()):
                if account.uid not in seen:
                    seen.add(account.uid)
                    yield _Other(account.uid, traces_of_account(account), account, account.matricules)
        for trace in traces:
            for other in self.people.get(trace, ()):
                if other.name not in seen:
                    seen.add(other.name)
                    yield other

    def _look(self, person: Person, own: _Other) -> None:
        """Makes the case of a newcomer, if somebody may be the same person. A newcomer made by a head of
        school is always a case: only somebody who knows them can say which account is theirs."""
        evidence = {}
        for other in self._others(own, own.traces):
            words = own.traces.evidence(other.traces)
            if not words or self._first_of_two(own, other):
                continue
            if kept_apart(own.names, other.names, self.memory.cases):
                self._without_numen(person, words)
            else:
                evidence[other] = words
        if evidence or person.matricule in self.merged.local:
            case = self._case(Doubt.SAME_PERSON, person, evidence)
            self.merged.cases[case.id] = case
            if evidence or not case.answered(CaseAnswer.DIFFERENT):
                self.merged.hold(person.matricule, case.why, HoldCode.CASE)

    def _first_of_two(self, own: _Other, other: _Other) -> bool:
        """Whether somebody decided that another newcomer is the same person, who joins this one's account
        once it is made."""
        return any(
            case.answered(CaseAnswer.SAME) and case.matricule == other.name and case.decision.one == own.name
            for case in self.memory.cases.values()
            if case.decision is not None
        )

    def _look_at_numen(self, matricule: str, account: Account, traces: Traces) -> None:
        """Makes the case of a known person whose NUMEN another person has."""
        own = _Other(account.uid, traces, account, (matricule,))
        has_it = account.numen_digest in traces.numens
        others = {
            o: (SAME_NUMEN,)
            for o in self._others(own, traces.numens)
            if o.account is not None and (not has_it or o.account.numen_digest in traces.numens)
        }
        if not others:
            return
        person = self.merged.people[matricule]
        remaining = {o: w for o, w in others.items() if not kept_apart(own.names, o.names, self.memory.cases)}
        if remaining:
            case = self._case(Doubt.SHARED_NUMEN, person, remaining)
            self.merged.cases[case.id] = case
            self.merged.aside["", matricule] = case
        self._without_numen(person, (SAME_NUMEN,))

    def _without_numen(self, person: Person, words: Iterable[str]) -> None:
        if SAME_NUMEN in words:
            self.merged.people[person.matricule] = replace(person, numen=None)

    def _case(self, doubt: Doubt, person: Person, evidence: Mapping[_Other, tuple[str, ...]]) -> Case:
        posts = self.merged.assignments.get(person.matricule, person.assignments)
        case = Case(
            doubt=doubt,
            source=next((a.source for a in person.assignments), ""),
            person=replace(bare(person), assignments=posts),
            accounts=tuple(sorted(other.name for other in evidence if other.account is not None)),
            people=tuple(sorted(other.name for other in evidence if other.account is None)),
            evidence={
                other.name: (*words, *_beside(person, other, words, self.rules.keys))
                for other, words in sorted(evidence.items(), key=lambda pair: pair[0].name)
            },
            since=self.rules.as_of,
            stated=stated(self.rules.keys, person),
        )
        return renewed(case, person, self.memory.cases, self.rules.keys)


def _beside(person: Person, other: _Other, words: Iterable[str], keys: DigestKeys) -> tuple[str, ...]:
    """How birth date and names compare, unless the identity already agrees."""
    born = same_birth(person, *births_of(other.account), keys) if other.account is not None else None
    return () if SAME_IDENTITY in words else compared(person, other.traces.named, born)
