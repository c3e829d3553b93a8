"""The messages of the two hot paths: entries, decoded in place, and writes, encoded.

ldap3 takes several times the CPU to decode all accounts or to encode an add (about as much as slapd takes to
apply it; docs/decisions/ldap3-with-a-strategy.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from piactl.core.plan.write import Write
from piactl.directory.client.controls import (
    ENUMERATED,
    INTEGER,
    SEQUENCE,
    SET,
    TRUE,
    Control,
    element,
    header,
    integer,
    number,
    octets,
)
from piactl.directory.port import RawEntry

Spelling = dict[bytes, str]
"""Attribute names as the server spells them -> as they were requested. Grows with every new name."""

_ADD, _DELETE, _REPLACE = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the server, `data[first:stop]`; its operation, without the tag, is `data[start:end]`."""

    number: int
    tag: int
    data: bytes
    first: int
    start: int
    end: int
    stop: int


def message_at(data: bytes, offset: int) -> Message:
    """The whole message that begins at `offset`. Raises ValueError or IndexError."""
    tag, start, stop = header(data, offset)
    if tag != SEQUENCE:
        raise ValueError("not an LDAP message")
    tag, first, last = header(data, start)
    if tag != INTEGER or last > stop:
        raise ValueError("a message without a number")
    tag, begin, end = header(data, last)
    if end > stop:
        raise ValueError("an operation longer than its message")
    return Message(number(data, first, last), tag, data, offset, begin, end, stop)


def spelling(attributes: tuple[str, ...]) -> Spelling:
    """The spelling for searches that ask for these attributes."""
    return {attribute.lower().encode(): attribute for attribute in attributes}


def spelled_name(name: bytes, spelled: Spelling) -> str:
    """The name of an attribute as it was requested; adds it to `spelled`."""
    spelled_as = spelled.get(name) or spelled.get(name.lower()) or name.decode("ascii", "replace")
    spelled[name] = spelled_as
    return spelled_as


def entry_in(value: bytes, spelled: Spelling) -> RawEntry:
    """The entry in the value of a post-read control (RFC 4527). Raises ValueError or IndexError."""
    _, start, end = header(value, 0)
    if end > len(value):
        raise ValueError("an entry longer than its control")
    return entry_at(value, start, end, spelled)


def entry_at(data: bytes, start: int, limit: int, spelled: Spelling) -> RawEntry:
    # short lengths are read in place: this loop dominates the cost of a search of the whole directory
    _, start, offset = header(data, start)
    dn = data[start:offset].decode("utf-8", "replace")
    _, offset, end = header(data, offset)
    if end > limit:
        raise ValueError("an entry longer than its message")
    values: dict[str, tuple[bytes, ...]] = {}
    while offset < end:
        _, start, offset = header(data, offset)
        size = data[start + 1]
        if size < 0x80:
            start += 2
            stop = start + size
        else:
            _, start, stop = header(data, start)
        name = data[start:stop]
        _, start, stop = header(data, stop)
        if stop > end:
            raise ValueError("values longer than their entry")
        value_list = []
        while start < stop:
            size = data[start + 1]
            if size < 0x80:
                start += 2
                value_list.append(data[start : start + size])
                start += size
            else:
                _, first, start = header(data, start)
                value_list.append(data[first:start])
        values[spelled.get(name) or spelled_name(name, spelled)] = tuple(value_list)
    return RawEntry(dn, values)


def csn_in(value: bytes | None) -> bytes:
    """The entryCSN in the value of a pre-read or post-read control; empty if there is none."""
    if not value:
        return b""
    try:
        return entry_in(value, {b"entrycsn": "entryCSN"}).first("entryCSN") or b""
    except (ValueError, IndexError):
        # the write was made; without its entryCSN the next night evaluates the account again
        return b""


def changes_of(write: Write) -> Iterator[tuple[int, str, Sequence[bytes]]]:
    """The changes of a modify: the operation (0 add, 1 delete, 2 replace), the attribute and its values. A
    `delete` without values replaces all values."""
    for attribute in dict.fromkeys((*write.delete, *write.add)):
        gone, new = write.delete.get(attribute), write.add.get(attribute, ())
        if gone is not None and not gone:
            yield _REPLACE, attribute, new
            continue
        if gone:
            yield _DELETE, attribute, gone
        if new:
            yield _ADD, attribute, new


def encoded(number: int, write: Write, controls: Sequence[Control]) -> bytes:
    """The message of a write, byte for byte as ldap3 encodes it."""
    tail = element(0xA0, b"".join(_control(*control) for control in controls)) if controls else b""
    return element(SEQUENCE, integer(number) + encoded_operation(write) + tail)


def encoded_operation(write: Write) -> bytes:
    """The operation of a write (RFC 4511 §4.6 to 4.8). Raises ValueError for an unknown one."""
    name = octets(write.dn.encode())
    if write.op == "add":
        return element(0x68, name + element(SEQUENCE, b"".join(_attribute(*i) for i in write.add.items())))
    if write.op == "delete":
        return octets(write.dn.encode(), 0x4A)
    if write.op != "modify":
        raise ValueError(f"no such write: {write.op}")
    changes = b"".join(
        element(SEQUENCE, integer(operation, ENUMERATED) + _attribute(attribute, values))
        for operation, attribute, values in changes_of(write)
    )
    return element(0x66, name + element(SEQUENCE, changes))


def _attribute(name: str, values: Sequence[bytes]) -> bytes:
    content = octets(values[0]) if len(values) == 1 else b"".join(map(octets, values))
    return element(SEQUENCE, _name(name) + element(SET, content))


@lru_cache(maxsize=256)
def _name(attribute: str) -> bytes:
    return octets(attribute.encode())


def _control(oid: str, critical: bool, value: bytes | None) -> bytes:
    content = b"" if value is None else octets(value)
    return element(SEQUENCE, octets(oid.encode()) + (TRUE if critical else b"") + content)
