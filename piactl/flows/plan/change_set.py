"""The change set of one account: its LDAP write and the changes of the plan, from one comparison.

The attributes of the entry are compared with those of the desired account. That is the write. The changes
explain it: each names fields whose attributes differ, and each written attribute belongs to a change. No
change is shown without a write.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from piactl.core.plan.change import Change, Kind
from piactl.core.plan.diff import changes_of, home_establishments, owner
from piactl.core.rules.desired import Desired, Rules
from piactl.directory.port import EntryWrite
from piactl.directory.store.attribute_map import Encoding


@dataclass(frozen=True, slots=True)
class ChangeSet:
    """One write with its changes, of which there is always one. `fields` are the fields of an account that
    each attribute is made of (see `Encoding`)."""

    write: EntryWrite
    changes: tuple[Change, ...]
    fields: Mapping[str, tuple[str, ...]]

    @property
    def kinds(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(change.kind.value for change in self.changes))

    @property
    def owners(self) -> dict[str, Change]:
        """The change to which each written attribute belongs."""
        written = dict.fromkeys([*self.write.delete, *self.write.add])
        return {name: owner(self.fields.get(name, ()), self.changes) for name in written}


def change_set(desired: Desired, write: EntryWrite, rules: Rules, encoding: Encoding) -> ChangeSet:
    """The change set of the write that makes an account the desired one.

    Where the account is already what the rules want, its entry is not: then one change names the attributes.
    """
    written = (*write.delete, *write.add)
    fields = {field for attribute in written for field in encoding.fields.get(attribute, ())}
    changes = changes_of(desired, rules, fields) or [_restored(desired, write, rules, encoding)]
    return ChangeSet(write, tuple(changes), encoding.fields)


def _restored(desired: Desired, write: EntryWrite, rules: Rules, encoding: Encoding) -> Change:
    """The change of a write that restores managed attributes, or that links a closed or locked account to no
    device so that the directory refuses it."""
    names = sorted({*write.delete, *write.add})
    before, after = {"attributes": names}, {"attributes": names}
    reason = "managed attributes were changed by another hand: " + ", ".join(names)
    link = encoding.name("oathTOTPToken")
    if desired.account.shut and link in write.add and {link, "objectClass"}.issuperset(names):
        before, after = {"refused_by": ["dates"]}, {"refused_by": ["dates", "link to no device"]}
        shut = "locked" if desired.account.locked else "closed"
        reason = f"the account is {shut}, and its dates alone count only where a password policy applies"
    return Change(
        kind=Kind.UPDATE,
        uid=desired.account.uid,
        matricule=desired.account.matricule,
        before=before,
        after=after,
        reason=reason,
        effective=rules.as_of,
        establishments=home_establishments(desired.account, rules.as_of),
        profiles=desired.account.profiles,
    )
