"""Deletes the records of runs and their undo logs once they are old."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import timedelta

from piactl.directory.dn import first_pair, normal_dn, parted
from piactl.directory.interfaces import Outcome, RawEntry
from piactl.directory.store.record_entries import (
    RUNS,
    UnreadableRecord,
    is_record,
    set_record,
)
from piactl.phrase import Phrase
from piactl.runs.run import Run


def delete_old_records(run: Run, entries: Iterable[RawEntry], undo_days: int, run_days: int) -> None:
    """Deletes the undo log of runs older than `undo_days`, and the records of runs older than `run_days`
    that have no undo log any more. `entries` are those of piactl's tree, with their classes."""
    undo_limit, limit = (
        f"{run.now() - timedelta(days=days):%Y%m%dT%H%M%S}" for days in (undo_days, run_days)
    )
    runs, kept_runs = [], set()
    folder = normal_dn(run.places.folder(RUNS))
    for entry in filter(is_record, entries):
        of_run = entry.dn.partition(",")[2]
        if parted(normal_dn(entry.dn))[1] == folder:
            runs.append(entry.dn)
        elif entry.dn.lower().startswith("cn=undo-") and parted(normal_dn(of_run))[1] == folder:
            old = _RUN_ID.match(of_run) and first_pair(of_run)[1] < undo_limit
            if not (old and _deleted(run, entry.dn)):
                kept_runs.add(of_run.lower())
    for dn in runs:
        if _RUN_ID.match(dn) and first_pair(dn)[1] < limit and dn.lower() not in kept_runs:
            _deleted(run, dn)


_RUN_ID = re.compile(r"cn=\d{8}T\d{6}-", re.IGNORECASE)
"""The beginning of the name of a run's record; entries with other names are not piactl's."""


def _deleted(run: Run, dn: str) -> bool:
    """Deletes a record unless it has changed; returns whether it was deleted. Reports one that cannot be
    deleted."""
    result = set_record(run.writer, dn, None)
    if result is None:
        return False
    if result.outcome is Outcome.FAILED:
        why = Phrase("the record is over and cannot be deleted ({message})", message=result.message)
        run.unreadable.add(UnreadableRecord(dn, why, Phrase("delete what stands below it, then the entry")))
    return result.outcome in (Outcome.APPLIED, Outcome.UNCHANGED)
