"""Compares an entry with a write: made already, not made yet, or changed by someone else. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from enum import Enum

from piactl.core.model.account import NO_DEVICE
from piactl.directory.port import EntryWrite, RawEntry

UNREADABLE = frozenset({"userpassword", "oathsecret"})
"""Attributes that service identities write but cannot read, or that the server stores hashed."""

_NO_LINK, _LINKED = f"cn={NO_DEVICE},".encode(), b"oathTOTPUser"

Fold = Callable[[bytes], bytes]


class EntryState(Enum):
    """The state of an entry with respect to a write."""

    DONE = "as after the write"
    UNTOUCHED = "as before the write"
    OTHER = "neither"


def entry_state(write: EntryWrite, entry: RawEntry | None) -> EntryState:
    """The state of `entry` (None: there is none) with respect to `write`.

    Compares byte for byte. If that gives OTHER, compares again without case and blanks, because servers
    normalise some values.
    """
    if write.op == "delete":
        if entry is None:
            return EntryState.DONE
        return EntryState.OTHER if differing(write, entry) else EntryState.UNTOUCHED
    if entry is None:
        return EntryState.UNTOUCHED if write.op == "add" else EntryState.OTHER
    if write.op == "add":
        return EntryState.OTHER if differing(write, entry) else EntryState.DONE
    exact = _modified(write, entry, bytes)
    if exact is EntryState.OTHER and not _only_spelling(write):
        return _modified(write, entry, folded)
    return exact


def differing(write: EntryWrite, entry: RawEntry) -> tuple[str, ...]:
    """Attributes whose values differ from what the write expects (modify, delete) or makes (add)."""
    names = []
    for attribute in dict.fromkeys((*write.delete, *write.add)):
        if attribute.lower() in UNREADABLE:
            continue
        have = _values(entry, attribute, folded)
        added = {folded(value) for value in write.add.get(attribute, ())}
        deleted = {folded(value) for value in write.delete.get(attribute, ())}
        if write.op == "add":
            same = added <= have if attribute.lower() == "objectclass" else added == have
        elif write.delete.get(attribute) == ():
            same = True
        else:
            same = deleted <= have and not (added - deleted) & have
        if not same:
            names.append(attribute)
    return tuple(names)


def without_link(write: EntryWrite) -> EntryWrite | None:
    """The modify without conditions on the device of the account and the link to it, None if it does not
    suspend the device."""
    linked = {name for name, values in write.add.items() if values[0].lower().startswith(_NO_LINK)}
    named = {name for name, values in write.add.items() if values == (NO_DEVICE.encode(),)}
    if write.op != "modify" or not (linked or named) or "objectClass" in write.delete:
        return None
    classes = dict.fromkeys((*write.add.get("objectClass", ()), *([_LINKED] if linked else ())))
    add = {**write.add, **({"objectClass": tuple(classes)} if classes else {})}
    return replace(write, add=add, delete={**write.delete, **dict.fromkeys(linked | named, ())})


def folded(value: bytes) -> bytes:
    """A value without case and blanks; bytes that are not UTF-8 stay unchanged."""
    try:
        return "".join(value.decode("utf-8").casefold().split()).encode()
    except UnicodeDecodeError:
        return value


def _modified(write: EntryWrite, entry: RawEntry, fold: Fold) -> EntryState:
    done = untouched = True
    seen = False
    for attribute in dict.fromkeys((*write.delete, *write.add)):
        if attribute.lower() in UNREADABLE:
            continue
        seen = True
        have = _values(entry, attribute, fold)
        added = {fold(value) for value in write.add.get(attribute, ())}
        deleted = {fold(value) for value in write.delete.get(attribute, ())}
        if write.delete.get(attribute) == ():  # a replacement does not depend on the old values
            done = done and have == added
            continue
        done = done and added <= have and not (deleted - added) & have
        untouched = untouched and deleted <= have and not (added - deleted) & have
    if done and seen:
        return EntryState.DONE
    return EntryState.UNTOUCHED if untouched else EntryState.OTHER


def _only_spelling(write: EntryWrite) -> bool:
    """Whether the write changes only the spelling of a value, which folding would hide."""
    return any(
        {folded(value) for value in values} & {folded(value) for value in write.add.get(attribute, ())}
        for attribute, values in write.delete.items()
    )


def _values(entry: RawEntry, attribute: str, fold: Fold) -> set[bytes]:
    return {fold(value) for value in entry.values.get(attribute, ())}
