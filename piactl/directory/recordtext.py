"""piactl's own records as JSON text: one canonical form, so that equal records are equal bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from typing import Any

from piactl.core.absences import Absence
from piactl.core.feedfacts import SourceRecord
from piactl.core.guards import Census
from piactl.core.memory import LastRun, SourceMemory
from piactl.core.person import Person
from piactl.core.waiting import Waiting
from piactl.directory.structured import assignment_text, read_assignment
from piactl.errors import PiactlError

Record = Mapping[str, Any]


class UnreadableRecord(PiactlError):
    """A record of piactl in the directory cannot be understood."""


def dumps(record: Record) -> bytes:
    return json.dumps(record, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def loads(name: str, data: bytes | None) -> Record:
    try:
        record = json.loads(data or b"")
    except ValueError:
        record = None
    if not isinstance(record, dict):
        raise UnreadableRecord(
            f"{name}: the record is no JSON object; restore it or delete the entry by hand"
        )
    return record


def _day(text: str | None) -> date | None:
    return date.fromisoformat(text) if text else None


def _iso(day: date | None) -> str | None:
    return day.isoformat() if day else None


def last_run_record(last: LastRun) -> Record:
    return {
        "run": last.run,
        "as_of": last.as_of.isoformat(),
        "policy": last.policy,
        "register": last.register,
        "plan": last.plan,
        "clean": last.clean,
        "otp_schema": last.otp_schema,
        "census": {
            "total": last.census.total,
            "by_establishment": dict(last.census.by_establishment),
            "by_profile": dict(last.census.by_profile),
        },
    }


def read_last_run(r: Record) -> LastRun:
    census = r["census"]
    return LastRun(
        run=r["run"],
        as_of=date.fromisoformat(r["as_of"]),
        policy=r["policy"],
        register=r["register"],
        plan=r["plan"],
        clean=r["clean"],
        census=Census(census["total"], census["by_establishment"], census["by_profile"]),
        # a run before there was such a link left none
        otp_schema=r.get("otp_schema", False),
    )


def source_record(memory: SourceMemory) -> Record:
    record = memory.record
    return {
        "source": record.source,
        "digest": record.digest,
        "date": _iso(record.date),
        "rows": record.rows,
        "people": record.people,
        "columns": {name: list(counts) for name, counts in record.columns.items()},
        "uncommon": dict(record.uncommon),
        "applied": list(memory.applied),
        **({"undone": list(memory.undone)} if memory.undone else {}),
        **(
            {"deviations": {m: dict(one) for m, one in memory.deviations.items()}}
            if memory.deviations
            else {}
        ),
        "absences": [
            [a.matricule, a.uai, a.function, a.start.isoformat(), a.since.isoformat(), list(a.feeds)]
            for _, a in sorted(memory.absences.items())
        ],
    }


def read_source(r: Record) -> SourceMemory:
    absences = [
        Absence(m, uai, function, date.fromisoformat(start), date.fromisoformat(since), tuple(feeds))
        for m, uai, function, start, since, feeds in r["absences"]
    ]
    columns = {name: (counts[0], counts[1]) for name, counts in r["columns"].items()}
    record = SourceRecord(
        r["source"], r["digest"], _day(r["date"]), r["rows"], r["people"], columns, r.get("uncommon", {})
    )
    undone = tuple(r.get("undone", ()))
    deviations = {m: dict(digests) for m, digests in r.get("deviations", {}).items()}
    return SourceMemory(record, {a.key: a for a in absences}, tuple(r["applied"]), undone, deviations)


_PERSON = ("matricule", "family_name", "given_name", "usage_name", "civilite", "private_mail")


def waiting_record(waiting: Waiting) -> Record:
    return {
        **{name: getattr(waiting.person, name) for name in _PERSON},
        "numen_digest": waiting.numen_digest,
        "assignments": [assignment_text(a) for a in waiting.assignments],
        "due": waiting.due.isoformat(),
    }


def read_waiting(r: Record) -> Waiting:
    person = Person(**{name: r[name] for name in _PERSON})
    assignments = tuple(read_assignment(text) for text in r["assignments"])
    return Waiting(person, r["numen_digest"], assignments, date.fromisoformat(r["due"]))


def addresses_record(foreign: Mapping[str, Mapping[str, date]]) -> Record:
    return {uid: {a: since.isoformat() for a, since in found.items()} for uid, found in foreign.items()}


def read_addresses(r: Record) -> dict[str, dict[str, date]]:
    return {uid: {a: date.fromisoformat(since) for a, since in found.items()} for uid, found in r.items()}
