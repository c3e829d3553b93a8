"""piactl's own records below its state entry: the last run, sources, people in waiting, runs, the lock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from piactl.core.digests import DigestKeys
from piactl.core.memory import LastRun, Memory
from piactl.core.waiting import Waiting
from piactl.directory import filters
from piactl.directory.names import child
from piactl.directory.port import EntryWrite, RawEntry, Reader
from piactl.directory.recordtext import (
    Record,
    UnreadableRecord,
    addresses_record,
    dumps,
    loads,
    read_addresses,
    read_last_run,
    read_source,
    read_waiting,
    source_record,
    waiting_record,
)

DATA = "piactlData"
DUE = "piactlNextDue"
RECORD_CLASS = "piactlRecord"
IN_RECORD = filters.equals("objectClass", RECORD_CLASS)

SOURCES, WAITING, RUNS = "sources", "waiting", "runs"


@dataclass(frozen=True, slots=True)
class Remembered:
    """A memory as it was read, with the bytes of each record, so that a later write can assert them.

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

    def source(self, name: str) -> str:
        return child(self.folder(SOURCES), "cn", name)

    def waiting(self, digest: str) -> str:
        return child(self.folder(WAITING), "cn", digest)

    def run(self, run: str) -> str:
        return child(self.folder(RUNS), "cn", run)

    def undo(self, run: str, number: int) -> str:
        return child(self.run(run), "cn", f"undo-{number:05d}")


def read_memory(reader: Reader, state: str, *, due: date | None = None) -> Remembered:
    """The memory of earlier runs; with `due`, only the people in waiting whose day has come.

    Raises UnreadableRecord, DirectoryRefused where the state entry or its folders are missing.
    """
    places = Places(state)
    raw: dict[str, bytes] = {}
    last = reader.read(places.last_run, [DATA])
    if last is not None:
        raw[last.dn] = last.first(DATA) or b""
    last_run = _understood(last, read_last_run) if last else None
    addresses = reader.read(places.addresses, [DATA])
    if addresses is not None:
        raw[addresses.dn] = addresses.first(DATA) or b""
    foreign = _understood(addresses, read_addresses) if addresses else {}
    sources = {}
    for entry in reader.search(places.folder(SOURCES), IN_RECORD, [DATA], scope="one"):
        raw[entry.dn] = entry.first(DATA) or b""
        source = _understood(entry, read_source)
        sources[source.record.source] = source
    query = IN_RECORD if due is None else filters.all_of(IN_RECORD, filters.at_most(DUE, f"{due:%Y%m%d}"))
    waiting: dict[str, Waiting] = {}
    for entry in reader.search(places.folder(WAITING), query, [DATA], scope="one"):
        raw[entry.dn] = entry.first(DATA) or b""
        one = _understood(entry, read_waiting)
        waiting[one.person.matricule] = one
    return Remembered(Memory(last_run, sources, waiting, foreign), raw, complete=due is None)


def read_last(reader: Reader, state: str) -> LastRun | None:
    """What the last run left, None before the first. Raises UnreadableRecord."""
    entry = reader.read(Places(state).last_run, [DATA])
    last: LastRun | None = _understood(entry, read_last_run) if entry else None
    return last


def _understood(entry: RawEntry, read: Any) -> Any:
    try:
        return read(loads(entry.dn, entry.first(DATA)))
    except (KeyError, TypeError, ValueError) as error:
        raise UnreadableRecord(
            f"{entry.dn}: the record cannot be understood ({error!r}); restore it or delete the entry by hand"
        ) from None


def record_write(
    dn: str, old: bytes | None, record: Record | None, due: date | None = None
) -> EntryWrite | None:
    """What makes the record of `dn` the given one (None: gone); None where it is so already."""
    if record is None:
        return EntryWrite("delete", dn, delete={DATA: (old,)}) if old is not None else None
    new = dumps(record)
    if new == old:
        return None
    if old is None:
        cn = dn.partition("=")[2].partition(",")[0]
        add = {"objectClass": (RECORD_CLASS.encode(),), "cn": (cn.encode(),), DATA: (new,)}
        if due is not None:
            add[DUE] = (f"{due:%Y%m%d}".encode(),)
        return EntryWrite("add", dn, add=add)
    delete, add = {DATA: (old,)}, {DATA: (new,)}
    if due is not None:
        old_due = str(loads(dn, old).get("due", "")).replace("-", "").encode()
        if old_due != f"{due:%Y%m%d}".encode():
            delete[DUE], add[DUE] = (old_due,), (f"{due:%Y%m%d}".encode(),)
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
