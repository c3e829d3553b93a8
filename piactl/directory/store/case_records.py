"""The records of cases: one entry each, right below the state entry."""

from __future__ import annotations

from dataclasses import asdict, replace

from piactl.core.model.person import Person
from piactl.core.plan.identity_case import Case, CaseAnswer, Decision
from piactl.core.rules.matching import Doubt
from piactl.directory.dn import normal_dn
from piactl.directory.port import RawEntry
from piactl.directory.store.attribute_values import assignment_text, read_assignment, read_day
from piactl.directory.store.records import (
    CASES,
    DATA,
    Places,
    Record,
    Records,
    UnreadableRecord,
    UnreadableRecords,
    foreign_entry,
    is_record,
    text_of,
    texts_of,
)

_PERSON = ("matricule", "family_name", "given_name", "usage_name", "civilite", "private_mail")


def person_record(person: Person) -> Record:
    """A person without what a record does not hold: birth date, NUMEN, assignments."""
    return {name: getattr(person, name) for name in _PERSON}


def read_person(r: Record) -> Person:
    """Raises KeyError, Misshapen."""
    return Person(**{name: text_of(r, name) for name in _PERSON})  # type: ignore[arg-type]


def case_record(case: Case) -> Record:
    decision = case.decision
    return {
        **person_record(case.person),
        "doubt": case.doubt.value,
        "source": case.source,
        "assignments": [assignment_text(a) for a in case.person.assignments],
        "accounts": list(case.accounts),
        "people": [
            {**person_record(person), "assignments": [assignment_text(a) for a in person.assignments]}
            for person in case.newcomers
        ],
        "evidence": {other: list(words) for other, words in case.evidence.items()},
        "since": case.since.isoformat(),
        "stated": case.stated,
        "decision": decision and {**asdict(decision), "day": decision.day.isoformat()},
        "births": list(case.births),
    }


def read_case(r: Record) -> Case:
    decision = r["decision"]
    if decision is not None:
        words = {name: text_of(decision, name) for name in ("by", "reason", "one")}
        day = read_day(decision["day"])
        decision = Decision(answer=CaseAnswer(decision["answer"]), day=day, **words)
    return Case(
        doubt=Doubt(r["doubt"]),
        source=text_of(r, "source"),
        person=_person_with_posts(r),
        accounts=texts_of(r["accounts"], "accounts"),
        newcomers=tuple(map(_newcomer, r["people"])),
        evidence={other: texts_of(words, "evidence") for other, words in r["evidence"].items()},
        since=read_day(r["since"]),
        stated=text_of(r, "stated"),
        decision=decision,
        births=texts_of(r.get("births", []), "births"),
    )


def _person_with_posts(r: Record) -> Person:
    return replace(read_person(r), assignments=tuple(map(read_assignment, r["assignments"])))


def _newcomer(r: Record | str) -> Person:
    """Records of 0.2.0 have the matricule alone."""
    return Person(r, "", "") if isinstance(r, str) else _person_with_posts(r)


def cases_in(records: Records, unreadable: UnreadableRecords) -> list[Case]:
    """Every case, by age."""
    entries = records.beginning(CASES)
    cases = filter(None, (case_in(entry, records.places, unreadable) for entry in entries))
    return sorted(cases, key=lambda case: (case.since, case.id))


def case_in(entry: RawEntry, places: Places, unreadable: UnreadableRecords) -> Case | None:
    """The case of an entry; None if it is not one, and then it is added to `unreadable`."""
    if not is_record(entry):
        unreadable.add(foreign_entry(entry.dn))
        return None
    case = unreadable.read(entry.dn, entry.first(DATA), read_case)
    if case is not None and normal_dn(entry.dn) != normal_dn(places.case(case.id)):
        unreadable.add(UnreadableRecord(entry.dn, "the record is that of another case"))
        return None
    return case
