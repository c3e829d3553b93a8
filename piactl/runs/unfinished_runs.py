"""Which earlier runs did not end, and what they left: writes in doubt, records of dead runs, plans that were
begun."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from piactl.core.plan.state_between_runs import RunStatus
from piactl.directory.interfaces import Reader
from piactl.directory.store.record_entries import DATA, RUNS, Record, UnreadableRecords, replace_record
from piactl.directory.store.run_records import MARK, put_run_record, read_run, read_runs
from piactl.directory.store.state_records import LAST_RUN
from piactl.directory.store.typed_records import to_json
from piactl.host.caller import is_alive, this_place
from piactl.journal import repeated
from piactl.phrase import Phrase, counted
from piactl.runs.run import Run
from piactl.runs.run_lock import RunLock
from piactl.runs.write_ahead import read_back

INTERRUPTED = (RunStatus.INTERRUPTED, RunStatus.FAILED, RunStatus.STOPPED)
"""The statuses of a run that began to write, because no guard refused it, and did not come to its end."""
LONG_ALONE = timedelta(hours=12)
"""A run without a lock on another host counts as dead after this time, or if it starts this far ahead."""


def begun_runs(
    reader: Reader, state: str, unreadable: UnreadableRecords, now: datetime | None = None
) -> Iterator[Record]:
    """The records of the runs that began to write and did not end, the latest first, but for those that were
    undone. One marked as running may be under way: only the lock shows that. `now` is as in `read_runs`."""
    for record in read_runs(reader, state, unreadable, now):
        if record["status"] in (RunStatus.RUNNING, *INTERRUPTED) and not record.get("undone_by"):
            yield record


def alive_alone(record: Record, now: datetime) -> bool:
    """Whether the record is that of a run without a lock that may still be under way."""
    alone = record.get("alone")
    if not isinstance(alone, Mapping):
        return False
    if alone.get("place") == this_place() and this_place():
        return is_alive(int(alone["pid"]), int(alone["began"]))
    return abs(now - datetime.fromisoformat(str(record["started"]))) < LONG_ALONE


def settle_doubts(run: Run) -> None:
    """Reads back the writes that earlier runs on this host left in doubt, and journals their outcomes."""
    run.unmade = run.journal.unmade
    intents = run.journal.in_doubt
    settled = read_back(run.writer, intents, run.keys)
    if settled:
        pairs = list(zip(intents, settled, strict=True))
        run.journal.resolved(settled)
        unmade = [intent for intent, settlement in pairs if settlement.outcome != "applied"]
        run.unmade = [*run.unmade, *unmade]
        done = len(settled) - len(unmade)
        writes = counted(
            len(settled),
            "write that an earlier run left in doubt was read back",
            "writes that an earlier run left in doubt were read back",
        )
        run.say(Phrase("{writes}: {number} had been made", writes=writes, number=done))


def made_late(run: Run) -> list[tuple[str, str]]:
    """The uids, with a sentence, of the writes that were read back as not made, and are made now although no
    run made them again: something between the hosts held the requests of the earlier run. A run with the lock
    settles them; others leave that to the next one that has it."""
    settled = read_back(run.writer, run.unmade, run.keys)
    made = {s.intent: s for s in settled if s.outcome == "applied"}
    made_intents = [intent for intent in run.unmade if intent.seq in made]
    again = repeated(run.settings.journal_file, made_intents) if made_intents else ()
    late = [intent for intent in made_intents if intent.seq not in again]
    words: list[tuple[str, str]] = [
        (
            intent.uid,
            Phrase(
                "a write of run {run}, which was read back as not made, was made later: look what holds "
                "requests to the server, and run again with the feeds of today",
                run=intent.run,
            ),
        )
        for intent in late
    ]
    for uid, text in words:
        run.journal.note(f"{uid}: {text}")
    if late and isinstance(run.lock, RunLock):
        unclean_last(run)
        run.journal.resolved([made[intent.seq] for intent in late])
    return words


def unclean_last(run: Run, **changes: Any) -> None:
    """Marks the last run, which may be this one, as one that did not end well, and makes other `changes` of
    its record."""
    entry = run.writer.read(run.places.last_run, [DATA])
    data = entry.first(DATA) if entry is not None else None
    last = run.unreadable.read(run.places.last_run, data, LAST_RUN) if data else None
    if last is not None:
        replace_record(run.writer, run.places.last_run, data, to_json(replace(last, clean=False, **changes)))


def mark_interrupted(run: Run, why: str) -> None:
    """Marks the records of other runs that died as interrupted; `why` is their note."""
    for entry in run.records.folder(RUNS):
        if entry.text(MARK) != RunStatus.RUNNING:
            continue
        record = run.unreadable.read(entry.dn, entry.first(DATA), read_run)
        if record is None or record["run"] == run.order.run or record["status"] != RunStatus.RUNNING:
            continue
        if not alive_alone(record, run.now()):
            put_run_record(run.writer, entry.dn, {**record, "status": RunStatus.INTERRUPTED, "note": why})
            feeds = ", ".join(feed["file"] for feed in record.get("feeds", []))
            if feeds:
                dead = record["run"]
                run.say(
                    Phrase("run {run} was interrupted; apply its feeds again: {feeds}", run=dead, feeds=feeds)
                )
