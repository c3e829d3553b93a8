"""piactl's own records below its state entry: the last run, sources, waiting people, runs, the lock.

They are stored as JSON in one canonical form, so that equal records are equal bytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, TypeVar

from piactl.core.model.digests import DigestKeys
from piactl.core.model.person import Person
from piactl.core.plan.feed_limits import SourceRecord
from piactl.core.plan.guards import Census
from piactl.core.plan.run_state import LastRun, Memory, SourceMemory, Waiting
from piactl.core.rules.absences import Absence
from piactl.core.rules.desired import address_problem
from piactl.directory import filters
from piactl.directory.dn import child, normal_dn
from piactl.directory.port import EntryWrite, RawEntry, Reader
from piactl.directory.store.composite_values import assignment_text, read_assignment
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
    *("plan", "policy", "after", "undoes", "undone_by"),
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
    for name in ("as_of", "day"):
        if name in r:
            date.fromisoformat(r[name])
    texts_of(r.get("rewound", []), "rewound")
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


def archivals_record(noted: Mapping[str, date]) -> Record:
    return {uid: day.isoformat() for uid, day in noted.items()}


def read_archivals(r: Record) -> dict[str, date]:
    return {uid: date.fromisoformat(day) for uid, day in r.items()}


DATA = "piactlData"
DUE = "piactlNextDue"
RECORD_CLASS = "piactlRecord"
IN_RECORD = filters.equals("objectClass", RECORD_CLASS)
LOCK_CLASS, LOCK_WRITER = "piactlRunLock", "piactlWriter"
"""The class of the run lock, and the attribute that names its holder to the access rules."""

SOURCES, WAITING, RUNS, ATTEMPTS, OVERRIDES = "sources", "waiting", "runs", "attempts", "overrides"

AHEAD = timedelta(minutes=1)
"""How far the start of a run may lie ahead of this host's clock."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """A memory as it was read, with the bytes of each record, so that a later write can assert them, none of
    those that cannot be read.

    `complete` is False where only the people in waiting that are due were read.
    """

    memory: Memory
    raw: Mapping[str, bytes] = field(repr=False)
    complete: bool = True


class Places:
    """The names of the records below the state entry."""

    def __init__(self, state: str) -> None:
        self.state = state

    def folder(self, name: str) -> str:
        return child(self.state, "ou", name)

    @property
    def last_run(self) -> str:
        return child(self.state, "cn", "state")

    @property
    def addresses(self) -> str:
        return child(self.state, "cn", "addresses")

    @property
    def archivals(self) -> str:
        return child(self.state, "cn", "archivals")

    @property
    def lock(self) -> str:
        return child(self.state, "cn", "lock")

    @property
    def keys(self) -> str:
        return child(self.state, "cn", "keys")

    def source(self, name: str) -> str:
        return child(self.folder(SOURCES), "cn", name)

    def waiting(self, digest: str) -> str:
        return child(self.folder(WAITING), "cn", digest)

    def run(self, run: str) -> str:
        return child(self.folder(RUNS), "cn", run)

    def undo(self, run: str, number: int) -> str:
        return child(self.run(run), "cn", f"undo-{number:05d}")


def read_memory(
    reader: Reader,
    state: str,
    keys: DigestKeys,
    unreadable: UnreadableRecords,
    *,
    due: date | Callable[[LastRun | None], date | None] | None = None,
) -> Remembered:
    """The memory of earlier runs; with `due`, only the people in waiting whose day has come. The day may
    depend on the last run.

    Records that cannot be read are added to `unreadable`: the last run is then `lost`, of a source only what
    the records of runs hold is known, a person in waiting is left out. Raises DirectoryRefused where the
    state entry or its folders are missing.
    """
    places = Places(state)
    raw: dict[str, bytes] = {}
    last_run = _last_run(reader, places, unreadable)
    if callable(due):
        due = due(last_run)
    # the bytes of what cannot be read are not kept: a write replaces them
    foreign: Mapping[str, Mapping[str, date]] = {}
    entry = reader.read(places.addresses, [DATA])
    if entry is not None:
        readable = unreadable.read(entry.dn, entry.first(DATA), read_addresses)
        raw[entry.dn] = (entry.first(DATA) or b"") if readable is not None else b""
        foreign = readable or {}
    archivals: Mapping[str, date] = {}
    entry = reader.read(places.archivals, [DATA])
    if entry is not None:
        noted = unreadable.read(entry.dn, entry.first(DATA), read_archivals)
        raw[entry.dn] = (entry.first(DATA) or b"") if noted is not None else b""
        archivals = noted or {}
    sources = {}
    for entry in reader.search(places.folder(SOURCES), filters.ANY_ENTRY, ["objectClass", DATA], scope="one"):
        name = _cn(entry)
        source = _read_source(entry, name, unreadable)
        raw[entry.dn] = (entry.first(DATA) or b"") if source is not None else b""
        source = source or _source_of_runs(reader, places, name, unreadable)
        if source is not None:
            sources[name] = source
    query = IN_RECORD if due is None else filters.all_of(IN_RECORD, filters.at_most(DUE, f"{due:%Y%m%d}"))
    waiting: dict[str, Waiting] = {}
    for entry in reader.search(places.folder(WAITING), query, [DATA], scope="one"):
        raw[entry.dn] = b""
        one = unreadable.read(entry.dn, entry.first(DATA), read_waiting)
        if one is None:
            continue
        own = (places.waiting(digest) for digest in keys.candidates("matricule", one.person.matricule))
        if normal_dn(entry.dn) in map(normal_dn, own):
            raw[entry.dn] = entry.first(DATA) or b""
            waiting[one.person.matricule] = one
        else:
            why = "its name is not the digest of its matricule under a key of this host"
            unreadable.add(UnreadableRecord(entry.dn, why, "put the key back, or delete the entry"))
    return Remembered(Memory(last_run, sources, waiting, foreign, archivals), raw, complete=due is None)


def read_last(reader: Reader, state: str, unreadable: UnreadableRecords) -> LastRun | None:
    """The state of the last run; None before the first, `lost` if its record cannot be read."""
    return _last_run(reader, Places(state), unreadable)


def read_runs(
    reader: Reader, state: str, unreadable: UnreadableRecords, now: datetime | None
) -> list[Record]:
    """The records of all runs, the latest first. With `now`, those that start after it come last: a clock
    was wrong, or somebody else wrote them."""
    records = _runs(reader, Places(state), unreadable)
    if now is None:
        return records
    ahead = [record for record in records if instant_of(record["started"]) > now + AHEAD]
    for record in ahead:
        why = "the start of the run lies ahead of the clock of this host"
        advice = "look at the clocks; delete the entry if no such run was made"
        unreadable.add(UnreadableRecord(Places(state).run(record["run"]), why, advice))
    return [*(record for record in records if record not in ahead), *ahead]


def misplaced_entries(reader: Reader, state: str) -> list[UnreadableRecord]:
    """The entries below the state entry that are not piactl's."""
    places = Places(state)
    top = normal_dn(state)
    folders = {normal_dn(places.folder(name)) for name in (SOURCES, WAITING, RUNS, ATTEMPTS, OVERRIDES)}
    single = {
        normal_dn(dn)
        for dn in (places.last_run, places.addresses, places.archivals, places.lock, places.keys)
    }
    found = []
    for entry in reader.search(state, filters.ANY_ENTRY, ["objectClass"]):
        name = normal_dn(entry.dn)
        above = name.partition(",")[2]
        of_run = name.startswith("cn=undo-") and above.partition(",")[2] == normal_dn(places.folder(RUNS))
        if name == top or name in folders:
            continue
        if not (name in single or above in folders or of_run):
            found.append(UnreadableRecord(entry.dn, "no record of piactl belongs here", "delete the entry"))
        elif not is_record(entry):
            found.append(_foreign(entry.dn))
    return found


def is_record(entry: RawEntry) -> bool:
    """Whether an entry, read with its classes, is one of piactl's records."""
    classes = entry.values.get("objectClass", ())
    return RECORD_CLASS.lower().encode() in {name.lower() for name in classes}


def stored(entry: RawEntry | None) -> bytes | None:
    """What a record holds, as `record_write` takes it: None without an entry, b"" for an empty one."""
    return None if entry is None else entry.first(DATA) or b""


def _foreign(dn: str) -> UnreadableRecord:
    return UnreadableRecord(dn, f"the entry is not a {RECORD_CLASS}: piactl did not write it", "delete it")


def _cn(entry: RawEntry) -> str:
    return entry.dn.partition("=")[2].partition(",")[0]


def _last_run(reader: Reader, places: Places, unreadable: UnreadableRecords) -> LastRun | None:
    entry = reader.read(places.last_run, [DATA])
    if entry is None:
        return None
    last = unreadable.read(entry.dn, entry.first(DATA), read_last_run)
    if last is None:
        # of what a run leaves, only the day must not be lost: an earlier one would give back what it took
        runs = _runs(reader, places, unreadable)
        rewound = {run for record in runs for run in record.get("rewound", [])}
        days = [
            date.fromisoformat(record.get("day") or record["as_of"])
            for record in runs
            if "as_of" in record and record["run"] not in rewound
        ]
        last = LastRun("", max(days, default=date.min), "", "", "", clean=False, lost=True)
    return last


def _runs(reader: Reader, places: Places, unreadable: UnreadableRecords) -> list[Record]:
    records = []
    for entry in reader.search(places.folder(RUNS), IN_RECORD, [DATA], scope="one"):
        record = unreadable.read(entry.dn, entry.first(DATA), read_run)
        if record is None:
            continue
        if record["run"] == _cn(entry):
            records.append(record)
        else:
            unreadable.add(UnreadableRecord(entry.dn, "the record is that of a run of another name"))
    # the id of a run holds only its second
    return sorted(records, key=lambda one: (instant_of(one["started"]), one["run"]), reverse=True)


def _read_source(entry: RawEntry, name: str, unreadable: UnreadableRecords) -> SourceMemory | None:
    if not is_record(entry):
        unreadable.add(_foreign(entry.dn))
        return None
    source = unreadable.read(entry.dn, entry.first(DATA), read_source)
    if source is not None and source.record.source != name:
        unreadable.add(UnreadableRecord(entry.dn, "the record is that of another source"))
        return None
    return source


def _source_of_runs(
    reader: Reader, places: Places, name: str, unreadable: UnreadableRecords
) -> SourceMemory | None:
    """What the records of runs hold of the feeds of a source, None for nothing: so that an old feed, or one
    whose run was undone, is still refused. Absences begin anew."""
    records = _runs(reader, places, unreadable)
    ids = {record["run"]: record for record in records}
    applied, undone = [], []
    for record in reversed(records):
        mine = [feed["digest"] for feed in record.get("feeds", []) if feed["source"] == name]
        if record["status"] in ("done", "partly"):
            applied += mine
        if _is_undone(record, ids):
            undone += mine
    if not applied:
        return None
    return SourceMemory(
        SourceRecord(name, applied[-1], None, 0, 0), {}, tuple(dict.fromkeys(applied)), tuple(undone)
    )


def _is_undone(record: Record, ids: Mapping[str, Record]) -> bool:
    """Whether the run was undone, and that undo was not undone."""
    undone, seen = False, set()
    by = record.get("undone_by")
    while by and by not in seen:
        seen.add(by)
        undone = not undone
        by = ids.get(by, {}).get("undone_by")
    return undone


def record_write(
    dn: str, old: bytes | None, record: Record | None, due: date | None = None
) -> EntryWrite | None:
    """What makes the record of `dn` the given one (None: gone); None where it is so already.

    `old` is what the entry holds, as `stored` says it, whether it can be read or not.
    """
    if record is None:
        return EntryWrite("delete", dn, delete={DATA: (old,)} if old else {}) if old is not None else None
    new = dumps(record)
    if new == old:
        return None
    if old is None:
        cn = dn.partition("=")[2].partition(",")[0]
        add = {"objectClass": (RECORD_CLASS.encode(),), "cn": (cn.encode(),), DATA: (new,)}
        if due is not None:
            add[DUE] = (f"{due:%Y%m%d}".encode(),)
        return EntryWrite("add", dn, add=add)
    # an attribute with no values in `delete` is replaced, whatever it holds
    delete: dict[str, tuple[bytes, ...]] = {DATA: (old,) if old else ()}
    add = {DATA: (new,)}
    if due is not None:
        delete[DUE], add[DUE] = (), (f"{due:%Y%m%d}".encode(),)
    return EntryWrite("modify", dn, add=add, delete=delete)


def memory_writes(before: Remembered, after: Memory, state: str, keys: DigestKeys) -> Iterator[EntryWrite]:
    """The writes that make the records of sources, foreign addresses, due archivals and people in waiting
    those of `after`.

    The last run is written by the run itself, at its end. People in waiting that `before` did not read
    are left alone.
    """
    places = Places(state)
    raw = {dn.lower(): data for dn, data in before.raw.items()}
    for name, source in after.sources.items():
        dn = places.source(name)
        write = record_write(dn, raw.get(dn.lower()), source_record(source))
        if write is not None:
            yield write
    dn, foreign = places.addresses, after.foreign_addresses
    write = record_write(dn, raw.get(dn.lower()), addresses_record(foreign) if foreign else None)
    if write is not None:
        yield write
    dn, noted = places.archivals, after.archivals
    write = record_write(dn, raw.get(dn.lower()), archivals_record(noted) if noted else None)
    if write is not None:
        yield write
    for matricule in sorted({*before.memory.waiting, *after.waiting}):
        names = [places.waiting(digest) for digest in keys.candidates("matricule", matricule)]
        dn = next((name for name in names if name.lower() in raw), names[0])
        one = after.waiting.get(matricule)
        write = record_write(
            dn, raw.get(dn.lower()), waiting_record(one) if one else None, one.due if one else None
        )
        if write is not None:
            yield write
