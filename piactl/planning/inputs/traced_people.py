"""Finds people and accounts by their traces: NUMEN, identity, private address, former matricule."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from heapq import nsmallest

from piactl.core.model.account import Account
from piactl.core.model.person import Person
from piactl.core.plan.identity_case import (
    kept_apart,
)
from piactl.core.plan.memory import Memory
from piactl.core.rules.desired import Rules
from piactl.core.rules.matching import (
    FORMER,
    Traces,
    stored_traces,
    traces_of,
)
from piactl.planning.inputs.account_index import AccountIndex, traces_of_account

MOST_COMPARED = 20
"""With how many others of the same trace a person is compared. A file that gives everybody one NUMEN would
otherwise make as many comparisons, and sentences about them, as there are pairs of people."""


@dataclass(frozen=True, slots=True)
class TracedPerson:
    """An account, or a newcomer without one."""

    name: str
    traces: Traces
    account: Account | None = None
    matricules: tuple[str, ...] = ()
    former: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name, *self.matricules)


@dataclass(slots=True)
class TracedPeople:
    """Newcomers, and known people by what a feed states of them, by trace; finds who else has a trace."""

    index: AccountIndex
    memory: Memory
    rules: Rules
    newcomers: dict[str, TracedPerson] = field(default_factory=dict)
    people: dict[str, list[TracedPerson]] = field(default_factory=dict)
    first: dict[str, tuple[list[TracedPerson], list[TracedPerson]]] = field(default_factory=dict)
    """By trace the accounts, and the newcomers and known people, who are compared."""

    def add_newcomers(self, people: Mapping[str, Person]) -> None:
        """Adds those of the people who have no account, and the people in waiting."""
        keys = self.rules.keys
        for matricule, person in people.items():
            if self.index.entry(matricule, keys) is None:
                self._add(TracedPerson(matricule, traces_of(person, keys), former=person.former))
        for matricule, waiting in self.memory.waiting.items():
            if matricule not in people and self.index.entry(matricule, keys) is None:
                named, numen, identity = waiting.person, waiting.numen_digest, waiting.births[0]
                self._add(TracedPerson(matricule, stored_traces(named, numen, identity, named.private_mail)))

    def _add(self, newcomer: TracedPerson) -> None:
        self.newcomers[newcomer.name] = newcomer
        self.put(newcomer, newcomer.traces)

    def put(self, other: TracedPerson, traces: Iterable[str]) -> None:
        for trace in traces:
            self.people.setdefault(trace, []).append(other)
            self.first.pop(trace, None)

    def others(self, own: TracedPerson, traces: Iterable[str]) -> Iterator[TracedPerson]:
        """The accounts and newcomers that have one of the traces, each once, accounts first."""
        firsts = [self._first(trace) for trace in traces]
        seen = {own.name}
        for other in [
            *(a for accounts, _ in firsts for a in accounts),
            *(p for _, people in firsts for p in people),
        ]:
            if other.name not in seen:
                seen.add(other.name)
                yield other

    def _first(self, trace: str) -> tuple[list[TracedPerson], list[TracedPerson]]:
        if trace not in self.first:
            held = nsmallest(MOST_COMPARED + 1, self.index.holders.get(trace, ()), key=lambda a: a.uid)
            accounts = [TracedPerson(a.uid, traces_of_account(a), a, a.matricules) for a in held]
            people = nsmallest(MOST_COMPARED + 1, self.people.get(trace, ()), key=lambda p: p.name)
            self.first[trace] = accounts, people
        return self.first[trace]

    def evidence(self, own: TracedPerson) -> dict[TracedPerson, tuple[str, ...]]:
        """The accounts and newcomers that may be the person of a newcomer, with the evidence, also those that
        a decision keeps apart."""
        evidence = {o: w for o in self.others(own, own.traces) if (w := own.traces.evidence(o.traces))}
        former = self.index.entry(own.former, self.rules.keys) if own.former else None
        if former is not None:
            account = former.account
            other = TracedPerson(account.uid, traces_of_account(account), account, account.matricules)
            known = next((o for o in evidence if o.name == other.name), other)
            evidence[known] = (FORMER, *evidence.get(known, ()))
        return evidence

    def are_apart(self, own: TracedPerson, other: TracedPerson) -> bool:
        return kept_apart(own.names, other.names, self.memory.cases)
