"""Finds the accounts of a run by the identifiers of their people, people and accounts by their traces (NUMEN,
identity, private address, former matricule), and the uidNumbers of the directory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from heapq import nsmallest
from typing import NamedTuple

from piactl.core.model.account import LIVE, NUMBER, Account, State
from piactl.core.model.keyed_digests import DigestKeys
from piactl.core.model.person import Person
from piactl.core.model.policy import Policy
from piactl.core.model.settings import DirectorySettings
from piactl.core.naming.names import NameDigests, name_digest
from piactl.core.naming.posix_numbers import Numbers
from piactl.core.plan.account_changes import home_establishments, services_of
from piactl.core.plan.case import kept_apart
from piactl.core.plan.check_guards import Census
from piactl.core.plan.state_between_runs import Memory
from piactl.core.rules.desired_account import Rules
from piactl.core.rules.matching import FORMER, MAIL, Traces, stored_traces, traces_of
from piactl.directory.interfaces import Reader
from piactl.directory.store.account_entries import Entry, Unreadable
from piactl.directory.store.account_list import Listed, listed_names
from piactl.directory.store.attribute_map import Encoding
from piactl.directory.store.attribute_scans import read_numbers


class ManagedAccounts(NamedTuple):
    """The accounts of one directory: reader, settings, and the encoding of entries on the server behind
    `reader`."""

    reader: Reader
    directory: DirectorySettings
    encoding: Encoding


def traces_of_account(account: Account) -> Traces:
    return stored_traces(account, account.numen_digest, account.identity_digest, account.private_mail)


@dataclass(slots=True)
class AccountIndex:
    """Accounts by first matricule, by `further` ones, by digest and by name. `doubled` has the uids of a
    matricule that several accounts have, `unreadable` the entries that cannot be parsed."""

    by_matricule: dict[str, Entry] = field(default_factory=dict)
    further: dict[str, Entry] = field(default_factory=dict)
    archived: dict[str, Entry] = field(default_factory=dict)
    anonymous: list[Entry] = field(default_factory=list)
    unreadable: list[Unreadable] = field(default_factory=list)
    doubled: dict[str, list[str]] = field(default_factory=dict)
    holders: dict[str, list[Account]] = field(default_factory=dict)
    """The accounts by each of their traces."""
    names: set[str] = field(default_factory=set)
    """Every name of every entry, including unreadable and doubled ones."""

    def add(self, entry: Entry | Unreadable) -> None:
        if isinstance(entry, Unreadable):
            self.names |= {entry.uid, *entry.identifiers}
            self.unreadable.append(entry)
            return
        account = entry.account
        self.names |= account.names
        for trace in traces_of_account(account):
            self.holders.setdefault(trace, []).append(account)
        if account.state is State.ARCHIVED:
            self.archived.update(dict.fromkeys(account.matricule_digests, entry))
        elif account.matricule is None:
            self.anonymous.append(entry)
        elif account.matricule in self.by_matricule:
            first = self.by_matricule[account.matricule]
            uids = self.doubled.setdefault(account.matricule, [first.account.uid])
            self.doubled[account.matricule] = sorted([*uids, account.uid])
            # the same one, in whichever order the server gives them
            self.by_matricule[account.matricule] = min(
                first, entry, key=lambda candidate: candidate.account.uid
            )
        else:
            self.by_matricule[account.matricule] = entry
            if account.further_matricules:
                self.further.update(dict.fromkeys(account.matricules[1:], entry))

    def entries(self) -> Iterable[Entry]:
        yield from (*self.by_matricule.values(), *self.tombstones(), *self.anonymous)

    def tombstones(self) -> Iterable[Entry]:
        """The archived accounts."""
        return {entry.account.uid: entry for entry in self.archived.values()}.values()

    def accounts(self) -> Iterable[Account]:
        return (entry.account for entry in self.entries())

    def entry(self, matricule: str, keys: DigestKeys) -> Entry | None:
        """The account of a matricule, even if it is archived."""
        entry = self.by_matricule.get(matricule) or self.further.get(matricule)
        if entry is None and self.archived:
            digests = keys.candidates("matricule", matricule)
            entry = next((self.archived[d] for d in digests if d in self.archived), None)
        return entry


MOST_COMPARED = 20
"""With how many others of the same NUMEN or identity a person is compared, and how many a case names. A file
that gives everybody one NUMEN would otherwise make as many comparisons, and sentences about them, as there
are pairs of people. Of a private address all are compared: it counts with a name alone."""


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


def traced_account(account: Account) -> TracedPerson:
    return TracedPerson(account.uid, traces_of_account(account), account, account.matricules)


@dataclass(slots=True)
class TracedPeople:
    """Newcomers, and known people by what a feed states of them, by trace; finds who else has a trace."""

    index: AccountIndex
    memory: Memory
    rules: Rules
    newcomers: dict[str, TracedPerson] = field(default_factory=dict)
    people: dict[str, list[TracedPerson]] = field(default_factory=dict)
    first: dict[str, tuple[list[TracedPerson], list[TracedPerson]]] = field(default_factory=dict)
    """By trace the accounts, and the newcomers and known people, who are compared; found once for each trace,
    because 36,000 people may have it."""

    def add_newcomers(self, people: Mapping[str, Person]) -> None:
        """Adds those of the people who have no account, and the people in waiting."""
        keys = self.rules.keys
        for matricule, person in people.items():
            if self.index.entry(matricule, keys) is None:
                self.newcomers[matricule] = TracedPerson(
                    matricule, traces_of(person, keys), former=person.former
                )
        for matricule, waiting in self.memory.waiting.items():
            if matricule not in people and self.index.entry(matricule, keys) is None:
                named, numen, identity = waiting.person, waiting.numen_digest, waiting.births[0]
                traces = stored_traces(named, numen, identity, named.private_mail)
                self.newcomers[matricule] = TracedPerson(matricule, traces)
        for newcomer in self.newcomers.values():
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
            held, people = self.index.holders.get(trace, []), self.people.get(trace, [])
            if not trace.startswith(MAIL):
                held = nsmallest(MOST_COMPARED + 1, held, key=lambda account: account.uid)
                people = nsmallest(MOST_COMPARED + 1, people, key=lambda person: person.name)
            self.first[trace] = [*map(traced_account, held)], people
        return self.first[trace]

    def evidence(self, own: TracedPerson) -> dict[TracedPerson, tuple[str, ...]]:
        """The accounts and newcomers that may be the person of a newcomer, with the evidence, also those that
        a decision keeps apart."""
        found = ((o, w) for o in self.others(own, own.traces) if (w := own.traces.evidence(o.traces)))
        # those of whom most agrees first
        evidence = dict(nsmallest(MOST_COMPARED + 1, found, key=lambda pair: (-len(pair[1]), pair[0].name)))
        former = self.index.entry(own.former, self.rules.keys) if own.former else None
        if former is not None:
            other = traced_account(former.account)
            known = next((o for o in evidence if o.name == other.name), other)
            evidence[known] = (FORMER, *evidence.get(known, ()))
        return evidence

    def are_apart(self, own: TracedPerson, other: TracedPerson) -> bool:
        return kept_apart(own.names, other.names, self.memory.cases)


def census_of(accounts: Iterable[Account], as_of: date) -> Census:
    """The number of live accounts among these, and of those at each establishment and in each profile."""
    total, places, profiles, services = 0, Counter[str](), Counter[str](), Counter[str]()
    for account in accounts:
        if account.state in LIVE:
            total += 1
            places.update(home_establishments(account, as_of))
            profiles.update(account.profiles)
            services.update(services_of(account))
    return Census(total, *(dict(sorted(counts.items())) for counts in (places, profiles, services)))


def numbers_of(accounts: ManagedAccounts, policy: Policy, listed: Mapping[str, Listed]) -> Numbers | None:
    """The numbers of the directory, read when the first one is needed; None if the policy gives none.
    `listed` is the list of accounts, with those that another program deleted."""
    if policy.posix is None:
        return None

    @cache
    def kept() -> NameDigests:
        return NameDigests(listed_names(listed))

    def gone(number: int, uid: str) -> bool:
        name = f"{NUMBER}{number}".lower()
        return name in kept() and name_digest(name) not in listed.get(uid, ("", ()))[1]

    return Numbers(policy.posix, lambda: read_numbers(*accounts), gone)
