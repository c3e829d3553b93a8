"""Compares an entry with a write: made already, not made yet, or changed by someone else. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from piactl.core.model.account import NO_DEVICE
from piactl.core.plan.write import UNREADABLE, Write, WriteState, state_of_write
from piactl.directory.interfaces import RawEntry

SECRET = frozenset({"userpassword", "oathsecret"})
"""Attributes that service identities write but cannot read, or that the server stores hashed."""

_NO_LINK, _LINKED = f"cn={NO_DEVICE},".encode(), b"oathTOTPUser"

Fold = Callable[[bytes], bytes]


def state_of_entry(write: Write, entry: RawEntry | None) -> WriteState:
    """What `entry` (None: there is none) shows about `write`; NOT_MADE, too, if only what cannot be read was
    to change.

    A modify is compared byte for byte. If that gives CHANGED, it is compared again without case and blanks,
    because servers normalise some values.
    """
    folds: list[Fold] = (
        [folded] if write.op != "modify" else [bytes] if _only_spelling(write) else [bytes, folded]
    )
    for fold in folds:
        state = _state(write, entry, fold)
        if state is not WriteState.CHANGED:
            break
    return WriteState.NOT_MADE if state is WriteState.UNKNOWN else state


def _state(write: Write, entry: RawEntry | None, fold: Fold) -> WriteState:
    names = [name for name in write.attributes if name.lower() not in SECRET]
    removed, added, present = (
        {name.lower(): {fold(value) for value in side.get(name, ())} for name in names}
        for side in (write.delete, write.add, entry.values if entry is not None else {})
    )
    if write.op == "add":
        replaced = {*added} - {"objectclass"}
    else:
        replaced = {name.lower() for name in names if write.delete.get(name) == UNREADABLE}
    return state_of_write(write.op, removed, added, present if entry is not None else None, replaced)


def differing(write: Write, entry: RawEntry) -> tuple[str, ...]:
    """Attributes whose values differ from what the write expects (modify, delete) or makes (add)."""
    names = []
    for attribute in write.attributes:
        if attribute.lower() in SECRET:
            continue
        have = {folded(value) for value in entry.values.get(attribute, ())}
        added = {folded(value) for value in write.add.get(attribute, ())}
        deleted = {folded(value) for value in write.delete.get(attribute, ())}
        if write.op == "add":
            same = added <= have if attribute.lower() == "objectclass" else added == have
        elif write.delete.get(attribute) == UNREADABLE:
            same = True
        else:
            same = deleted <= have and not (added - deleted) & have
        if not same:
            names.append(attribute)
    return tuple(names)


def without_link(write: Write) -> Write | None:
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


def _only_spelling(write: Write) -> bool:
    """Whether the write changes only the spelling of a value, which folding would hide."""
    return any(
        {folded(value) for value in values} & {folded(value) for value in write.add.get(attribute, ())}
        for attribute, values in write.delete.items()
    )
