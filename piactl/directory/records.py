"""piactl's own records below its state entry: the last run, sources, people in waiting, runs, the lock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from piactl.core.digests import DigestKeys
from piactl.core.feedfacts import SourceRecord
from piactl.core.memory import LastRun, Memory, SourceMemory
from piactl.core.waiting import Waiting
from piactl.directory import filters
from piactl.directory.names import child, normal_dn
from piactl.directory.port import EntryWrite, RawEntry, Reader
from piactl.directory.recordtext import (
    Record,
    UnreadableRecord,
    UnreadableRecords,
    addresses_record,
    dumps,
    instant_of,
    read_addresses,
    read_last_run,
    read_run,
    read_source,
    read_waiting,
    source_record,
    waiting_record,
)

DATA = "piactlData"
DUE = "piactlNextDue"
RECORD_CLASS = "piactlRecord"
IN_RECORD = filters.equals("objectClass", RECORD_CLASS)

SOURCES, WAITING, RUNS, ATTEMPTS, PINS = "sources", "waiting", "runs", "attempts", "pins"

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
    due: date | None = None,
) -> Remembered:
    """The memory of earlier runs; with `due`, only the people in waiting whose day has come.

    Records that cannot be read are added to `unreadable`: the last run is then `lost`, of a source only what
    the records of runs hold is known, a person in waiting is left out. Raises DirectoryRefused where the
    state entry or its folders are missing.
    """
    places = Places(state)
    raw: dict[str, bytes] = {}
    last_run = _last_run(reader, places, unreadable)
    # the bytes of what cannot be read are not kept: a write replaces them
    foreign: Mapping[str, Mapping[str, date]] = {}
    entry = reader.read(places.addresses, [DATA])
    if entry is not None:
        readable = unreadable.read(entry.dn, entry.first(DATA), read_addresses)
        raw[entry.dn] = (entry.first(DATA) or b"") if readable is not None else b""
        foreign = readable or {}
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
    return Remembered(Memory(last_run, sources, waiting, foreign), raw, complete=due is None)


def read_last(reader: Reader, state: str, unreadable: UnreadableRecords) -> LastRun | None:
    """What the last run left, None before the first; `lost` where its record cannot be read."""
    return _last_run(reader, Places(state), unreadable)


def read_runs(reader: Reader, state: str, unreadable: UnreadableRecords, now: datetime) -> list[Record]:
    """The records of all runs, the latest first. Those that start after `now` come last: a clock was wrong,
    or somebody else wrote them."""
    records = _runs(reader, Places(state), unreadable)
    ahead = [record for record in records if instant_of(record["started"]) > now + AHEAD]
    for record in ahead:
        why = "the start of the run lies ahead of the clock of this host"
        advice = "look at the clocks; delete the entry if no such run was made"
        unreadable.add(UnreadableRecord(Places(state).run(record["run"]), why, advice))
    return [*(record for record in records if record not in ahead), *ahead]


def misplaced_entries(reader: Reader, state: str) -> list[UnreadableRecord]:
    """The entries below the state entry that piactl did not write."""
    places = Places(state)
    top = normal_dn(state)
    folders = {normal_dn(places.folder(name)) for name in (SOURCES, WAITING, RUNS, ATTEMPTS, PINS)}
    single = {normal_dn(dn) for dn in (places.last_run, places.addresses, places.lock, places.keys)}
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
        days = [date.fromisoformat(record["as_of"]) for record in runs if "as_of" in record]
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
    """Whether the run is undone, and the undo is not itself undone."""
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
    """The writes that make the records of sources, foreign addresses and people in waiting those of `after`.

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
    for matricule in sorted({*before.memory.waiting, *after.waiting}):
        names = [places.waiting(digest) for digest in keys.candidates("matricule", matricule)]
        dn = next((name for name in names if name.lower() in raw), names[0])
        one = after.waiting.get(matricule)
        write = record_write(
            dn, raw.get(dn.lower()), waiting_record(one) if one else None, one.due if one else None
        )
        if write is not None:
            yield write
