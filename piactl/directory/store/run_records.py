"""The records of runs: what a run did, and what became of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta

from piactl.directory.port import Reader
from piactl.directory.store.records import (
    DATA,
    IN_RECORD,
    RUNS,
    Misshapen,
    Places,
    Record,
    UnreadableRecord,
    UnreadableRecords,
    cn_of,
    counts_of,
    instant_of,
    number_of,
    text_of,
    texts_of,
)

AHEAD = timedelta(minutes=1)
"""How far the start of a run may lie ahead of this host's clock."""

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
    if "held" in r:
        number_of(r, "held")
    for name in ("summary", "outcomes", "allowed"):
        counts_of(r.get(name) or {}, name)
    for name, fields in (
        ("feeds", ("source", "file", "digest")),
        ("problems", ("uid", "outcome", "message")),
    ):
        rows = r.get(name, [])
        if not isinstance(rows, list):
            raise Misshapen(f"{name!r} is not a list")
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
        why = "the start of the run lies ahead of the clock of this host"
        advice = "look at the clocks; delete the entry if no such run was made"
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
    # the id of a run holds only its second
    return sorted(records, key=lambda one: (instant_of(one["started"]), one["run"]), reverse=True)


def is_undone(record: Record, ids: Mapping[str, Record]) -> bool:
    """Whether the run was undone, and that undo was not undone."""
    undone, seen = False, set()
    by = record.get("undone_by")
    while by and by not in seen:
        seen.add(by)
        undone = not undone
        by = ids.get(by, {}).get("undone_by")
    return undone


def heads_of(runs: Iterable[Record], host: str, user: str) -> list[Record]:
    """The runs of a Unix user of a host, the latest first, whose records hold a line of its journal, back to
    the run that began that journal. `runs` are in the order of `read_runs`."""
    found = []
    for record in runs:
        is_its = (record.get("host"), record.get("user", user)) == (host, user)
        if is_its and record.get("journal"):
            found.append(record)
            if record.get("begun"):
                break
    return found
