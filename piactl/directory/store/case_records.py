"""The records of cases: one entry each, right below the state entry."""

from __future__ import annotations

from typing import Any

from piactl.core.model.person import Assignment, Person
from piactl.core.plan.identity_case import Case
from piactl.directory.dn import normal_dn
from piactl.directory.port import RawEntry
from piactl.directory.store.attribute_values import assignment_text, read_assignment
from piactl.directory.store.records import (
    CASES,
    DATA,
    Places,
    Records,
    UnreadableRecord,
    UnreadableRecords,
    foreign_entry,
    is_record,
)
from piactl.directory.store.typed_records import LAYOUTS, Form, Layout, from_json, reader_of, to_json

PERSON = ("matricule", "family_name", "given_name", "usage_name", "civilite", "private_mail")
"""What records have of a person, beside the assignments: no birth date, no NUMEN."""


def _read_newcomers(people: Any) -> tuple[Person, ...]:
    """Records of 0.2.0 have the matricule alone."""
    return tuple(Person(one, "", "") if isinstance(one, str) else from_json(Person, one) for one in people)


LAYOUTS |= {
    Assignment: Form(assignment_text, read_assignment),
    Person: Layout(only=(*PERSON, "assignments")),
    Case: Layout(
        inline="person", names={"newcomers": "people"}, forms={"newcomers": Form(to_json, _read_newcomers)}
    ),
}
CASE = reader_of(Case)


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
    case = unreadable.read(entry.dn, entry.first(DATA), CASE)
    if case is not None and normal_dn(entry.dn) != normal_dn(places.case(case.id)):
        unreadable.add(UnreadableRecord(entry.dn, "the record is that of another case"))
        return None
    return case
