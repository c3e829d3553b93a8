"""LDAP messages and controls as bytes (BER: X.690, RFC 4511 §5.1).

ldap3 takes several times the CPU to decode all accounts or to encode an add (about as much as slapd takes to
apply it; docs/decisions/ldap3-with-a-strategy.md). It has no assertion control (RFC 4528), and its pre-read
and post-read controls (RFC 4527) lose values that are not text; it accepts a `Control` as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from piactl.core.plan.write import Values, Write
from piactl.directory.client.result_codes import Result
from piactl.directory.interfaces import RawEntry

LARGEST_MESSAGE = 256 * 1024 * 1024
INTEGER = 0x02
OCTETS = 0x04
ENUMERATED = 0x0A
SEQUENCE = 0x30
SET = 0x31
TRUE = b"\x01\x01\xff"


def element(tag: int, content: bytes) -> bytes:
    """One element with a definite length."""
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


def integer(value: int, tag: int = INTEGER) -> bytes:
    """A number of 0 or more."""
    return element(tag, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def octets(value: bytes, tag: int = OCTETS) -> bytes:
    return element(tag, value)


def header(data: bytes, offset: int) -> tuple[int, int, int]:
    """(tag, start, end) of the content of the element at `offset`.

    Raises IndexError if `data` ends within the header, ValueError for a length that LDAP forbids.
    """
    tag = data[offset]
    size = data[offset + 1]
    start = offset + 2
    if size >= 0x80:
        count = size & 0x7F
        if not 1 <= count <= 8:
            raise ValueError("indefinite or oversized length")
        if start + count > len(data):
            raise IndexError("the length is cut")
        size = int.from_bytes(data[start : start + count], "big")
        start += count
    return tag, start, start + size


def number(data: bytes, start: int, end: int) -> int:
    """The value of an INTEGER or ENUMERATED content."""
    if start >= end:
        raise ValueError("an empty number")
    return int.from_bytes(data[start:end], "big", signed=True)


def elements(data: bytes, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """(tag, start, end) of each element of a content. Raises ValueError or IndexError."""
    while start < end:
        tag, first, start = header(data, start)
        if start > end:
            raise ValueError("an element longer than what holds it")
        yield tag, first, start


PAGED = "1.2.840.113556.1.4.319"
ASSERTION = "1.3.6.1.1.12"
PRE_READ, POST_READ = "1.3.6.1.1.13.1", "1.3.6.1.1.13.2"


class Control(NamedTuple):
    """A control of a request."""

    oid: str
    critical: bool
    value: bytes | None


_ENTRY_CSN = element(SEQUENCE, octets(b"entryCSN"))
CSN_CONTROLS = {
    "add": (Control(POST_READ, False, _ENTRY_CSN),),
    "modify": (Control(PRE_READ, False, _ENTRY_CSN), Control(POST_READ, False, _ENTRY_CSN)),
    "delete": (),
}
"""The controls that return the entryCSN before a modify and after an add or a modify (RFC 4527). The answers
are in `Result.controls`; `csn_in` decodes them. No control is critical: no write fails because its entryCSN
cannot be returned."""


PERMISSIVE = Control("1.2.840.113556.1.4.1413", False, None)
"""A modify with it may add values that are there. slapd has it and does not list it."""


MANAGE_REFERRALS = Control("2.16.840.1.113730.3.4.2", True, None)
"""A search with it returns referrals as entries (RFC 3296)."""


def assertion_control(present: Values, absent: Values) -> Control | None:
    """RFC 4528: asserts that the entry has every value of `present` and none of `absent`; None if both are
    empty."""
    terms = [_equality(a, v) for a, values in present.items() for v in values]
    terms += [element(0xA2, _equality(a, v)) for a, values in absent.items() for v in values]
    if not terms:
        return None
    return Control(ASSERTION, True, terms[0] if len(terms) == 1 else element(0xA0, b"".join(terms)))


def never_control() -> Control:
    """An assertion that no entry satisfies. A modify with it shows whether a server accepts writes."""
    return Control(ASSERTION, True, element(0xA2, octets(b"objectClass", 0x87)))


def _equality(attribute: str, value: bytes) -> bytes:
    return element(0xA3, octets(attribute.encode()) + octets(value))


Spelling = dict[bytes, str]
"""Attribute names as the server spells them -> as they were requested. Grows with every new name."""

_ADD, _DELETE, _REPLACE = 0, 1, 2


class Message(NamedTuple):
    """One message of the server in `data`, up to `stop`; its operation, without the tag, is
    `data[start:end]`."""

    number: int
    tag: int
    data: bytes
    start: int
    end: int
    stop: int


def message_at(data: bytes, offset: int) -> Message | None:
    """The message that begins at `offset`; None if `data` ends before it does. Raises ValueError or
    IndexError."""
    if data[offset : offset + 1] not in (b"", b"\x30"):
        raise ValueError("no message begins like that")
    try:
        _, start, stop = header(data, offset)
    except IndexError:
        return None
    if stop - offset > LARGEST_MESSAGE:
        raise ValueError("a message of more than 256 MiB")
    if stop > len(data):
        return None
    tag, first, last = header(data, start)
    if tag != INTEGER or last > stop:
        raise ValueError("a message without a number")
    tag, begin, end = header(data, last)
    if end > stop:
        raise ValueError("an operation longer than its message")
    return Message(number(data, first, last), tag, data, begin, end, stop)


def result_in(message: Message) -> Result:
    """The result in a message that ends an answer. Raises ValueError or IndexError."""
    data = message.data
    code, matched, text, *rest = elements(data, message.start, message.end)

    def said(_tag: int, start: int, end: int) -> str:
        return data[start:end].decode("utf-8", "replace")

    referrals = [said(*uri) for tag, *held in rest if tag == 0xA3 for uri in elements(data, *held)]
    value = next((data[start:end] for tag, start, end in rest if tag == 0x8B), b"")
    controls: dict[str, bytes] = {}
    for _, *several in elements(data, message.end, message.stop):
        for _, *one in elements(data, *several):
            oid, *others = elements(data, *one)
            controls[said(*oid)] = b"".join(data[start:end] for tag, start, end in others if tag == OCTETS)
    cookie = None
    if (page := controls.get(PAGED)) is not None:
        _, (_, start, end) = elements(page, *header(page, 0)[1:])
        cookie = page[start:end]
    return Result(
        number(data, *code[1:]), said(*matched), said(*text), tuple(referrals), controls, cookie, value
    )


def spelling(attributes: tuple[str, ...]) -> Spelling:
    """The spelling for searches that ask for these attributes."""
    return {attribute.lower().encode(): attribute for attribute in attributes}


def spelled_name(name: bytes, spelled: Spelling) -> str:
    """The name of an attribute as it was requested; adds it to `spelled`."""
    spelled_as = spelled.get(name) or spelled.get(name.lower()) or name.decode("ascii", "replace")
    spelled[name] = spelled_as
    return spelled_as


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
        entry = entry_at(value, header(value, 0)[1], len(value), {b"entrycsn": "entryCSN"})
        return entry.first("entryCSN") or b""
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
