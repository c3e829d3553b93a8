"""The list of accounts, from which the next run on any host sees which accounts are gone."""

from __future__ import annotations

from collections.abc import Iterable

from piactl.directory import filters
from piactl.directory.dn import normal_dn
from piactl.directory.store.account_list import account_list_writes, run_list_writes
from piactl.directory.store.accounts import account_dn
from piactl.directory.store.records import must
from piactl.directory.store.state_records import last_run_in
from piactl.flows.apply.run import Run
from piactl.flows.plan.ready_plan import AccountWrite, ReadyPlan


def list_accounts(run: Run, ready: ReadyPlan, planned_on: bytes | None) -> None:
    """Lists the accounts that were written since the run before this one began (`planned_on` is its
    record). The first run of a week lists all accounts, in case another program removed a record. Accounts
    that an undo took out of management leave the list. Raises PiactlError."""
    before = last_run_in(run.places.last_run, planned_on, run.unreadable) if planned_on else None
    released = {change.uid for change in ready.plan.changes if change.before == {"managed": "yes"}}
    since = before.week_began(run.order.as_of) if before else None
    writes = run_list_writes(run.writer, run.settings.directory, run.unreadable, since, released)
    must(run.writer, run.while_locked(writes))


def list_written(run: Run, writes: Iterable[AccountWrite]) -> None:
    """Lists the accounts that these writes of a one-off command made, or to which they gave a name or
    matricule. Raises PiactlError."""
    directory = run.settings.directory
    uid, *watched = (directory.attributes.get(n, n) for n in ("uid", "supannEmpId", "piactlIdentifier"))
    uids = {
        row.uid
        for row in writes
        if row.write.add.keys() & {*watched}
        and normal_dn(row.write.dn) == normal_dn(account_dn(directory, row.uid))
    }
    if uids:
        query = filters.any_of(*(filters.equals(uid, value) for value in sorted(uids)))
        must(run.writer, run.while_locked(account_list_writes(run.writer, directory, run.unreadable, query)))
