"""What the journal keeps about the write of an account for `events`: state, services and address. It is here
because it reads attributes of LDAP.

Everything else in the journal is digests. Other programs act on these values, and none of them is a secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from piactl.core.plan.change import Kind
from piactl.core.plan.write import Values, Write

_KINDS = frozenset(kind.value for kind in Kind if kind is not Kind.GROUP)
"""The kinds of changes of accounts; the members of groups follow from these."""


def event_facts(write: Write, as_of: date, names: Mapping[str, str], urn: str) -> dict[str, object]:
    """The facts of a write that other programs need to know; {} if they need none.

    `as_of` is the day of the run, `names` renames attributes, and `urn` is the beginning of
    the rights that are piactl's. The facts name only what the write changes: `state`, the services that are
    `added` and `removed`, the `old` and the `new` address.
    """
    if write.op == "delete":
        return {}

    def values(side: Values, attribute: str) -> set[str]:
        return {value.decode("utf-8", "replace") for value in side.get(names.get(attribute, attribute), ())}

    def changed(attribute: str) -> tuple[list[str], list[str]]:
        added, removed = values(write.add, attribute), values(write.delete, attribute)
        return sorted(added - removed), sorted(removed - added)

    state, services, mails = (changed(n) for n in ("piactlState", "eduPersonEntitlement", "mail"))
    added, removed = (
        [right.removeprefix(urn) for right in side if right.startswith(urn)] for side in services
    )
    facts: dict[str, object] = {
        "state": next(iter(state[0]), None),
        "added": added,
        "removed": removed,
        "new": next(iter(mails[0]), None),
        "old": next(iter(mails[1]), None),
    }
    known = {name: value for name, value in facts.items() if value}
    if not known and _KINDS.isdisjoint(write.kinds):
        return {}
    days = {kind: write.effective.get(kind, as_of).isoformat() for kind in write.kinds}
    return {"effective": days, **known}
