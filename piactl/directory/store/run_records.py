"""The records of runs and their outcomes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any, TypedDict

from piactl.core.journal_line import current_outcome
from piactl.core.plan.plan import FeedCounts
from piactl.core.plan.state_between_runs import RunStatus
from piactl.core.plan.write import Write
from piactl.directory.interfaces import Outcome, Reader, Writer, write_one
from piactl.directory.store.record_entries import (
    DATA,
    IN_RECORD,
    RUNS,
    Places,
    Record,
    Records,
    UnreadableRecord,
    UnreadableRecords,
    cn_of,
    instant_of,
    must,
    new_record,
)
from piactl.directory.store.typed_records import from_json
from piactl.errors import NotFound
from piactl.phrase import Phrase, keep_forms, with_phrases

MARK = "description"
"""What the record of a run carries while it is running, so that a search finds it."""
AHEAD = timedelta(minutes=1)
"""How far the start of a run may be ahead of the clock of this host."""


class _Head(TypedDict):
    seq: int
    hash: str


class _Alone(TypedDict):
    pid: int
    began: int
    place: str


class _Feed(TypedDict):
    source: str
    file: str
    digest: str


class _Problem(TypedDict):
    uid: str
    outcome: str
    message: str


class _Run(TypedDict):
    run: str
    status: str
    started: datetime


class _Facts(_Run, total=False):
    """What the record of a run may hold; older versions wrote fewer fields."""

    command: str | None
    user: str | None
    sudo_user: str | None
    author: str | None
    origin: str | None
    host: str | None
    reason: str | None
    note: str | None
    ended: str | None
    plan: str | None
    policy: str | None
    register: str | None
    rules: str | None
    settings: str | None
    after: str | None
    undoes: str | None
    undone_by: str | None
    break_glass: str | None
    as_of: date
    day: date
    rewound: tuple[str, ...]
    approvals: tuple[str, ...]
    approved_by: tuple[str, ...]
    decided: tuple[str, str]
    held: int
    summary: Mapping[str, int] | None
    outcomes: Mapping[str, int] | None
    allowed: Mapping[str, int] | None
    feeds: tuple[_Feed, ...]
    problems: tuple[_Problem, ...]
    quality: tuple[FeedCounts, ...]
    counted: Mapping[str, tuple[int, int]]
    journal: _Head | None
    alone: _Alone | None


def read_run(r: Record) -> Record:
    """The record of a run, after a check of its fields; older versions had other words for outcomes."""
    from_json(_Facts, r)
    r = with_phrases(r)
    if not r.get("outcomes"):
        return r
    return {**r, "outcomes": {current_outcome(word): number for word, number in r["outcomes"].items()}}


def put_run_record(writer: Writer, dn: str, record: Mapping[str, Any], *, first: bool = False) -> None:
    """Writes the record of a run, its `first` or over that which is there, and marks one that has not ended,
    so that a search finds it. Raises PiactlError."""
    running = record.get("status") == RunStatus.RUNNING
    mark: dict[str, tuple[bytes, ...]] = {MARK: (RunStatus.RUNNING.encode(),)} if running else {}
    new = new_record(dn, keep_forms(record))
    if first:
        must(writer, [replace(new, add={**new.add, **mark})])
        return
    # whatever is there: another run may have marked this one as interrupted
    over = Write("modify", dn, add={DATA: new.add[DATA], **mark}, delete={DATA: (), MARK: ()})
    if write_one(writer, over).outcome is not Outcome.APPLIED:  # another program deleted it
        must(writer, [replace(new, add={**new.add, **mark})])


def find_run(records: Iterable[Record], run: str) -> Record:
    """The record of the run with this id, or of the `last`. Raises NotFound."""
    for record in records:
        if run in (record["run"], "last"):
            return record
    raise NotFound(Phrase("{run}: no such run; see: piactl runs list", run=run))


def author_of_run(r: Record) -> str:
    """The person behind a run; records of older versions have the user of sudo at best."""
    return str(r.get("author") or r.get("sudo_user") or r.get("user") or "somebody")


def qualities_of(r: Record) -> tuple[FeedCounts, ...]:
    """The qualities of the feeds of a run; none in records of older versions and of runs without feeds."""
    return tuple(from_json(tuple[FeedCounts, ...], r.get("quality", [])))


def read_runs(
    reader: Reader, state: str, unreadable: UnreadableRecords, now: datetime | None = None
) -> list[Record]:
    """The records of all runs, the latest first. With `now`, those that start after it come last: a clock
    was wrong, or another program wrote them."""
    records, ahead = [], []
    for entry in reader.search(Places(state).folder(RUNS), IN_RECORD, [DATA], scope="one"):
        record = unreadable.read(entry.dn, entry.first(DATA), read_run)
        if record is None:
            continue
        if record["run"] != cn_of(entry):
            unreadable.add(UnreadableRecord(entry.dn, Phrase("the record is that of a run of another name")))
        elif now is not None and instant_of(record["started"]) > now + AHEAD:
            why = Phrase("the start of the run is ahead of the clock of this host")
            advice = Phrase("check the clocks; delete the entry if there was no such run")
            unreadable.add(UnreadableRecord(entry.dn, why, advice))
            ahead.append(record)
        else:
            records.append(record)

    def began(record: Record) -> tuple[datetime, str]:
        return instant_of(record["started"]), record["run"]  # the id of a run has only seconds

    return [*sorted(records, key=began, reverse=True), *sorted(ahead, key=began, reverse=True)]


def run_in(records: Records, run: str, unreadable: UnreadableRecords) -> Record | None:
    """The record of a run, which is read if the search did not ask for it; None if there is none, or if it
    cannot be read and is added to `unreadable`."""
    dn = records.places.run(run)
    entry = records.entry(dn) or records.reader.read(dn, [DATA])
    return unreadable.read(entry.dn, entry.first(DATA), read_run) if entry is not None else None


def is_undone(record: Record, ids: Mapping[str, Record]) -> bool:
    """Whether the run was undone by an undo that was not undone itself."""
    undone, visited = False, set()
    by = record.get("undone_by")
    while by and by not in visited:
        visited.add(by)
        undone = not undone
        by = ids.get(by, {}).get("undone_by")
    return undone


def records_of(runs: Iterable[Record], host: str, user: str) -> Iterator[Record]:
    """The records of the runs that a Unix user of a host made, the latest first, back to the run that began
    the journal of that host. `runs` are in the order of `read_runs`; records of earlier versions do not name
    the user."""
    for record in runs:
        if (record.get("host"), record.get("user", user)) == (host, user):
            yield record
            if record.get("begun") and record.get("journal"):
                return
