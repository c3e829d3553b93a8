"""Plans the groups of the policy and the structures of the register: entries that are new, different, or no
longer wanted."""

from __future__ import annotations

from dataclasses import dataclass, field

from piactl.core.plan.change import Change, Facts, Kind
from piactl.core.plan.state_between_runs import LastRun
from piactl.core.plan.write import Values, Write
from piactl.core.rules.desired_account import Rules
from piactl.core.rules.groups_of_policy import groups_of
from piactl.directory.dn import normal_dn
from piactl.directory.store.group_entries import CLASS as STRUCTURE_CLASS
from piactl.directory.store.group_entries import (
    GROUP_CLASS,
    GROUPS,
    STRUCTURES,
    GroupEntry,
    group_dn,
    group_name,
    group_values,
    shown_members,
    structure_dn,
    structure_values,
)
from piactl.phrase import Phrase
from piactl.planning.account_index import ManagedAccounts


@dataclass(slots=True)
class PlannedGroups:
    """The writes of groups, each with its change, and what the run cannot do. `same`: the policy and the
    register have not changed since the run before, so another program made every difference."""

    rules: Rules
    same: bool
    rows: list[Write] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def add(
        self, write: Write | None, entry: GroupEntry | None, values: Values, reason: str, line: int = 0
    ) -> None:
        """Adds the write, if there is one, that gives an entry these values."""
        if write is not None:
            if values and self.same:
                reason = Phrase("another program changed it")
            before = entry.values if entry is not None else {}
            self.rows.append(group_row(write, before, values, reason, self.rules, line))


def plan_groups(accounts: ManagedAccounts, rules: Rules, last: LastRun | None) -> PlannedGroups:
    """The writes that make the groups those of the policy, and the structures those of the register. `last`
    is the run before."""
    same = last is not None and (last.policy, last.register) == (rules.policy.digest, rules.register_digest)
    planned = PlannedGroups(rules, same)
    if accounts.directory.groups:
        _plan_groups(accounts, planned)
    if accounts.directory.structures:
        _plan_structures(accounts, planned)
    return planned


def _plan_structures(accounts: ManagedAccounts, planned: PlannedGroups) -> None:
    reader, directory, _ = accounts
    if not STRUCTURES.has_place(reader, directory.structures):
        remark = Phrase(
            "WARNING: no structures are kept: the server lacks {entry}, or {object_class}",
            entry=directory.structures,
            object_class=STRUCTURE_CLASS,
        )
        planned.remarks.append(remark)
        return
    current = STRUCTURES.read(reader, directory, directory.structures)
    for uai, establishment in sorted(planned.rules.register.items()):
        dn, values = structure_dn(directory, uai), structure_values(establishment, directory)
        entry = current.pop(normal_dn(dn), None)
        if entry is not None and not entry.owned:
            remark = Phrase(
                "WARNING: {name} is not kept: another program has a structure of this name", name=entry.name
            )
            planned.remarks.append(remark)
            continue
        write = STRUCTURES.write(dn, entry, values)
        planned.add(write, entry, values, Phrase("the register has the establishment"))
    for entry in current.values():
        if entry.owned:
            reason = Phrase("the register has no such establishment")
            planned.add(STRUCTURES.deletion(entry), entry, {}, reason)


def _plan_groups(accounts: ManagedAccounts, planned: PlannedGroups) -> None:
    reader, directory, encoding = accounts
    if not GROUPS.has_place(reader, directory.groups):
        remark = Phrase(
            "WARNING: no groups are kept: the server lacks {entry}, or {object_class}",
            entry=directory.groups,
            object_class=GROUP_CLASS,
        )
        planned.remarks.append(remark)
        return
    current = GROUPS.read(reader, directory, directory.groups)
    for group in groups_of(planned.rules.policy, planned.rules.register):
        dn, values = group_dn(directory, group), group_values(group, directory, encoding)
        entry = current.pop(normal_dn(dn), None)
        if entry is not None and not entry.owned:
            remark = Phrase(
                "WARNING: {name} is not kept: another program has a group of this name", name=entry.name
            )
            planned.remarks.append(remark)
            continue
        if entry is not None and entry.lists_members:
            remark = Phrase(
                "WARNING: {name} lists its members, and nobody keeps them: piactl doctor", name=entry.name
            )
            planned.remarks.append(remark)
            continue
        write = GROUPS.write(dn, entry, values)
        reason = Phrase("the policy has the group {label}", label=group.label)
        planned.add(write, entry, values, reason, group.line)
    for entry in current.values():
        if entry.owned and not entry.lists_members:
            planned.add(GROUPS.deletion(entry), entry, {}, Phrase("the policy has no such group"))


def group_row(write: Write, before: Values, after: Values, reason: str, rules: Rules, line: int = 0) -> Write:
    """The write of a group and its change; no values mean that there is no such group."""
    uid = group_name(write.dn)
    change = Change(
        kind=Kind.GROUP,
        uid=uid,
        matricule=None,
        before=_facts(before) or None,
        after=_facts(after),
        reason=reason,
        effective=rules.as_of,
        rule=f"{rules.policy.file}:{line}" if line else None,
    )
    return write.with_changes(uid, [change], rules.as_of)


def _facts(values: Values) -> Facts:
    if not values:
        return {}
    label = b", ".join(values.get("description", ())).decode("utf-8", "replace")
    return {"members": shown_members(values), "label": label}
