"""The records of the state between runs: the last run, sources, people in waiting, cases, due archivals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass, field
from datetime import date
from typing import Any, TypeVar

from piactl.core.model.keyed_digests import DigestKeys
from piactl.core.model.person import Assignment, Person
from piactl.core.plan.case import Case
from piactl.core.plan.change import Holding
from piactl.core.plan.check_feed_limits import PartRecord, PastFeed, SourceRecord
from piactl.core.plan.recent_losses import Taken
from piactl.core.plan.state_between_runs import (
    LastRun,
    Memory,
    RunStatus,
    ServerIdentity,
    SourceMemory,
    Vanished,
    Waiting,
)
from piactl.core.plan.write import Write
from piactl.core.rules.desired_account import address_problem
from piactl.core.rules.feed_absences import Absence, Key
from piactl.core.text import iso
from piactl.directory import filters
from piactl.directory.dn import normal_dn
from piactl.directory.interfaces import RawEntry, Reader
from piactl.directory.store.attribute_values import assignment_text, read_assignment
from piactl.directory.store.record_entries import (
    CASES,
    DATA,
    DUE,
    SOURCES,
    WAITING,
    Places,
    Record,
    Records,
    UnreadableRecord,
    UnreadableRecords,
    cn_of,
    foreign_entry,
    in_folder,
    is_record,
    read_records,
    record_write,
)
from piactl.directory.store.run_records import is_undone, read_runs
from piactl.directory.store.typed_records import (
    LAYOUTS,
    Form,
    Layout,
    Misshapen,
    from_json,
    reader_of,
    to_json,
)
from piactl.phrase import Phrase

T = TypeVar("T")


def _taken_record(taken: Taken) -> Record:
    """By day, pairs of what was taken and the uids from which it was: many lose the same."""
    record: dict[str, list[list[list[str]]]] = {}
    for day, holdings in sorted(taken.items()):
        uids: dict[tuple[str, ...], list[str]] = {}
        for uid, some in sorted(holdings.items()):
            uids.setdefault(tuple(sorted(":".join(holding) for holding in some)), []).append(uid)
        record[day.isoformat()] = [[list(some), of_uids] for some, of_uids in uids.items()]
    return record


def _read_taken(r: Record) -> Taken:
    pairs = from_json(Mapping[date, tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]], r)
    taken: dict[date, dict[str, frozenset[Holding]]] = {day: {} for day in pairs}
    for day, some_of_uids in pairs.items():
        for texts, uids in some_of_uids:
            parts = (text.partition(":") for text in texts)
            taken[day] |= dict.fromkeys(uids, frozenset((sort, name) for sort, _, name in parts))
    return taken


_ABSENCES = tuple[tuple[str, str, str, date, date, tuple[str, ...]], ...]


def _read_absences(rows: Any) -> dict[Key, Absence]:
    absences = (Absence(*row) for row in from_json(_ABSENCES, rows))
    return {absence.key: absence for absence in absences}


def _read_parts(rows: Any) -> dict[str, PartRecord]:
    parts = from_json(tuple[tuple[str | None, ...], ...], rows)
    days = {str(kind): from_json(date | None, day) for kind, day, *_ in parts}
    return {str(kind): PartRecord(days[str(kind)], (*map(str, digests),)) for kind, _, *digests in parts}


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
    ServerIdentity: Form(str, ServerIdentity.read),
    LastRun: Layout(
        brief=("lost", "unfinished", "taken", "server", "csns"),
        forms={"taken": Form(_taken_record, _read_taken)},
    ),
    SourceRecord: Layout(brief=("establishments",)),
    PastFeed: Layout(brief=("accepted", "forms")),
    SourceMemory: Layout(
        brief=("undone", "deviations", "again", "parts", "rejected"),
        inline="record",
        forms={
            "absences": Form(
                lambda absences: [to_json(astuple(one)) for _, one in sorted(absences.items())],
                _read_absences,
            ),
            "parts": Form(lambda parts: [[k, iso(p.day), *p.digests] for k, p in parts.items()], _read_parts),
        },
    ),
    Waiting: Layout(brief=("births",), inline="person"),
}
LAST_RUN, SOURCE, CASE = reader_of(LastRun), reader_of(SourceMemory), reader_of(Case)
DRIFT, ARCHIVALS = reader_of(Mapping[str, Mapping[str, date]]), reader_of(Mapping[str, date])
VANISHED = reader_of(Mapping[str, Vanished])


def read_waiting(record: Record) -> Waiting:
    waiting: Waiting = from_json(Waiting, record)
    if not waiting.person.matricule or address_problem(waiting.person) is not None:
        raise Misshapen(Phrase("its person has no matricule, or a name that no address can be made of"))
    return waiting


@dataclass(frozen=True, slots=True)
class Remembered:
    """A memory with the records that it was read from."""

    memory: Memory
    records: Records = field(repr=False)
    unreadable: UnreadableRecords = field(repr=False)

    def content(self, dn: str) -> bytes | None:
        """What a write of a record asserts: its content, b"" if it cannot be read and is replaced; None
        without one."""
        data = self.records.data(dn)
        return data if data is None or dn not in self.unreadable else b""


def read_memory(
    reader: Reader,
    state: str,
    keys: DigestKeys,
    unreadable: UnreadableRecords,
    *,
    due: date | None = None,
) -> Remembered:
    """`memory_in` of the records as they are now; with `due`, only with people in waiting who are due on that
    day. Raises DirectoryRefused if the state entry or its folders are missing."""
    waiting = filters.within("ou", WAITING)
    if due is not None:
        waiting = in_folder(WAITING, filters.at_most(DUE, f"{due:%Y%m%d}"))
    records = read_records(reader, state, SOURCES, also=[waiting])
    return memory_in(records, keys, unreadable)


def memory_in(records: Records, keys: DigestKeys, unreadable: UnreadableRecords) -> Remembered:
    """The memory of earlier runs in their records.

    Unreadable records are added to `unreadable`: the last run is then `lost`, a source is restored from the
    records of runs, and a person in waiting is left out. Raises DirectoryRefused if a folder is missing.
    """
    places = records.places
    last_run = last_in(records, unreadable)
    kinds = (places.drift, DRIFT), (places.vanished, VANISHED), (places.archivals, ARCHIVALS)
    drift, vanished, archivals = (records.value(*kind, unreadable) or {} for kind in kinds)
    found = (case_in(entry, places, unreadable) for entry in records.beginning(CASES))
    cases = {case.id: case for case in found if case is not None}
    sources = {}
    for entry in records.folder(SOURCES):
        name = cn_of(entry)
        source = _read_source(entry, name, unreadable) or _source_of_runs(records, name, unreadable)
        if source is not None:
            sources[name] = source
    waiting = {}
    for entry in filter(is_record, records.folder(WAITING)):
        person = _read_waiting(entry, places, keys, unreadable)
        if person is not None:
            waiting[person.person.matricule] = person
    memory = Memory(last_run, sources, waiting, drift, archivals, cases, vanished)
    return Remembered(memory, records, unreadable)


def _read_waiting(
    entry: RawEntry, places: Places, keys: DigestKeys, unreadable: UnreadableRecords
) -> Waiting | None:
    person = unreadable.read(entry.dn, entry.first(DATA), read_waiting)
    if person is None:
        return None
    own = (places.waiting(digest) for digest in keys.candidates("matricule", person.person.matricule))
    if normal_dn(entry.dn) in map(normal_dn, own):
        return person
    why = Phrase("its name is not the digest of its matricule under a key of this host")
    unreadable.add(UnreadableRecord(entry.dn, why, Phrase("restore the key, or delete the entry")))
    return None


def read_last(reader: Reader, state: str, unreadable: UnreadableRecords) -> LastRun | None:
    """The state of the last run; None before the first, `lost` if its record cannot be read."""
    entry = reader.read(Places(state).last_run, [DATA])
    return last_in(Records(reader, state, [entry] if entry else []), unreadable)


def drift_in(records: Records) -> Mapping[str, Mapping[str, date]]:
    """Since when changes of other programs exist, by uid and attribute."""
    return records.value(records.places.drift, DRIFT, UnreadableRecords()) or {}


def last_in(records: Records, unreadable: UnreadableRecords) -> LastRun | None:
    """The last run in its record; None before the first, `lost` if the record cannot be read."""
    place = records.places.last_run
    if records.entry(place) is None:
        return None
    last = records.value(place, LAST_RUN, unreadable)
    if last is None:
        # only the day of the run must not be lost: a run on an earlier day would undo its changes
        runs = read_runs(records.reader, records.state, unreadable)
        rewound = {run for record in runs for run in record.get("rewound", [])}
        days = [
            date.fromisoformat(record.get("day") or record["as_of"])
            for record in runs
            if "as_of" in record and record["run"] not in rewound
        ]
        last = LastRun("", max(days, default=date.min), "", "", "", clean=False, lost=True)
    return last


def _read_source(entry: RawEntry, name: str, unreadable: UnreadableRecords) -> SourceMemory | None:
    if not is_record(entry):
        unreadable.add(foreign_entry(entry.dn))
        return None
    source = unreadable.read(entry.dn, entry.first(DATA), SOURCE)
    if source is not None and source.record.source != name:
        unreadable.add(UnreadableRecord(entry.dn, Phrase("the record is that of another source")))
        return None
    return source


def _source_of_runs(records: Records, name: str, unreadable: UnreadableRecords) -> SourceMemory | None:
    """The memory of a source, made from the records of runs, so that an old feed or one of an undone run is
    still refused; None if no run applied a feed of it. Absences start again."""
    runs = read_runs(records.reader, records.state, unreadable)
    ids = {record["run"]: record for record in runs}
    applied, undone = [], []
    for record in reversed(runs):
        digests = [feed["digest"] for feed in record.get("feeds", []) if feed["source"] == name]
        if record["status"] in (RunStatus.DONE, RunStatus.PARTLY):
            applied += digests
        if is_undone(record, ids):
            undone += digests
    if not applied:
        return None
    return SourceMemory(
        SourceRecord(name, applied[-1], None, 0, 0), {}, tuple(dict.fromkeys(applied)), tuple(undone)
    )


def memory_writes(before: Remembered, after: Memory, state: str, keys: DigestKeys) -> Iterator[Write]:
    """The writes that turn the records of sources, drift, vanished entries, due archivals, cases and people
    in waiting into those of `after`.

    The run itself writes the record of the last run at its end. People in waiting that `before` did not read
    are left alone.
    """
    places = Places(state)

    def records() -> Iterator[tuple[str, Record | None, date | None]]:
        for name, source in after.sources.items():
            yield places.source(name), to_json(source), None
        yield places.drift, to_json(after.drift) or None, None
        yield places.vanished, to_json(after.vanished) or None, None
        yield places.archivals, to_json(after.archivals) or None, None
        for id_ in sorted({*before.memory.cases, *after.cases}):
            case = after.cases.get(id_)
            yield places.case(id_), to_json(case) if case else None, None
        for matricule in sorted({*before.memory.waiting, *after.waiting}):
            names = [places.waiting(digest) for digest in keys.candidates("matricule", matricule)]
            dn = next(filter(before.records.entry, names), names[0])
            person = after.waiting.get(matricule)
            yield dn, to_json(person) if person else None, person.due if person else None

    for dn, record, due in records():
        write = record_write(dn, before.content(dn), record, due)
        if write is not None:
            yield write


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
        unreadable.add(UnreadableRecord(entry.dn, Phrase("the record is that of another case")))
        return None
    return case
