"""piactl's own records as JSON text: one canonical form, so that equal records are equal bytes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime
from typing import Any, TypeVar

from piactl.core.absences import Absence
from piactl.core.desired import address_problem
from piactl.core.feedfacts import SourceRecord
from piactl.core.guards import Census
from piactl.core.memory import LastRun, SourceMemory
from piactl.core.person import Person
from piactl.core.waiting import Waiting
from piactl.directory.names import normal_dn
from piactl.directory.structured import assignment_text, read_assignment
from piactl.errors import Exit, PiactlError

Record = Mapping[str, Any]
T = TypeVar("T")

FORMAT, FORMATS = "format", (1,)
"""The field that says in which format a record is, 1 where it is missing, and the formats read here."""


class UnreadableRecord(PiactlError):
    """A record of piactl in the directory cannot be read. `why` holds nothing of its values."""

    exit_code = Exit.CONFIGURATION

    def __init__(self, dn: str, why: str, advice: str = "restore the entry, or delete it") -> None:
        self.dn, self.why, self.advice = dn, why, advice
        super().__init__(f"{dn}: {why}; {advice}")


class UnreadableRecords:
    """The records that one command found unreadable and did without, each once, in the order found."""

    def __init__(self) -> None:
        self._found: dict[str, UnreadableRecord] = {}

    def add(self, error: UnreadableRecord) -> None:
        self._found.setdefault(normal_dn(error.dn), error)

    def __len__(self) -> int:
        return len(self._found)

    def __iter__(self) -> Iterator[UnreadableRecord]:
        return iter(list(self._found.values()))

    def __contains__(self, dn: str) -> bool:
        return normal_dn(dn) in self._found

    def read(self, dn: str, data: bytes | None, parse: Callable[[Record], T]) -> T | None:
        """The parsed record, None where it cannot be read, which is noted."""
        try:
            return parsed(dn, data, parse)
        except UnreadableRecord as error:
            self.add(error)
            return None


class _Misshapen(ValueError):
    """A record has another shape than its kind; the text holds nothing of its values."""


def dumps(record: Record) -> bytes:
    return json.dumps(record, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def loads(name: str, data: bytes | None) -> Record:
    """The JSON object of a record. Raises UnreadableRecord."""
    if not data:
        raise UnreadableRecord(name, "the record is empty: it has no piactlData")
    try:
        record = json.loads(data.decode("utf-8"))
        if b"\\ud" in data.lower():  # half of a character can be written nowhere
            dumps(record)
    except (ValueError, RecursionError):
        raise UnreadableRecord(name, "the record is not JSON") from None
    if not isinstance(record, dict):
        raise UnreadableRecord(name, "the record is not a JSON object")
    if record.get(FORMAT, 1) not in FORMATS:
        raise UnreadableRecord(
            name, "the record has an unknown format", "a later version of piactl wrote it: upgrade this host"
        )
    return record


def parsed(dn: str, data: bytes | None, parse: Callable[[Record], T]) -> T:
    """A record as the value it stands for. Raises UnreadableRecord, whatever is wrong with it."""
    record = loads(dn, data)
    try:
        return parse(record)
    except _Misshapen as error:
        raise UnreadableRecord(dn, str(error)) from None
    except KeyError as error:
        raise UnreadableRecord(dn, f"the record lacks {error.args[0]!r}") from None
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        raise UnreadableRecord(dn, "the record holds a value that piactl does not write") from None


def text_of(record: Record, name: str) -> str:
    """A field that must be text."""
    value = record[name]
    if not isinstance(value, str):
        raise _Misshapen(f"{name!r} is not text")
    return value


def number_of(record: Record, name: str) -> int:
    """A field that must be a whole number, not below zero."""
    value = record[name]
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise _Misshapen(f"{name!r} is not a number")
    return value


def instant_of(text: object) -> datetime:
    """An instant with its time zone. Raises ValueError."""
    if not isinstance(text, str):
        raise _Misshapen("an instant is not text")
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise _Misshapen("an instant has no time zone")
    return instant.astimezone(UTC)


def texts_of(values: object, name: str) -> tuple[str, ...]:
    """A field that must be a list of texts."""
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise _Misshapen(f"{name!r} is not a list of texts")
    return tuple(values)


def _counts(values: object, name: str) -> dict[str, int]:
    if not isinstance(values, dict):
        raise _Misshapen(f"{name!r} is not an object")
    return {key: number_of(values, key) for key in values}


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
    if not isinstance(r["clean"], bool):
        raise _Misshapen("'clean' is neither true nor false")
    return LastRun(
        run=text_of(r, "run"),
        as_of=date.fromisoformat(r["as_of"]),
        policy=text_of(r, "policy"),
        register=text_of(r, "register"),
        plan=text_of(r, "plan"),
        clean=r["clean"],
        census=Census(
            number_of(census, "total"),
            _counts(census["by_establishment"], "by_establishment"),
            _counts(census["by_profile"], "by_profile"),
        ),
        # a run before there was such a link left none
        otp_schema=r.get("otp_schema", False) is True,
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
        Absence(matricule, uai, function, date.fromisoformat(start), date.fromisoformat(since), tuple(feeds))
        for matricule, uai, function, start, since, feeds in r["absences"]
        if texts_of([matricule, uai, function, *feeds], "absences")
    ]
    columns = {
        name: (number_of({name: values}, name), number_of({name: bad}, name))
        for name, (values, bad) in r["columns"].items()
    }
    record = SourceRecord(
        text_of(r, "source"),
        text_of(r, "digest"),
        _day(r["date"]),
        number_of(r, "rows"),
        number_of(r, "people"),
        columns,
        _counts(r.get("uncommon", {}), "uncommon"),
    )
    undone = texts_of(r.get("undone", []), "undone")
    deviations = {}
    for matricule, digests in r.get("deviations", {}).items():
        texts_of([matricule, *digests.values()], "deviations")
        deviations[matricule] = dict(digests)
    applied = texts_of(r["applied"], "applied")
    return SourceMemory(record, {a.key: a for a in absences}, applied, undone, deviations)


_PERSON = ("matricule", "family_name", "given_name", "usage_name", "civilite", "private_mail")


def waiting_record(waiting: Waiting) -> Record:
    return {
        **{name: getattr(waiting.person, name) for name in _PERSON},
        "numen_digest": waiting.numen_digest,
        "assignments": [assignment_text(a) for a in waiting.assignments],
        "due": waiting.due.isoformat(),
    }


def read_waiting(r: Record) -> Waiting:
    for name in _PERSON:
        text_of(r, name)
    person = Person(**{name: r[name] for name in _PERSON})
    if not person.matricule or address_problem(person) is not None:
        raise _Misshapen("its person has no matricule, or a name that no address can be made of")
    numen = r["numen_digest"]
    if numen is not None and not isinstance(numen, str):
        raise _Misshapen("'numen_digest' is not text")
    assignments = tuple(read_assignment(text) for text in texts_of(r["assignments"], "assignments"))
    return Waiting(person, numen, assignments, date.fromisoformat(r["due"]))


_RUN_TEXTS = (
    *("command", "user", "sudo_user", "origin", "host", "reason", "note", "ended"),
    *("plan", "policy", "undoes", "undone_by"),
)


def read_run(r: Record) -> Record:
    """The record of a run, as it stands, once its fields have the shapes that its readers rely on; earlier
    versions wrote fewer of them."""
    for name in ("run", "status"):
        text_of(r, name)
    instant_of(r["started"])
    for name in _RUN_TEXTS:
        if r.get(name) is not None:
            text_of(r, name)
    if "as_of" in r:
        date.fromisoformat(r["as_of"])
    for name in ("summary", "outcomes", "allowed"):
        _counts(r.get(name) or {}, name)
    for name, fields in (
        ("feeds", ("source", "file", "digest")),
        ("problems", ("uid", "outcome", "message")),
    ):
        rows = r.get(name, [])
        if not isinstance(rows, list):
            raise _Misshapen(f"{name!r} is not a list")
        for row in rows:
            texts_of([row[field] for field in fields], name)
    head = r.get("journal")
    if head is not None:
        number_of(head, "seq")
        text_of(head, "hash")
    alone = r.get("alone")
    if alone is not None:
        number_of(alone, "pid")
        number_of(alone, "began")
        text_of(alone, "place")
    return r


def addresses_record(foreign: Mapping[str, Mapping[str, date]]) -> Record:
    return {uid: {a: since.isoformat() for a, since in found.items()} for uid, found in foreign.items()}


def read_addresses(r: Record) -> dict[str, dict[str, date]]:
    return {uid: {a: date.fromisoformat(since) for a, since in found.items()} for uid, found in r.items()}
