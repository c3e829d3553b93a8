"""The values of an entry that must be the same on all servers of a directory."""

from __future__ import annotations

from collections.abc import Sequence

from piactl.directory.port import RawEntry, Values

PASSWORD, CHANGED = "userPassword", "pwdChangedTime"
PASSWORD_STATE = ("pwdReset", "pwdAccountLockedTime", "pwdPolicySubentry")
"""The replicated state of a password; failures and last uses are not replicated."""
REPLICATED = (*PASSWORD_STATE, CHANGED)
"""Operational attributes to read beside `*`."""
CSN = "entryCSN"


def compared_values(entry: RawEntry) -> Values:
    """The values that must be equal on all servers. The time of the last change replaces a password that the
    identity may not read."""
    return {
        name: values
        for name, values in entry.values.items()
        if values and name != CSN and not (name == CHANGED and entry.values.get(PASSWORD))
    }


def differing_attributes(entries: Sequence[RawEntry]) -> tuple[str, ...]:
    """The names of the attributes that differ between these entries."""
    values_of = [
        {name: sorted(values) for name, values in compared_values(entry).items()} for entry in entries
    ]
    names = sorted({name for values in values_of for name in values})
    return tuple(
        name for name in names if any(values.get(name) != values_of[0].get(name) for values in values_of)
    )
