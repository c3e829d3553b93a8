"""Where an entry stands towards a write: as the write wants it, as it was before, or neither. Pure."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from piactl.directory.port import EntryWrite, RawEntry

UNREADABLE = frozenset({"userpassword", "oathsecret"})
"""Attributes that service identities write and cannot read, or that the server stores changed (hashed)."""

Fold = Callable[[bytes], bytes]


class Standing(Enum):
    DONE = "as the write wants it"
    UNTOUCHED = "as it was before the write"
    OTHER = "neither"


def standing(write: EntryWrite, entry: RawEntry | None) -> Standing:
    """Compares byte for byte, and, where that says neither, once more without case and blanks: servers
    store some values in a spelling of their own."""
    if write.op == "delete":
        if entry is None:
            return Standing.DONE
        return Standing.OTHER if differing(write, entry) else Standing.UNTOUCHED
    if entry is None:
        return Standing.UNTOUCHED if write.op == "add" else Standing.OTHER
    if write.op == "add":
        return Standing.OTHER if differing(write, entry) else Standing.DONE
    exact = _modified(write, entry, bytes)
    if exact is Standing.OTHER and not _only_spelling(write):
        return _modified(write, entry, folded)
    return exact


def differing(write: EntryWrite, entry: RawEntry) -> tuple[str, ...]:
    """Attributes in which the entry is not what the write needs (modify, delete) or makes (add)."""
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


def folded(value: bytes) -> bytes:
    """A value without case and blanks; bytes that are no text stay as they are."""
    try:
        return "".join(value.decode("utf-8").casefold().split()).encode()
    except UnicodeDecodeError:
        return value


def _modified(write: EntryWrite, entry: RawEntry, fold: Fold) -> Standing:
    done = untouched = True
    seen = False
    for attribute in dict.fromkeys((*write.delete, *write.add)):
        if attribute.lower() in UNREADABLE:
            continue
        seen = True
        have = _values(entry, attribute, fold)
        added = {fold(value) for value in write.add.get(attribute, ())}
        deleted = {fold(value) for value in write.delete.get(attribute, ())}
        if write.delete.get(attribute) == ():  # a replacement needs nothing of what was there
            done = done and have == added
            continue
        done = done and added <= have and not (deleted - added) & have
        untouched = untouched and deleted <= have and not (added - deleted) & have
    if done and seen:
        return Standing.DONE
    return Standing.UNTOUCHED if untouched else Standing.OTHER


def _only_spelling(write: EntryWrite) -> bool:
    """Whether an attribute goes from one spelling of a value to another: folding would hide the change."""
    return any(
        {folded(value) for value in values} & {folded(value) for value in write.add.get(attribute, ())}
        for attribute, values in write.delete.items()
    )


def _values(entry: RawEntry, attribute: str, fold: Fold) -> set[bytes]:
    return {fold(value) for value in entry.values.get(attribute, ())}
