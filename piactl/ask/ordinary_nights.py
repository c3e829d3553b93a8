"""The nights of the directory that nothing refused, with the accounts of each kind of change."""

from __future__ import annotations

from datetime import date

from piactl.core.plan.guard_suggestions import NightCounts
from piactl.core.plan.state_between_runs import RunStatus
from piactl.directory.interfaces import Reader
from piactl.directory.store.records import UnreadableRecords
from piactl.directory.store.run_records import is_undone, read_runs
from piactl.directory.store.state_records import read_last


def ordinary_nights(
    reader: Reader, state: str, unreadable: UnreadableRecords
) -> list[tuple[date, NightCounts]]:
    """The runs of a plan that ended well without an approval and were not undone, oldest first. The record of
    an applied plan, or of an older version, has only the kinds of change; the number of accounts is then that
    of the last run."""
    last = read_last(reader, state, unreadable)
    total = last.census.total if last is not None else 0
    nights: list[tuple[date, NightCounts]] = []
    records = read_runs(reader, state, unreadable)
    by_id = {record["run"]: record for record in records}
    for record in reversed(records):
        of_plan = record.get("plan") and not record.get("undoes") and not is_undone(record, by_id)
        if of_plan and record["status"] == RunStatus.DONE and not record.get("allowed"):
            counts: NightCounts = {
                kind: (number, total) for kind, number in record.get("summary", {}).items()
            }
            if "counted" in record:
                counts = {kind: (number, of) for kind, (number, of) in record["counted"].items()}
            nights.append((date.fromisoformat(record["as_of"]), counts))
    return nights
