"""Records as entries of LDAP: their names below the state entry, how they are searched, read and written. A
record is stored as canonical JSON, so that equal records have equal bytes.

What one person says to another, an approval of a plan or a request of the help desk, is a record that an
identity may add and nobody may change, sealed under the keys of piactl.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from piactl.core.model.keyed_digests import DigestKeys
from piactl.core.plan.write import Write
from piactl.core.text import read_json
from piactl.directory import filters
from piactl.directory.client.result_codes import NO_SUCH_OBJECT
from piactl.directory.dn import child, normal_dn, parted, under
from piactl.directory.interfaces import Changeable, Outcome, RawEntry, Reader, Writer, WriteResult, write_one
from piactl.directory.store.typed_records import Misshapen, from_json, to_json
from piactl.errors import DirectoryRefused, Exit, PiactlError, RecordChanged
from piactl.phrase import Phrase

DATA = "piactlData"
DUE = "piactlNextDue"
RECORD_CLASS = "piactlRecord"
IN_RECORD = filters.equals("objectClass", RECORD_CLASS)
AUTHORS = ("creatorsName", "modifiersName")
LOCK_CLASS, LOCK_WRITER = "piactlRunLock", "piactlWriter"
"""The class of the run lock, and the attribute with its holder for the access rules."""

SOURCES, WAITING, RUNS, ATTEMPTS = "sources", "waiting", "runs", "attempts"
REQUESTS, APPROVALS = "requests", "approvals"
FOLDERS = (SOURCES, WAITING, RUNS, ATTEMPTS, REQUESTS, APPROVALS)
_FORMER_FOLDERS = ("overrides", "journals")
"""Folders of a directory that an earlier version set up."""

Record = Mapping[str, Any]
T = TypeVar("T")

FORMAT, FORMATS = "format", (1,)
"""The field with the format of a record (1 if it is missing), and the readable formats."""


_UPGRADE = Phrase("a later version of piactl wrote it: upgrade this host")


class UnreadableRecord(PiactlError):
    """A record of piactl in the directory cannot be read. `why` contains no value of it."""

    exit_code = Exit.CONFIGURATION

    def __init__(self, dn: str, why: str, advice: str = Phrase("restore the entry, or delete it")) -> None:
        self.dn, self.why, self.advice = dn, why, advice
        super().__init__(Phrase("{dn}: {why}; {advice}", dn=dn, why=why, advice=advice))


class UnreadableRecords:
    """The unreadable records that one command skipped, each once, in the order found."""

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
        """The parsed record; None if it cannot be read, and then it is added."""
        try:
            return parsed(dn, data, parse)
        except UnreadableRecord as error:
            self.add(error)
            return None

    def delete(self, writer: Writer, entries: Iterable[RawEntry]) -> list[str]:
        """Deletes those of the records that were found unreadable, except what a later version wrote; returns
        their names."""
        deleted = []
        for entry in entries:
            error = self._found.get(normal_dn(entry.dn))
            write = record_write(entry.dn, stored(entry), None)
            if error is None or error.advice == _UPGRADE or write is None:
                continue
            if write_one(writer, write).outcome is Outcome.APPLIED:
                gone = UnreadableRecord(error.dn, error.why, Phrase("this run deleted it"))
                self._found[normal_dn(entry.dn)] = gone
                deleted.append(cn_of(entry))
        return deleted


def dumps(record: Record) -> bytes:
    return json.dumps(record, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def loads(name: str, data: bytes | None) -> Record:
    """The JSON object of a record. Raises UnreadableRecord."""
    if not data:
        raise UnreadableRecord(name, Phrase("the record is empty: it has no piactlData"))
    try:
        record = read_json(data.decode("utf-8"))
        if b"\\ud" in data.lower():  # half of a surrogate pair cannot be written
            dumps(record)
    except (ValueError, RecursionError):
        raise UnreadableRecord(name, Phrase("the record is not JSON")) from None
    if not isinstance(record, dict):
        raise UnreadableRecord(name, Phrase("the record is not a JSON object"))
    if record.get(FORMAT, 1) not in FORMATS:
        raise UnreadableRecord(name, Phrase("the record has an unknown format"), _UPGRADE)
    return record


def parsed(dn: str, data: bytes | None, parse: Callable[[Record], T]) -> T:
    """The value of a record. Raises UnreadableRecord."""
    record = loads(dn, data)
    try:
        return parse(record)
    except Misshapen as error:
        raise UnreadableRecord(dn, str(error)) from None
    except KeyError as error:
        raise UnreadableRecord(dn, Phrase("the record lacks {args}", args=error.args[0])) from None
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        raise UnreadableRecord(dn, Phrase("the record holds a value that piactl does not write")) from None


def text_of(record: Record, name: str) -> str:
    """A field that must be text."""
    return str(from_json(str, record[name], name))


def instant_of(text: object) -> datetime:
    """An instant with its time zone. Raises ValueError."""
    instant: datetime = from_json(datetime, text, "instant")
    return instant


SINGLE = ("state", "keys", "lock", "drift", "archivals", "vanished")


class Places:
    """The names of the records below the state entry."""

    def __init__(self, state: str) -> None:
        self.state = state
        self.single = [child(state, "cn", name) for name in SINGLE]
        self.last_run, self.keys, self.lock, self.drift, self.archivals, self.vanished = self.single

    def folder(self, name: str) -> str:
        return child(self.state, "ou", name)

    def accounts(self, number: int) -> str:
        """A part of the list of accounts."""
        return child(self.state, "cn", f"accounts-{number:05d}")

    def case(self, id_: str) -> str:
        return child(self.state, "cn", f"case-{id_}")

    @property
    def clock(self) -> str:
        return child(self.folder(ATTEMPTS), "cn", "clock")

    def source(self, name: str) -> str:
        return child(self.folder(SOURCES), "cn", name)

    def waiting(self, digest: str) -> str:
        return child(self.folder(WAITING), "cn", digest)

    def run(self, run: str) -> str:
        return child(self.folder(RUNS), "cn", run)

    def undo(self, run: str, number: int) -> str:
        return child(self.run(run), "cn", f"undo-{number:05d}")


OF_TREE = ("objectClass", "cn", DATA, LOCK_WRITER, "description", *AUTHORS, "entryUUID")
"""What is read of the entries of piactl's tree."""


class Records:
    """What one search found of piactl's own entries, by name; what it did not ask for is not known. `reader`
    finds the rest."""

    def __init__(self, reader: Reader, state: str, entries: Iterable[RawEntry]) -> None:
        self.reader, self.state, self.places = reader, state, Places(state)
        self._entries = {normal_dn(entry.dn): entry for entry in entries}
        self._below: dict[str, list[RawEntry]] = {}
        self._values: dict[tuple[str, Callable[[Record], Any]], Any] = {}
        for name, entry in self._entries.items():
            self._below.setdefault(parted(name)[1], []).append(entry)

    def entry(self, dn: str) -> RawEntry | None:
        return self._entries.get(normal_dn(dn))

    def data(self, dn: str) -> bytes | None:
        """The content of a record, as `stored` returns it."""
        return stored(self.entry(dn))

    def value(self, dn: str, parse: Callable[[Record], T], unreadable: UnreadableRecords) -> T | None:
        """The value of a record; None if there is none, or if it cannot be read and is added to
        `unreadable`."""
        entry, known = self.entry(dn), self._values.get((normal_dn(dn), parse))
        if known is None and entry is not None:
            known = self._values[normal_dn(dn), parse] = unreadable.read(entry.dn, entry.first(DATA), parse)
        return known

    def beginning(self, prefix: str) -> list[RawEntry]:
        """The records directly below the state entry whose name begins like this."""
        return [entry for entry in self._under(self.state) if entry.text("cn").lower().startswith(prefix)]

    def folder(self, name: str) -> list[RawEntry]:
        """The entries in a folder. Raises DirectoryRefused if it is not there."""
        place = self.places.folder(name)
        if self.entry(place) is None:
            raise DirectoryRefused(
                Phrase("{place}: there is no such entry. Run piactl doctor", place=place), NO_SUCH_OBJECT
            )
        return self._under(place)

    def later_folder(self, name: str) -> list[RawEntry]:
        """The records in a folder that an earlier piactl may not have made; none without the folder."""
        return list(filter(is_record, self._under(self.places.folder(name))))

    def _under(self, place: str) -> list[RawEntry]:
        return self._below.get(normal_dn(place), [])


CASES, LISTS = "case-", "accounts-"
"""How the names of the records of cases, and of those of the list of accounts, begin."""


def read_records(
    reader: Reader,
    state: str,
    *folders: str,
    names: Iterable[str] = SINGLE,
    beginning: Iterable[str] = (CASES,),
    also: Iterable[str] = (),
) -> Records:
    """piactl's records by one search: those right below the state entry with these names, or whose name
    begins like this, those in these folders, and what the filters `also` find. Raises DirectoryRefused if the
    state entry is missing."""
    query = filters.any_of(
        filters.present("ou"),
        *(filters.equals("cn", name) for name in names),
        *(filters.begins("cn", prefix) for prefix in beginning),
        *(filters.within("ou", folder) for folder in folders),
        *also,
    )
    return Records(reader, state, reader.search(state, query, OF_TREE, few=True, own=True))


def in_folder(folder: str, *those: str) -> str:
    """The filter of the records in a folder that one of `those` finds."""
    return filters.all_of(IN_RECORD, filters.within("ou", folder), filters.any_of(*those))


def read_by_name(
    reader: Reader, base: str, names: Iterable[str], attributes: Sequence[str]
) -> Iterator[RawEntry]:
    """The entries with these DNs, those at or below `base` by one search: slapd finds an entry by its entryDN
    without an index. `base` may be missing or hidden."""
    names = list(dict.fromkeys(names))
    inside = [name for name in names if under(name, base)]
    if inside:
        query = filters.any_of(*(filters.equals("entryDN", name) for name in inside))
        try:
            yield from reader.search(base, query, attributes, few=True, own=True)
        except DirectoryRefused as error:
            if error.result != NO_SUCH_OBJECT:
                raise
    for name in names:
        if name not in inside and (entry := reader.read(name, attributes)) is not None:
            yield entry


def entries_of(reader: Reader, state: str) -> list[RawEntry]:
    """All entries of piactl's tree, with their classes."""
    return list(reader.search(state, filters.ANY_ENTRY, ["objectClass"], few=True))


def misplaced_entries(entries: Iterable[RawEntry], state: str) -> list[UnreadableRecord]:
    """Those of all entries below the state entry that are not piactl's."""
    places = Places(state)
    top = normal_dn(state)
    folders = {normal_dn(places.folder(name)) for name in (*FOLDERS, *_FORMER_FOLDERS)}
    single = {*map(normal_dn, places.single)}
    misplaced = []
    for entry in entries:
        name = normal_dn(entry.dn)
        above = name.partition(",")[2]
        of_run = name.startswith("cn=undo-") and above.partition(",")[2] == normal_dn(places.folder(RUNS))
        if name == top or name in folders:
            continue
        of_many = name.startswith(("cn=case-", "cn=accounts-")) and above == top
        if not (name in single or above in folders or of_run or of_many):
            misplaced.append(
                UnreadableRecord(
                    entry.dn, Phrase("no record of piactl belongs here"), Phrase("delete the entry")
                )
            )
        elif not is_record(entry):
            misplaced.append(foreign_entry(entry.dn))
    return misplaced


def is_record(entry: RawEntry) -> bool:
    """Whether an entry, read with its classes, is one of piactl's records."""
    return has_class(entry, RECORD_CLASS)


def has_class(entry: RawEntry, name: str) -> bool:
    """Whether an entry, read with its classes, has this one."""
    classes = entry.values.get("objectClass", ())
    return name.lower().encode() in {object_class.lower() for object_class in classes}


def stored(entry: RawEntry | None) -> bytes | None:
    """The content of a record for `record_write`: None without an entry, b"" for an empty one."""
    return None if entry is None else entry.first(DATA) or b""


def foreign_entry(dn: str) -> UnreadableRecord:
    return UnreadableRecord(
        dn,
        Phrase("the entry is not a {record_class}: piactl did not write it", record_class=RECORD_CLASS),
        Phrase("delete it"),
    )


def cn_of(entry: RawEntry) -> str:
    return entry.dn.partition("=")[2].partition(",")[0]


def record_write(dn: str, old: bytes | None, record: Record | None, due: date | None = None) -> Write | None:
    """The write that sets the record of `dn`, or deletes it if `record` is None; None if nothing changes.

    `old` is the content of the entry, as `stored` returns it, readable or not.
    """
    if record is None:
        return Write("delete", dn, delete={DATA: (old,)} if old else {}) if old is not None else None
    new = dumps(record)
    if new == old:
        return None
    if old is None:
        return new_record(dn, record, due)
    # an attribute without values in `delete` is replaced, whatever its values
    delete: dict[str, tuple[bytes, ...]] = {DATA: (old,) if old else ()}
    add = {DATA: (new,)}
    if due is not None:
        delete[DUE], add[DUE] = (), (f"{due:%Y%m%d}".encode(),)
    return Write("modify", dn, add=add, delete=delete)


def new_record(dn: str, record: Record, due: date | None = None) -> Write:
    """The write that adds the record of `dn`."""
    cn = dn.partition("=")[2].partition(",")[0]
    add = {"objectClass": (RECORD_CLASS.encode(),), "cn": (cn.encode(),), DATA: (dumps(record),)}
    if due is not None:
        add[DUE] = (f"{due:%Y%m%d}".encode(),)
    return Write("add", dn, add=add)


def set_record(writer: Writer, dn: str, record: Record | None, due: date | None = None) -> WriteResult | None:
    """Reads the record of `dn`, then writes it, or deletes it if `record` is None, unless it has changed
    meanwhile. Returns None if nothing changes."""
    write = record_write(dn, stored(writer.read(dn, [DATA])), record, due)
    return write_one(writer, write) if write is not None else None


def replace_record(writer: Changeable, dn: str, old: bytes | None, record: Record) -> None:
    """Writes the record of `dn` if its content is still `old`. Raises PiactlError if that fails."""
    write = record_write(dn, old, record)
    if write is not None:
        must(writer, [write])


def must(writer: Changeable, writes: Iterable[Write]) -> None:
    """Makes writes of piactl's own records. Raises PiactlError for the first that fails."""
    for result in writer.write(writes):
        if result.outcome not in (Outcome.APPLIED, Outcome.UNCHANGED):
            raise unwritten(result.write.dn, result)


def unwritten(dn: str, result: WriteResult) -> PiactlError:
    """The error for a record of piactl's own that was not written."""
    error = RecordChanged if result.outcome is Outcome.CONFLICT else PiactlError
    return error(
        Phrase("{dn}: piactl's own record cannot be written: {message}", dn=dn, message=result.message)
    )


# ---- sealed records


class Said(Protocol):
    """A statement in a record of that name, made at an instant."""

    @property
    def name(self) -> str: ...
    @property
    def at(self) -> datetime: ...


S = TypeVar("S", bound=Said)


@dataclass(frozen=True, slots=True)
class SealedRecords(Generic[S]):
    """The records of statements of one type. `purpose` is that of their seals, `name_key` the key of their
    name in JSON, which is the name of the record and not in it."""

    type: type[S]
    purpose: str
    name_key: str
    keys: DigestKeys

    def read_all(self, entries: Iterable[RawEntry], unreadable: UnreadableRecords) -> list[S]:
        """The statements that count, the oldest first; other records are added to `unreadable`."""
        read = (
            unreadable.read(entry.dn, entry.first(DATA), partial(self._read, cn_of(entry)))
            for entry in entries
        )
        return sorted(filter(None, read), key=lambda statement: (statement.at, statement.name))

    def read(self, dn: str, name: str, data: bytes | None) -> S:
        """The statement in a record. Raises UnreadableRecord."""
        return parsed(dn, data, partial(self._read, name))

    def write(self, folder: str, statement: S) -> Write:
        """The write of a record; it fails if there is one of that name."""
        record = to_json(statement)
        del record[self.name_key]
        seal = self.keys.digest(self.purpose, _sealed(statement))
        return new_record(child(folder, "cn", statement.name), {**record, "seal": seal})

    def _read(self, name: str, record: Record) -> S:
        statement: S = from_json(self.type, {**record, self.name_key: name})
        if not self.keys.matches(text_of(record, "seal"), self.purpose, _sealed(statement)):
            raise Misshapen(Phrase("its seal is not of piactl's keys: another program wrote it"))
        return statement


def _sealed(statement: Said) -> str:
    return dumps(to_json(statement)).decode()
