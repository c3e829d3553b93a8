"""Lists the accounts that a run made or renamed, so that the next one, on any host, sees what is gone."""

from __future__ import annotations

from collections.abc import Iterable

from piactl.directory import filters
from piactl.directory.dn import normal_dn
from piactl.directory.port import EntryWrite
from piactl.directory.store.account_list import account_list_writes, run_list_writes
from piactl.directory.store.accounts import account_dn
from piactl.directory.store.state_records import read_last_run
from piactl.flows.apply.run import Run, must
from piactl.flows.plan.ready_plan import AccountWrite, ReadyPlan


def list_accounts(run: Run, ready: ReadyPlan, planned_on: bytes | None) -> None:
    """Lists the accounts that were written since `ready.since`. Where that is None, those that were written
    since the run before this one began (`planned_on` is its record), and by the first run of a week all, in
    case another program removed a record. Accounts that an undo put out of management go off the list. Raises
    PiactlError."""
    before = run.unreadable.read(run.places.last_run, planned_on, read_last_run) if planned_on else None
    released = {change.uid for change in ready.plan.changes if change.before == {"managed": "yes"}}
    since = ready.since or (before.week_began(run.order.as_of) if before else None)
    _write(run, run_list_writes(run.writer, run.settings.directory, run.unreadable, since, released))


def list_written(run: Run, writes: Iterable[AccountWrite]) -> None:
    """Lists the accounts that these writes of a one-off command made, or gave a name or matricule. Raises
    PiactlError."""
    directory = run.settings.directory
    uid, *watched = (directory.attributes.get(n, n) for n in ("uid", "supannEmpId", "piactlIdentifier"))
    uids = {
        row.uid
        for row in writes
        if row.write.add.keys() & {*watched}
        and normal_dn(row.write.dn) == normal_dn(account_dn(directory, row.uid))
    }
    if uids:
        those = filters.any_of(*(filters.equals(uid, one) for one in sorted(uids)))
        _write(run, account_list_writes(run.writer, directory, run.unreadable, those))


def _write(run: Run, writes: Iterable[EntryWrite]) -> None:
    for write in writes:
        run.lock.keep()
        must(run.writer, write)
