"""The records of the state between runs: the last run, sources, people in waiting, addresses of other tools,
due archivals."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, TypeVar

from piactl.core.model.numen_and_digests import DigestKeys
from piactl.core.plan.change import Holding
from piactl.core.plan.feed_limits import PartRecord, PastFeed, SourceRecord
from piactl.core.plan.guards import Census
from piactl.core.plan.losses import Losses, Taken
from piactl.core.plan.run_state import (
    LastRun,
    Memory,
    RunStatus,
    ServerIdentity,
    SourceMemory,
    Vanished,
    Waiting,
)
from piactl.core.rules.desired import address_problem
from piactl.core.rules.feed_absences import Absence
from piactl.core.text import iso
from piactl.directory import filters
from piactl.directory.dn import normal_dn
from piactl.directory.port import EntryWrite, RawEntry, Reader
from piactl.directory.store.attribute_values import assignment_text, read_assignment, read_day
from piactl.directory.store.case_records import case_in, case_record, person_record, read_person
from piactl.directory.store.records import (
    CASES,
    DATA,
    DUE,
    SOURCES,
    WAITING,
    Misshapen,
    Places,
    Record,
    Records,
    UnreadableRecord,
    UnreadableRecords,
    cn_of,
    counts_of,
    foreign_entry,
    in_folder,
    is_record,
    number_of,
    read_records,
    record_write,
    text_of,
    texts_of,
)
from piactl.directory.store.run_records import all_runs, is_undone

T = TypeVar("T")


def last_run_record(last: LastRun) -> Record:
    return {
        "run": last.run,
        "as_of": last.as_of.isoformat(),
        "policy": last.policy,
        "register": last.register,
        "plan": last.plan,
        "clean": last.clean,
        "otp_schema": last.otp_schema,
        "layout": last.layout,
        "census": {
            "total": last.census.total,
            "by_establishment": dict(last.census.by_establishment),
            "by_profile": dict(last.census.by_profile),
            "by_service": dict(last.census.by_service),
        },
        "losses": _losses_record(last.losses),
        **({"unfinished": _losses_record(last.unfinished)} if last.unfinished else {}),
        **({"taken": _taken_record(last.taken)} if last.taken else {}),
        **({"server": str(last.server)} if str(last.server) else {}),
        **({"csns": dict(last.csns)} if last.csns else {}),
    }


def read_last_run(r: Record) -> LastRun:
    census = r["census"]
    if not isinstance(r["clean"], bool):
        raise Misshapen("'clean' is neither true nor false")
    return LastRun(
        run=text_of(r, "run"),
        as_of=read_day(r["as_of"]),
        policy=text_of(r, "policy"),
        register=text_of(r, "register"),
        plan=text_of(r, "plan"),
        clean=r["clean"],
        census=Census(
            number_of(census, "total"),
            counts_of(census["by_establishment"], "by_establishment"),
            counts_of(census["by_profile"], "by_profile"),
            counts_of(census.get("by_service", {}), "by_service"),
        ),
        # runs of older versions left no link
        otp_schema=r.get("otp_schema", False) is True,
        layout=number_of(r, "layout") if "layout" in r else 0,
        losses=_read_losses(r.get("losses", {})),
        unfinished=_read_losses(r.get("unfinished", {})),
        taken=_read_taken(r.get("taken", {})),
        server=ServerIdentity.read(text_of(r, "server") if "server" in r else ""),
        csns={number: text_of(r["csns"], number) for number in r.get("csns", {})},
    )


def _losses_record(losses: Losses) -> Record:
    return {day.isoformat(): dict(counts) for day, counts in losses.items()}


def _read_losses(r: Record) -> Losses:
    return {read_day(day): counts_of(counts, day) for day, counts in r.items()}


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
    taken = {}
    for day, pairs in r.items():
        holdings: dict[str, frozenset[Holding]] = {}
        for texts, uids in pairs:
            parts = (text.partition(":") for text in texts_of(texts, "taken"))
            some = frozenset((sort, name) for sort, _, name in parts)
            holdings |= dict.fromkeys(texts_of(uids, "taken"), some)
        taken[read_day(day)] = holdings
    return taken


def source_record(memory: SourceMemory) -> Record:
    record = memory.record
    return {
        "source": record.source,
        "digest": record.digest,
        "date": iso(record.date),
        "rows": record.rows,
        "people": record.people,
        "past": [_past_record(feed) for feed in record.past],
        "applied": list(memory.applied),
        **({"establishments": sorted(record.establishments)} if record.establishments else {}),
        **({"undone": list(memory.undone)} if memory.undone else {}),
        **({"again": list(memory.again)} if memory.again else {}),
        **({"rejected": list(memory.rejected)} if memory.rejected else {}),
        **({"parts": [[k, iso(p.day), *p.digests] for k, p in memory.parts.items()]} if memory.parts else {}),
        **(
            {"deviations": {m: dict(feed) for m, feed in memory.deviations.items()}}
            if memory.deviations
            else {}
        ),
        "absences": [
            [a.matricule, a.uai, a.function, a.start.isoformat(), a.since.isoformat(), list(a.feeds)]
            for _, a in sorted(memory.absences.items())
        ],
    }


def _past_record(past: PastFeed) -> Record:
    return {
        "digest": past.digest,
        "rows": past.rows,
        "filled": dict(past.filled),
        "distinct": dict(past.distinct),
        "values": {column: dict(counts) for column, counts in past.values.items()},
        **({"accepted": True} if past.accepted else {}),
        **({"forms": {column: dict(counts) for column, counts in past.forms.items()}} if past.forms else {}),
    }


def _read_past(r: Record) -> PastFeed:
    return PastFeed(
        text_of(r, "digest"),
        number_of(r, "rows"),
        counts_of(r["filled"], "filled"),
        counts_of(r["distinct"], "distinct"),
        {column: counts_of(counts, "values") for column, counts in r["values"].items()},
        r.get("accepted", False) is True,
        {column: counts_of(counts, "forms") for column, counts in r.get("forms", {}).items()},
    )


def read_source(r: Record) -> SourceMemory:
    absences = [
        Absence(matricule, uai, function, read_day(start), read_day(since), tuple(feeds))
        for matricule, uai, function, start, since, feeds in r["absences"]
        if texts_of([matricule, uai, function, *feeds], "absences")
    ]
    record = SourceRecord(
        text_of(r, "source"),
        text_of(r, "digest"),
        _day(r["date"]),
        number_of(r, "rows"),
        number_of(r, "people"),
        tuple(map(_read_past, r.get("past", []))),
        frozenset(texts_of(r.get("establishments", []), "establishments")),
    )
    undone = texts_of(r.get("undone", []), "undone")
    deviations = {}
    for matricule, digests in r.get("deviations", {}).items():
        texts_of([matricule, *digests.values()], "deviations")
        deviations[matricule] = dict(digests)
    applied = texts_of(r["applied"], "applied")
    again = texts_of(r.get("again", []), "again")
    parts = {
        kind: PartRecord(_day(day), texts_of(digests, "parts"))
        for kind, day, *digests in r.get("parts", [])
        if texts_of([kind], "parts")
    }
    rejected = texts_of(r.get("rejected", []), "rejected")
    return SourceMemory(
        record, {a.key: a for a in absences}, applied, undone, deviations, again, parts, rejected
    )


def waiting_record(waiting: Waiting) -> Record:
    return {
        **person_record(waiting.person),
        **({"births": list(waiting.births)} if waiting.births[0] else {}),
        "numen_digest": waiting.numen_digest,
        "assignments": [assignment_text(a) for a in waiting.assignments],
        "due": waiting.due.isoformat(),
    }


def read_waiting(r: Record) -> Waiting:
    person = read_person(r)
    if not person.matricule or address_problem(person) is not None:
        raise Misshapen("its person has no matricule, or a name that no address can be made of")
    numen = r["numen_digest"]
    if numen is not None and not isinstance(numen, str):
        raise Misshapen("'numen_digest' is not text")
    assignments = tuple(read_assignment(text) for text in texts_of(r["assignments"], "assignments"))
    births = texts_of(r["births"], "births") if "births" in r else (None, None)
    identity, birth = births
    return Waiting(person, numen, assignments, read_day(r["due"]), (identity, birth))


def drift_record(drift: Mapping[str, Mapping[str, date]]) -> Record:
    return {uid: {name: since.isoformat() for name, since in days.items()} for uid, days in drift.items()}


def read_drift(r: Record) -> dict[str, dict[str, date]]:
    return {uid: {name: read_day(since) for name, since in days.items()} for uid, days in r.items()}


def archivals_record(noted: Mapping[str, date]) -> Record:
    return {uid: day.isoformat() for uid, day in noted.items()}


def read_archivals(r: Record) -> dict[str, date]:
    return {uid: read_day(day) for uid, day in r.items()}


def vanished_record(vanished: Mapping[str, Vanished]) -> Record:
    return {
        uid: {
            "matricule": vanished_account.matricule,
            "since": vanished_account.since.isoformat(),
            "unmanaged": vanished_account.unmanaged,
        }
        for uid, vanished_account in vanished.items()
    }


def read_vanished(r: Record) -> dict[str, Vanished]:
    return {
        uid: Vanished(
            text_of(facts, "matricule"),
            read_day(facts["since"]),
            facts["unmanaged"] is True,
        )
        for uid, facts in r.items()
    }


@dataclass(frozen=True, slots=True)
class Remembered:
    """A memory with the bytes of each readable record, which a later write asserts.

    `complete` is False if only due people in waiting were read.
    """

    memory: Memory
    raw: Mapping[str, bytes] = field(repr=False)
    complete: bool = True


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
    return memory_in(records, keys, unreadable, complete=due is None)


def memory_in(
    records: Records, keys: DigestKeys, unreadable: UnreadableRecords, *, complete: bool = True
) -> Remembered:
    """The memory of earlier runs in their records. `complete` as in Remembered.

    Unreadable records are added to `unreadable`: the last run is then `lost`, a source is restored from the
    records of runs, and a person in waiting is left out. Raises DirectoryRefused if a folder is missing.
    """
    places = records.places
    raw: dict[str, bytes] = {}

    def keep(entry: RawEntry, value: T | None) -> T | None:
        # the bytes of unreadable records are not stored: a write replaces them
        raw[entry.dn] = (entry.first(DATA) or b"") if value is not None else b""
        return value

    def single(dn: str, parse: Callable[[Record], Mapping[str, Any]]) -> Mapping[str, Any]:
        entry = records.entry(dn)
        return (keep(entry, records.value(dn, parse, unreadable)) if entry is not None else None) or {}

    last_run = last_in(records, unreadable)
    drift, vanished = single(places.drift, read_drift), single(places.vanished, read_vanished)
    archivals = single(places.archivals, read_archivals)
    if (addresses := records.entry(places.addresses)) is not None:  # of older versions; a write deletes it
        raw[addresses.dn] = addresses.first(DATA) or b""
    cases = {}
    for entry in records.beginning(CASES):
        case = keep(entry, case_in(entry, places, unreadable))
        if case is not None:
            cases[case.id] = case
    sources = {}
    for entry in records.folder(SOURCES):
        name = cn_of(entry)
        source = keep(entry, _read_source(entry, name, unreadable))
        source = source or _source_of_runs(records, name, unreadable)
        if source is not None:
            sources[name] = source
    waiting = {}
    for entry in filter(is_record, records.folder(WAITING)):
        person = keep(entry, _read_waiting(entry, places, keys, unreadable))
        if person is not None:
            waiting[person.person.matricule] = person
    return Remembered(Memory(last_run, sources, waiting, drift, archivals, cases, vanished), raw, complete)


def _read_waiting(
    entry: RawEntry, places: Places, keys: DigestKeys, unreadable: UnreadableRecords
) -> Waiting | None:
    person = unreadable.read(entry.dn, entry.first(DATA), read_waiting)
    if person is None:
        return None
    own = (places.waiting(digest) for digest in keys.candidates("matricule", person.person.matricule))
    if normal_dn(entry.dn) in map(normal_dn, own):
        return person
    why = "its name is not the digest of its matricule under a key of this host"
    unreadable.add(UnreadableRecord(entry.dn, why, "restore the key, or delete the entry"))
    return None


def read_last(reader: Reader, state: str, unreadable: UnreadableRecords) -> LastRun | None:
    """The state of the last run; None before the first, `lost` if its record cannot be read."""
    entry = reader.read(Places(state).last_run, [DATA])
    return last_in(Records(reader, state, [entry] if entry else []), unreadable)


def drift_in(records: Records) -> Mapping[str, Mapping[str, date]]:
    """Since when changes of other programs exist, by uid and attribute."""
    return records.value(records.places.drift, read_drift, UnreadableRecords()) or {}


def vanished_in(records: Records, unreadable: UnreadableRecords) -> Mapping[str, Vanished]:
    """The accounts whose entry is gone, by uid, as the last run noted them."""
    return records.value(records.places.vanished, read_vanished, unreadable) or {}


def _day(text: str | None) -> date | None:
    return read_day(text) if text else None


def last_in(records: Records, unreadable: UnreadableRecords) -> LastRun | None:
    """The last run in its record; None before the first, `lost` if the record cannot be read."""
    place = records.places.last_run
    if records.entry(place) is None:
        return None
    last = records.value(place, read_last_run, unreadable)
    if last is None:
        # only the day of the run must not be lost: a run on an earlier day would undo its changes
        runs = all_runs(records.reader, records.places, unreadable)
        rewound = {run for record in runs for run in record.get("rewound", [])}
        days = [
            read_day(record.get("day") or record["as_of"])
            for record in runs
            if "as_of" in record and record["run"] not in rewound
        ]
        last = LastRun("", max(days, default=date.min), "", "", "", clean=False, lost=True)
    return last


def _read_source(entry: RawEntry, name: str, unreadable: UnreadableRecords) -> SourceMemory | None:
    if not is_record(entry):
        unreadable.add(foreign_entry(entry.dn))
        return None
    source = unreadable.read(entry.dn, entry.first(DATA), read_source)
    if source is not None and source.record.source != name:
        unreadable.add(UnreadableRecord(entry.dn, "the record is that of another source"))
        return None
    return source


def _source_of_runs(records: Records, name: str, unreadable: UnreadableRecords) -> SourceMemory | None:
    """The memory of a source, made from the records of runs, so that an old feed or one of an undone run is
    still refused; None if no run applied a feed of it. Absences start again."""
    runs = all_runs(records.reader, records.places, unreadable)
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


def memory_writes(before: Remembered, after: Memory, state: str, keys: DigestKeys) -> Iterator[EntryWrite]:
    """The writes that turn the records of sources, drift, vanished entries, due archivals, cases and people
    in waiting into those of `after`.

    The run itself writes the record of the last run at its end. People in waiting that `before` did not read
    are left alone.
    """
    places = Places(state)
    raw = {dn.lower(): data for dn, data in before.raw.items()}

    def records() -> Iterator[tuple[str, Record | None, date | None]]:
        for name, source in after.sources.items():
            yield places.source(name), source_record(source), None
        yield places.drift, drift_record(after.drift) or None, None
        yield places.addresses, None, None
        yield places.vanished, vanished_record(after.vanished) or None, None
        yield places.archivals, archivals_record(after.archivals) or None, None
        for id_ in sorted({*before.memory.cases, *after.cases}):
            case = after.cases.get(id_)
            yield places.case(id_), case_record(case) if case else None, None
        for matricule in sorted({*before.memory.waiting, *after.waiting}):
            names = [places.waiting(digest) for digest in keys.candidates("matricule", matricule)]
            dn = next((name for name in names if name.lower() in raw), names[0])
            person = after.waiting.get(matricule)
            yield dn, waiting_record(person) if person else None, person.due if person else None

    for dn, record, due in records():
        write = record_write(dn, raw.get(dn.lower()), record, due)
        if write is not None:
            yield write
