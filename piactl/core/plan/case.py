"""Cases: open questions whether a person in the HR data is the person of an account."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from enum import StrEnum

from piactl.core.model.keyed_digests import DigestKeys
from piactl.core.model.person import Person
from piactl.core.model.settings import MatchingSettings
from piactl.core.rules.matching import EVIDENCE, STRONG, Doubt, folded, name_text
from piactl.phrase import Phrase, counted, joined

_MOST_NAMED = 5
"""Of how many people a sentence about a case speaks; `piactl match show` has all."""
_ANOTHER = Phrase("may be another person than that of")
_WORDS = {
    Doubt.SAME_PERSON: Phrase("may be the person of"),
    Doubt.SHARED_NUMEN: Phrase("has the NUMEN of"),
    Doubt.SHARED_IDENTITY: Phrase("has the birth date and names of"),
}
_STATED = "case"
"""The purpose of the digests of what HR states."""


class CaseAnswer(StrEnum):
    """WRONG_ROW: HR's row is wrong. Nobody gets an account by it, and it joins none."""

    SAME = "same"
    DIFFERENT = "different"
    WRONG_ROW = "wrong-row"


BY_RULE = "piactl"
"""Who decided a case that needed nobody: NUMEN and identity agree, or HR went back to what it had stated."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer to a case, about the accounts and people that the case named at that time. `one` is the
    account, or the matricule of the newcomer, that is the same person; for WRONG_ROW it is the matricule of
    the wrong row."""

    answer: CaseAnswer
    by: str
    reason: str
    day: date
    one: str = ""

    @property
    def by_rule(self) -> bool:
        return self.by == BY_RULE


@dataclass(frozen=True, slots=True)
class Case:
    """A matricule of one source, with the accounts (by uid) and the `newcomers` that may be the same person.
    `evidence` gives for each, by uid or matricule, what agrees, in the words of `matching.compared`.

    All of these are empty if a head of school entered the person and no account is similar. The people have
    no birth date and no NUMEN. `since` is the day of the run that found the case. `stated` is a keyed digest
    of names and birth date: a decision applies only as long as these stay the same. `births` has the digest
    of the birth date that the account had before HR stated another one.
    """

    doubt: Doubt
    source: str
    person: Person
    accounts: tuple[str, ...]
    evidence: Mapping[str, tuple[str, ...]]
    since: date
    stated: str
    newcomers: tuple[Person, ...] = ()
    decision: Decision | None = None
    births: tuple[str, ...] = ()

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
    def people(self) -> tuple[str, ...]:
        """The matricules of the newcomers."""
        return tuple(person.matricule for person in self.newcomers)

    @property
    def others(self) -> frozenset[str]:
        return frozenset((*self.accounts, *self.people))

    @property
    def open(self) -> bool:
        return self.decision is None

    @property
    def waits_for_hr(self) -> bool:
        """Whether it is decided that HR has to correct its row, which is not applied until then."""
        wrong = self.answered(CaseAnswer.WRONG_ROW) and not self.corrected
        return wrong or (self.gates and self.answered(CaseAnswer.DIFFERENT))

    @property
    def corrected(self) -> bool:
        """Whether HR went back by itself to the birth date of the account: the other one was an error."""
        return self.decision is not None and self.answered(CaseAnswer.WRONG_ROW) and self.decision.by_rule

    @property
    def listed(self) -> bool:
        """Whether somebody has to act: to decide it, or to correct the row."""
        return self.open or self.waits_for_hr

    @property
    def held_accounts(self) -> tuple[str, ...]:
        """The accounts (uid) that this case holds: absences do not count for them, as the person may be in
        the feed under the wrong matricule. What HR ends explicitly still ends."""
        if not self.listed:
            return ()
        return tuple(uid for uid in self.accounts if not STRONG.isdisjoint(self.evidence.get(uid, ())))

    @property
    def wrong_matricule(self) -> str:
        """The matricule of the row that is decided to be wrong, or ""."""
        if self.decision is None or not self.answered(CaseAnswer.WRONG_ROW) or self.corrected:
            return ""
        return self.decision.one or self.matricule

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
    def why(self) -> Phrase:
        """One sentence for plans and lists."""
        who = Phrase(
            "{origin}: {name} under matricule {matricule}",
            origin=self.origin,
            name=name_text(self.person),
            matricule=self.matricule,
        )
        if not self.evidence:
            return Phrase(
                "case {id}: {who} is known to a school alone: piactl match show {id}", id=self.id, who=who
            )
        others = [
            Phrase("{other} ({evidence})", other=other, evidence=evidence_text(words))
            for other, words in self.evidence.items()
        ]
        if len(others) > _MOST_NAMED:
            more = counted(len(others) - _MOST_NAMED, "other", "others")
            others = [*others[:_MOST_NAMED], more]
        return Phrase(
            "case {id}: {who} {relation} {others}; HR: correct the matricule if it is wrong, or say whether "
            "it is the same person; administrator: decide: piactl match show {id}",
            id=self.id,
            who=who,
            relation=_WORDS.get(self.doubt, _ANOTHER),
            others=joined(others, "{first} and {second}"),
        )

    @property
    def hold_text(self) -> Phrase:
        """The case as the reason why an account stays as it is."""
        if self.waits_for_hr:
            return Phrase("held until HR corrects its row, {case}", case=self.why)
        return Phrase("held until an administrator or HR decides {case}", case=self.why)


def cases_of_accounts(cases: Iterable[Case]) -> dict[str, tuple[Case, ...]]:
    """By uid the cases for which an account stays as it is: those that hold it, and those about its own
    matricule. They are open, or wait for HR to correct a row."""
    of_accounts: dict[str, tuple[Case, ...]] = {}
    for case in cases:
        for uid in (case.accounts if case.gates else case.held_accounts) if case.listed else ():
            of_accounts[uid] = (*of_accounts.get(uid, ()), case)
    return of_accounts


def case_counts(cases: Iterable[Case], settings: MatchingSettings, as_of: date) -> dict[str, int]:
    """The numbers of cases: all that are open, those whose newcomer starts soon, those that are overdue, and
    the decided ones that wait for HR to correct a row."""
    cases = list(cases)
    return {
        "open": sum(case.open for case in cases),
        "soon": sum(case.urgent(settings, as_of) for case in cases),
        "overdue": sum(case.overdue(settings, as_of) for case in cases),
        "wrong": sum(case.waits_for_hr for case in cases),
    }


def case_remarks(cases: Iterable[Case], settings: MatchingSettings, as_of: date) -> Iterator[str]:
    """The remarks of a plan about the cases that need a decision soon."""
    for case in cases:
        if case.overdue(settings, as_of):
            yield Phrase(
                "ERROR: case {id} is undecided since {since}: piactl match show {id}",
                id=case.id,
                since=case.since,
            )
        elif case.urgent(settings, as_of):
            yield Phrase(
                "WARNING: case {id} is undecided, start {start}: piactl match show {id}",
                id=case.id,
                start=case.start,
            )


def closed_remarks(
    before: Mapping[str, Case], after: Mapping[str, Case], gone: Callable[[Case], bool]
) -> Iterator[str]:
    """The remarks of a plan about the cases that this run closes by itself. `gone`: whether the row of a case
    is in the feeds of its source no more."""
    for id_, case in before.items():
        if case.listed and not (id_ in after and after[id_].listed):
            values = {"id": id_, "matricule": case.matricule, "source": case.source or Phrase("HR")}
            if gone(case):
                yield Phrase(
                    "case {id} is closed: matricule {matricule} of {source} is in no feed any more", **values
                )
            else:
                yield Phrase(
                    "case {id} is closed: the HR data of matricule {matricule} of {source} have been "
                    "corrected",
                    **values,
                )


def case_id(doubt: Doubt, source: str, matricule: str) -> str:
    """The name of a case, always the same for the same question."""
    asked = f"{_WORDS.get(doubt, source)}\0{matricule}"
    return hashlib.sha256(asked.encode()).hexdigest()[:8]


def evidence_text(words: Iterable[str]) -> str:
    """What agrees of two people, which records have as text."""
    return joined((EVIDENCE.get(word, word) for word in words), "{first}, {second}")


def _names(person: Person) -> str:
    names = (person.family_name, person.usage_name, person.given_name)
    return "\0".join([str(person.birth_date), *map(folded, names)])


def stated(keys: DigestKeys, person: Person) -> str:
    """The digest of what HR states of a person."""
    return keys.digest(_STATED, _names(person))


def renewed(case: Case, person: Person, before: Mapping[str, Case], keys: DigestKeys) -> Case:
    """The case found tonight, with the age and the decision of the earlier one if the question is the same.
    The decision DIFFERENT about a newcomer applies only to the accounts and people that it was about. A
    question about a known matricule is the same whichever source asks it."""

    def same(old: Case) -> bool:
        return keys.matches(old.stated, _STATED, _names(person))

    old = before.get(case.id)
    if case.gates and (old is None or old.open):
        asked = (c for c in before.values() if c.gates and c.matricule == case.matricule and same(c))
        old = min(asked, key=lambda c: (c.open, c.since, c.id), default=old)
    if old is None:
        return case
    if case.of_newcomer and old.answered(CaseAnswer.SAME):
        # the other person has no account yet; a joined matricule is not a newcomer, unless that was undone
        waits = old.decision is not None and old.decision.one in case.people
        return replace(case, since=old.since, decision=old.decision) if waits else case
    fits = case.others <= old.others and (same(old) or old.answered(CaseAnswer.DIFFERENT))
    if case.gates:
        fits = same(old)
    if not fits and old.decision is not None:
        return case
    digest = old.stated if same(old) and not keys.is_older(old.stated) else case.stated
    source = old.source if case.gates and same(old) else case.source
    births = old.births or case.births
    return replace(case, source=source, since=old.since, decision=old.decision, stated=digest, births=births)


def states_again(case: Case, person: Person, keys: DigestKeys) -> bool:
    """Whether a row states again what HR has corrected before."""
    same = case.matricule == person.matricule and keys.matches(case.stated, _STATED, _names(person))
    return case.corrected and same


def is_wrong_row(case: Case, person: Person, keys: DigestKeys) -> bool:
    """Whether it is decided that this row of a person is wrong, and it still states the same."""
    if case.wrong_matricule != person.matricule:
        return False
    return case.matricule != person.matricule or keys.matches(case.stated, _STATED, _names(person))


def kept_apart(left: Collection[str], right: Collection[str], cases: Mapping[str, Case]) -> bool:
    """Whether a decision says that two people, each given by uid and matricules, are different."""
    return any(
        case.answered(CaseAnswer.DIFFERENT)
        and not case.gates
        and (case.matricule in one and not case.others.isdisjoint(other))
        for case in cases.values()
        for one, other in ((left, right), (right, left))
    )
