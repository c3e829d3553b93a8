"""What follows the writes of a run: the list of accounts, from which the next run on any host sees which
accounts are gone, and the members of static groups. Each group gets the members that its definition finds, by
one modification.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import field

from piactl.core.model.policy import Limit
from piactl.core.plan.change import Kind
from piactl.core.plan.plan import Basis
from piactl.core.text import counted
from piactl.dataclass import dataclass
from piactl.directory import filters
from piactl.directory.dn import normal_dn
from piactl.directory.store.account_list import account_list_writes, run_list_writes
from piactl.directory.store.accounts import account_dn
from piactl.directory.store.groups_and_structures import (
    MEMBER,
    StaticGroup,
    group_name,
    read_static_groups,
    wanted_members,
)
from piactl.directory.store.records import must
from piactl.directory.store.state_records import last_run_in
from piactl.flows.apply.approved_rest import allow_leaving
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


LEAVING = Limit(10, 0.5)
"""A group that more members than this would leave at once is left alone: something is wrong with its
definition, or with the accounts."""
REASON = "the members are those whom the definition finds"


@dataclass(slots=True)
class MemberWrites:
    """The writes that give static groups their members; those that remove members come first. `refused` are
    the groups that are left alone, each with the reason; `leaving` the number of members that they would
    lose."""

    rows: list[AccountWrite] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    leaving: int = 0


def member_writes(run: Run, basis: Basis | None = None) -> MemberWrites:
    """The writes that bring the members of the static groups up to date; none if there are no groups. `basis`
    is the basis of the run's plan: if an interrupted run with this basis was allowed to remove members, this
    run may remove the rest."""
    directory = run.settings.directory
    planned = MemberWrites()
    if not directory.groups or run.writer.read(directory.groups, ["ou"]) is None:
        return planned
    beyond = []
    for group in read_static_groups(run.writer, directory):
        write = group.becomes(wanted_members(run.writer, directory, group.query))
        if write is None:
            continue
        row = AccountWrite(group_name(group.dn), (Kind.GROUP.value,), REASON, write)
        gone, members = len(write.delete.get(MEMBER, ())), len(group.members)
        if gone > LEAVING.max and gone > LEAVING.share * members:
            planned.leaving += gone
            planned.refused[row.uid] = f"{gone} of {counted(members, 'member')} would leave at once"
            beyond.append(row)
        else:
            planned.rows.append(row)
    if beyond and (
        run.order.allowed.get(Kind.GROUP.value) == planned.leaving
        or (basis is not None and allow_leaving(run, basis, planned.leaving))
    ):
        planned.rows += beyond
        planned.refused = {}
    planned.rows.sort(key=lambda row: not row.write.delete)
    return planned


def wrong_after(run: Run, rows: Iterable[AccountWrite]) -> Iterator[tuple[str, str]]:
    """(group, message) of each of these groups whose members, read back, are not those of its definition."""
    written = {row.uid for row in rows}
    for group in read_static_groups(run.writer, run.settings.directory) if written else ():
        if group_name(group.dn) in written and _differs(run, group):
            yield group_name(group.dn), "read back, it has other members; the next night mends it"


def _differs(run: Run, group: StaticGroup) -> bool:
    members = wanted_members(run.writer, run.settings.directory, group.query)
    return group.becomes(members) is not None
