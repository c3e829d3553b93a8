"""The records of runs and their outcomes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, replace
from datetime import date, datetime, timedelta
from typing import Any

from piactl.core.journal_line import current_outcome
from piactl.core.plan.feed_quality import FeedQuality
from piactl.core.plan.run_state import RunStatus
from piactl.directory.port import EntryWrite, Outcome, Reader, Writer, write_one
from piactl.directory.store.records import (
    DATA,
    IN_RECORD,
    RUNS,
    Places,
    Record,
    Records,
    UnreadableRecord,
    UnreadableRecords,
    cn_of,
    counts_of,
    instant_of,
    must,
    new_record,
    number_of,
    text_of,
    texts_of,
)
from piactl.directory.store.typed_records import Misshapen

MARK = "description"
"""What the record of a run carries while it is running, so that a search finds it."""
AHEAD = timedelta(minutes=1)
"""How far the start of a run may be ahead of the clock of this host."""

_RUN_TEXTS = (
    *("command", "user", "sudo_user", "author", "origin", "host", "reason", "note", "ended"),
    *("plan", "policy", "register", "rules", "settings", "after", "undoes", "undone_by", "break_glass"),
)


def read_run(r: Record) -> Record:
    """The record of a run, after a check of its fields; older versions wrote fewer fields, and other words
    for outcomes."""
    for name in ("run", "status"):
        text_of(r, name)
    instant_of(r["started"])
    for name in _RUN_TEXTS:
        if r.get(name) is not None:
            text_of(r, name)
    for name in ("as_of", "day"):
        if name in r:
            date.fromisoformat(r[name])
    for name in ("rewound", "approvals", "approved_by"):
        texts_of(r.get(name, []), name)
    if len(texts_of(r.get("decided", []), "decided")) not in (0, 2):
        raise Misshapen("'decided' is not a case and its answer")
    if "held" in r:
        number_of(r, "held")
    for name in ("summary", "outcomes", "allowed"):
        counts_of(r.get(name) or {}, name)
    for name, texts in (
        ("feeds", ("source", "file", "digest")),
        ("problems", ("uid", "outcome", "message")),
    ):
        rows = r.get(name, [])
        if not isinstance(rows, list):
            raise Misshapen(f"{name!r} is not a list")
        for row in rows:
            texts_of([row[text] for text in texts], name)
    qualities_of(r)
    for kind, numbers in r.get("counted", {}).items():
        counts_of(dict(zip(("found", "of"), numbers, strict=True)), kind)
    head = r.get("journal")
    if head is not None:
        number_of(head, "seq")
        text_of(head, "hash")
    alone = r.get("alone")
    if alone is not None:
        number_of(alone, "pid")
        number_of(alone, "began")
        text_of(alone, "place")
    if not r.get("outcomes"):
        return r
    return {**r, "outcomes": {current_outcome(word): number for word, number in r["outcomes"].items()}}


def put_run_record(writer: Writer, dn: str, record: Mapping[str, Any], *, first: bool = False) -> None:
    """Writes the record of a run, its `first` or over that which is there, and marks one that has not ended,
    so that a search finds it. Raises PiactlError."""
    running = record.get("status") == RunStatus.RUNNING
    mark: dict[str, tuple[bytes, ...]] = {MARK: (RunStatus.RUNNING.encode(),)} if running else {}
    new = new_record(dn, record)
    if first:
        must(writer, [replace(new, add={**new.add, **mark})])
        return
    # whatever is there: another run may have marked this one as interrupted
    over = EntryWrite("modify", dn, add={DATA: new.add[DATA], **mark}, delete={DATA: (), MARK: ()})
    if write_one(writer, over).outcome is not Outcome.APPLIED:  # another program deleted it
        must(writer, [replace(new, add={**new.add, **mark})])


def author_of_run(r: Record) -> str:
    """The person behind a run; records of older versions have the user of sudo at best."""
    return str(r.get("author") or r.get("sudo_user") or r.get("user") or "somebody")


def qualities_of(r: Record) -> list[FeedQuality]:
    """The qualities of the feeds of a run; none in records of older versions and of runs without feeds."""
    known = {field.name: str(field.type) for field in fields(FeedQuality)}
    rows = []
    for row in r.get("quality", []):
        facts = {name: value for name, value in row.items() if name in known}
        for name, value in facts.items():
            if known[name] == "int":
                number_of(facts, name)
            elif known[name] == "str":
                text_of(facts, name)
            elif name == "places":
                for faults in value.values():
                    counts_of(faults, name)
            elif name == "warned":
                texts_of(value, name)
            else:
                counts_of(value, name)
        rows.append(FeedQuality(**facts))
    return rows


def read_runs(
    reader: Reader, state: str, unreadable: UnreadableRecords, now: datetime | None
) -> list[Record]:
    """The records of all runs, the latest first. With `now`, those that start after it come last: a clock
    was wrong, or another program wrote them."""
    records = all_runs(reader, Places(state), unreadable)
    if now is None:
        return records
    ahead = [record for record in records if instant_of(record["started"]) > now + AHEAD]
    for record in ahead:
        why = "the start of the run is ahead of the clock of this host"
        advice = "check the clocks; delete the entry if there was no such run"
        unreadable.add(UnreadableRecord(Places(state).run(record["run"]), why, advice))
    return [*(record for record in records if record not in ahead), *ahead]


def all_runs(reader: Reader, places: Places, unreadable: UnreadableRecords) -> list[Record]:
    records = []
    for entry in reader.search(places.folder(RUNS), IN_RECORD, [DATA], scope="one"):
        record = unreadable.read(entry.dn, entry.first(DATA), read_run)
        if record is None:
            continue
        if record["run"] == cn_of(entry):
            records.append(record)
        else:
            unreadable.add(UnreadableRecord(entry.dn, "the record is that of a run of another name"))
    # the id of a run has only seconds
    return sorted(records, key=lambda record: (instant_of(record["started"]), record["run"]), reverse=True)


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
