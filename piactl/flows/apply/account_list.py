"""Lists the accounts at the end of a run, so that the next one, on any host, sees which entry is gone."""

from __future__ import annotations

from piactl.directory.store.account_list import account_list_writes
from piactl.directory.store.memory_records import read_last_run
from piactl.flows.apply.run import Run, must
from piactl.flows.plan.ready_plan import ReadyPlan


def list_accounts(run: Run, ready: ReadyPlan, planned_on: bytes | None) -> None:
    """Lists the accounts that were written since the run before this one began: `planned_on` is its record,
    and it listed all others. Every account is listed by the first run of a week, in case another program
    removed a record. Accounts that an undo put out of management go off the list. Raises PiactlError."""
    before = run.unreadable.read(run.places.last_run, planned_on, read_last_run) if planned_on else None
    released = {change.uid for change in ready.plan.changes if change.before == {"managed": "yes"}}
    directory = run.settings.directory
    same_week = before and before.as_of.isocalendar()[:2] == run.order.as_of.isocalendar()[:2]
    since = before.began if before and same_week else None
    for write in account_list_writes(run.writer, directory, run.unreadable, since, released):
        run.lock.keep()
        must(run.writer, write)
