"""`runs rewind`: sets the day of the last run back, after a run with a wrong clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

from piactl.core.acts import ActRefused
from piactl.core.plan.recent_losses import losses_until, taken_until
from piactl.directory.interfaces import Reader, Writer
from piactl.directory.store.record_entries import UnreadableRecords, parsed, replace_record
from piactl.directory.store.run_records import read_runs
from piactl.directory.store.state_records import LAST_RUN
from piactl.directory.store.typed_records import to_json
from piactl.phrase import Phrase
from piactl.runs.begin_run import begin_run
from piactl.runs.run import CommandRun


@dataclass(frozen=True, slots=True)
class Rewound:
    """The days before and after, and the runs that lie after the new day, the latest first."""

    run: str
    before: date
    after: date
    runs: tuple[Mapping[str, Any], ...]


def runs_after(
    reader: Reader, state: str, unreadable: UnreadableRecords, day: date, now: datetime
) -> tuple[Mapping[str, Any], ...]:
    """The records of the runs as of a later day than `day` that were not undone, the latest first."""
    return tuple(
        record
        for record in read_runs(reader, state, unreadable, now)
        if "as_of" in record and date.fromisoformat(record["as_of"]) > day and not record.get("undone_by")
    )


def rewind(writer: Writer, command: CommandRun, to: date) -> Rewound:
    """Sets the day of the last run back to `to`, so that nights as of that day and later are accepted; the
    next one knows nothing of accounts that is of a later day. Accounts stay as they are.

    Raises ActRefused if there is no run yet, and for a day after that of the last run; UnreadableRecord,
    LockHeld, UnsafePlan for a wrong clock, JournalUnusable.
    """
    with begin_run(command, writer, locked=True) as run:
        place = run.places.last_run
        data = run.records.data(place)
        if data is None:
            raise ActRefused(Phrase("no run has written yet: there is nothing to set back"))
        last = parsed(place, data, LAST_RUN)
        if to > last.as_of:
            raise ActRefused(
                Phrase(
                    "--to {to}: the day of the last run, {run}, is {day}; name a day before it",
                    to=to,
                    run=last.run,
                    day=last.as_of,
                )
            )
        after = runs_after(writer, run.settings.directory.state, run.unreadable, to, run.now())
        note = Phrase("the day of the last run is set back from {before} to {to}", before=last.as_of, to=to)
        run.journal.note(f"{note}: {run.order.reason}")
        losses, taken = losses_until(last.losses, to), taken_until(last.taken, to)
        # it is no longer the record that any plan was made on
        record = to_json(
            replace(last, run=run.order.run, as_of=to, plan="", clean=False, losses=losses, taken=taken)
        )
        replace_record(writer, place, data, record)
        run.facts |= {"rewound": [later_run["run"] for later_run in after], "day": to.isoformat()}
        run.end(note=note)
        return Rewound(run.order.run, last.as_of, to, after)
