"""Cases: open questions whether a person in the HR data is the person of an account."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import date, timedelta
from enum import StrEnum

from piactl.core.model.numen_and_digests import DigestKeys
from piactl.core.model.person import Person
from piactl.core.model.settings import MatchingSettings
from piactl.core.rules.matching import FORMER, SAME_IDENTITY, SAME_NUMEN, Doubt, folded, name_text
from piactl.dataclass import dataclass

_WORDS = {Doubt.SAME_PERSON: "may be the person of", Doubt.SHARED_NUMEN: "has the NUMEN of"}
_STATED = "case"
"""The purpose of the digests of what HR states."""


class CaseAnswer(StrEnum):
    SAME = "same"
    DIFFERENT = "different"


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer to a case, about the accounts and people that the case named at that time. `one` is the
    account, or the matricule of the newcomer, that is the same person."""

    answer: CaseAnswer
    by: str
    reason: str
    day: date
    one: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """A matricule of one source, with the accounts (by uid) and the other newcomers (`people`, by matricule)
    that may be the same person. `evidence` gives for each what agrees, in the words of `matching.compared`.

    All of these are empty if a head of school entered the person and no account is similar. `person` has no
    birth date and no NUMEN. `since` is the day of the run that found the case. `stated` is a keyed digest of
    names and birth date: a decision applies only as long as these stay the same.
    """

    doubt: Doubt
    source: str
    person: Person
    accounts: tuple[str, ...]
    evidence: Mapping[str, tuple[str, ...]]
    since: date
    stated: str
    people: tuple[str, ...] = ()
    decision: Decision | None = None

    @property
    def matricule(self) -> str:
        return self.person.matricule

    @property
    def id(self) -> str:
        return case_id(self.doubt, self.source, self.matricule)

    @property
    def of_newcomer(self) -> bool:
        return self.doubt is Doubt.SAME_PERSON

    @property
    def gates(self) -> bool:
        """Whether it is about the account of a known matricule, in one source."""
        return self.doubt not in _WORDS

    @property
    def others(self) -> frozenset[str]:
        return frozenset((*self.accounts, *self.people))

    @property
    def open(self) -> bool:
        return self.decision is None

    @property
    def held_accounts(self) -> tuple[str, ...]:
        """The accounts (uid) that this case holds while it is open: absences do not count for them, as the
        person may be in the feed under the wrong matricule. What HR ends explicitly still ends."""
        if not self.open or self.gates:
            return ()
        strong = {SAME_NUMEN, SAME_IDENTITY, FORMER}
        return tuple(uid for uid in self.accounts if not strong.isdisjoint(self.evidence.get(uid, ())))

    def answered(self, answer: CaseAnswer) -> bool:
        return self.decision is not None and self.decision.answer is answer

    def overdue(self, settings: MatchingSettings, as_of: date) -> bool:
        """Whether it is open for more than `max_hold_days`."""
        return self.open and as_of > self.since + timedelta(days=settings.max_hold_days)

    def urgent(self, settings: MatchingSettings, as_of: date) -> bool:
        """Whether it is open and the newcomer starts within `match_days`, or has started."""
        near = self.start is not None and as_of >= self.start - timedelta(days=settings.match_days)
        return self.open and self.of_newcomer and near

    @property
    def start(self) -> date | None:
        """The first day that HR states."""
        return min((a.start for a in self.person.assignments), default=None)

    @property
    def origin(self) -> str:
        """The feed row."""
        return next((a.origin for a in self.person.assignments), "")

    @property
    def why(self) -> str:
        """One sentence for plans and lists."""
        who = f"{self.origin}: {name_text(self.person)} under matricule {self.matricule}"
        if not self.evidence:
            return f"case {self.id}: {who} is known to a school alone: piactl match show {self.id}"
        rest = _WORDS.get(self.doubt, "may be another person than that of")
        whose = " and ".join(f"{other} ({', '.join(words)})" for other, words in self.evidence.items())
        return f"case {self.id}: {who} {rest} {whose}: piactl match show {self.id}"

    @property
    def hold_text(self) -> str:
        """The case as the reason why an account stays as it is."""
        return f"held until an administrator or HR decides {self.why}"


def cases_of_accounts(cases: Iterable[Case]) -> dict[str, tuple[Case, ...]]:
    """By uid the open cases for which an account stays as it is: those that hold it, and those about its own
    matricule."""
    of_accounts: dict[str, tuple[Case, ...]] = {}
    for case in cases:
        for uid in (case.accounts if case.gates else case.held_accounts) if case.open else ():
            of_accounts[uid] = (*of_accounts.get(uid, ()), case)
    return of_accounts


def case_counts(cases: Iterable[Case], settings: MatchingSettings, as_of: date) -> dict[str, int]:
    """The numbers of open cases: all, those whose newcomer starts soon, those that are overdue."""
    cases = [case for case in cases if case.open]
    soon = sum(case.urgent(settings, as_of) for case in cases)
    return {"open": len(cases), "soon": soon, "overdue": sum(case.overdue(settings, as_of) for case in cases)}


def case_remarks(cases: Iterable[Case], settings: MatchingSettings, as_of: date) -> Iterator[str]:
    """The remarks of a plan about the cases that need a decision soon."""
    for case in cases:
        if case.overdue(settings, as_of):
            yield f"ERROR: case {case.id} is undecided since {case.since}: piactl match show {case.id}"
        elif case.urgent(settings, as_of):
            yield f"WARNING: case {case.id} is undecided, start {case.start}: piactl match show {case.id}"


def case_id(doubt: Doubt, source: str, matricule: str) -> str:
    """The name of a case, always the same for the same question."""
    asked = f"{_WORDS.get(doubt, source)}\0{matricule}"
    return hashlib.sha256(asked.encode()).hexdigest()[:8]


def _names(person: Person) -> str:
    names = (person.family_name, person.usage_name, person.given_name)
    return "\0".join([str(person.birth_date), *map(folded, names)])


def stated(keys: DigestKeys, person: Person) -> str:
    """The digest of what HR states of a person."""
    return keys.digest(_STATED, _names(person))


def renewed(case: Case, person: Person, before: Mapping[str, Case], keys: DigestKeys) -> Case:
    """The case found tonight, with the age and the decision of the earlier one if the question is the same.
    The decision DIFFERENT applies only to the accounts and people that it was about."""
    old = before.get(case.id)
    if old is None:
        return case
    same = keys.matches(old.stated, _STATED, _names(person))
    if case.of_newcomer and old.answered(CaseAnswer.SAME):
        # the other person has no account yet; a joined matricule is not a newcomer, unless that was undone
        waits = old.decision is not None and old.decision.one in case.people
        return replace(case, since=old.since, decision=old.decision if waits else None)
    fits = case.others <= old.others and (
        same or (case.doubt in _WORDS and old.answered(CaseAnswer.DIFFERENT))
    )
    if not fits and old.decision is not None:
        return case
    digest = old.stated if same and not keys.is_older(old.stated) else case.stated
    return replace(case, since=old.since, decision=old.decision, stated=digest)


def kept_apart(left: Collection[str], right: Collection[str], cases: Mapping[str, Case]) -> bool:
    """Whether a decision says that two people, each given by uid and matricules, are different."""
    return any(
        case.answered(CaseAnswer.DIFFERENT) and (case.matricule in one and not case.others.isdisjoint(other))
        for case in cases.values()
        for one, other in ((left, right), (right, left))
    )
