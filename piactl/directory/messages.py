"""LDAP messages (RFC 4511) as bytes: the requests that piactl sends, and their replies.

ldap3 encodes with pyasn1, which costs more than the server does; these few messages are written and read
by hand.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass

from piactl.directory.ber import (
    ENUMERATED,
    FALSE,
    SEQUENCE,
    SET,
    TRUE,
    element,
    header,
    integer,
    number,
    octets,
)
from piactl.directory.port import EntryWrite, Values

PAGED = "1.2.840.113556.1.4.319"
ASSERTION = "1.3.6.1.1.12"
PRE_READ, POST_READ = "1.3.6.1.1.13.1", "1.3.6.1.1.13.2"

_ASKS = {
    oid: element(SEQUENCE, octets(oid.encode()) + octets(element(SEQUENCE, octets(b"entryCSN"))))
    for oid in (PRE_READ, POST_READ)
}
_CSN_CONTROLS = {
    "add": ((POST_READ, _ASKS[POST_READ]),),
    "modify": tuple(_ASKS.items()),
    "delete": (),
}

SEARCH_ENTRY, SEARCH_DONE, SEARCH_REFERENCE, INTERMEDIATE = 0x64, 0x65, 0x73, 0x79
FINAL = frozenset({0x61, SEARCH_DONE, 0x67, 0x69, 0x6B, 0x6D, 0x6F, 0x78})
SCOPES = {"base": 0, "one": 1, "subtree": 2}


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the server; its operation is `data[start:end]`, what follows up to `stop` controls."""

    number: int
    tag: int
    data: bytes
    start: int
    end: int
    stop: int


@dataclass(frozen=True, slots=True)
class Result:
    """How an operation ended; `cookie` is that of the paged results control, `value` that of an extended
    response, None where there was none. `csn_before` and `csn_after` are the entryCSN of the entry that was
    written, as the pre-read and post-read controls tell it; empty where they do not."""

    code: int
    matched: str = ""
    text: str = ""
    referrals: tuple[str, ...] = ()
    cookie: bytes | None = None
    value: bytes | None = None
    csn_before: bytes = b""
    csn_after: bytes = b""


def envelope(message_id: int, operation: bytes, controls: Sequence[bytes] = ()) -> bytes:
    """A whole LDAPMessage."""
    tail = element(0xA0, b"".join(controls)) if controls else b""
    return element(SEQUENCE, integer(message_id) + operation + tail)


def control(oid: str, value: bytes, *, critical: bool = True) -> bytes:
    return element(SEQUENCE, octets(oid.encode()) + (TRUE if critical else b"") + octets(value))


def paged_control(size: int, cookie: bytes) -> bytes:
    """Simple paged results (RFC 2696), always critical: a server that ignores it would cut the answer."""
    return control(PAGED, element(SEQUENCE, integer(size) + octets(cookie)))


def search_request(base: str, scope: str, query: bytes, attributes: Iterable[str], seconds: int) -> bytes:
    """A search that follows no alias, without a size limit of its own; `query` is an encoded filter."""
    body = octets(base.encode()) + integer(SCOPES[scope], ENUMERATED) + integer(0, ENUMERATED)
    body += integer(0) + integer(seconds) + FALSE + query
    return element(0x63, body + element(SEQUENCE, b"".join(octets(a.encode()) for a in attributes)))


def bind_request(dn: str, password: bytes) -> bytes:
    """A simple bind (RFC 4513 §5.1.3)."""
    return element(0x60, integer(3) + octets(dn.encode()) + octets(password, 0x80))


def external_bind_request() -> bytes:
    """A SASL bind by what the connection itself tells (RFC 4513 §5.2.3)."""
    return element(0x60, integer(3) + octets(b"") + element(0xA3, octets(b"EXTERNAL") + octets(b"")))


def extended_request(oid: str, value: bytes | None = None) -> bytes:
    """An extended operation (RFC 4511 §4.12)."""
    return element(0x77, octets(oid.encode(), 0x80) + (b"" if value is None else octets(value, 0x81)))


def assertion_control(present: Values, absent: Values) -> bytes | None:
    """RFC 4528: the entry holds every value of `present` and none of `absent`; None if both are empty."""
    terms = [_equality(a, v) for a, values in present.items() for v in values]
    terms += [element(0xA2, _equality(a, v)) for a, values in absent.items() for v in values]
    if not terms:
        return None
    return control(ASSERTION, terms[0] if len(terms) == 1 else element(0xA0, b"".join(terms)))


def csn_controls(op: str, supported: Container[str]) -> list[bytes]:
    """Of the controls `supported` by the server those that tell the entryCSN before a modify, and after an
    add or a modify (RFC 4527). None is critical: no write fails because its entryCSN cannot be told."""
    return [asked for oid, asked in _CSN_CONTROLS[op] if oid in supported]


def never_control() -> bytes:
    """An assertion that no entry satisfies: with it a modify shows whether a server takes writes."""
    return control(ASSERTION, element(0xA2, octets(b"objectClass", 0x87)))


def _equality(attribute: str, value: bytes) -> bytes:
    return element(0xA3, octets(attribute.encode()) + octets(value))


def write_request(write: EntryWrite) -> bytes:
    """The one request of an entry write. A `delete` of no values replaces whatever the attribute has."""
    name = octets(write.dn.encode())
    if write.op == "add":
        return element(0x68, name + element(SEQUENCE, b"".join(_attribute(*i) for i in write.add.items())))
    if write.op == "delete":
        return octets(write.dn.encode(), 0x4A)
    if write.op != "modify":
        raise ValueError(f"no such write: {write.op}")
    changes = []
    for attribute, values in write.delete.items():
        if values:
            changes.append(_change(1, attribute, values))
        else:
            changes.append(_change(2, attribute, write.add.get(attribute, ())))
    for attribute, values in write.add.items():
        if values and write.delete.get(attribute) != ():
            changes.append(_change(0, attribute, values))
    return element(0x66, name + element(SEQUENCE, b"".join(changes)))


def modify_request(dn: str, additions: Mapping[str, tuple[bytes, ...]]) -> bytes:
    return write_request(EntryWrite("modify", dn, add=additions))


def _attribute(name: str, values: Iterable[bytes]) -> bytes:
    return element(SEQUENCE, octets(name.encode()) + element(SET, b"".join(octets(v) for v in values)))


def _change(operation: int, name: str, values: Iterable[bytes]) -> bytes:
    return element(SEQUENCE, integer(operation, ENUMERATED) + _attribute(name, values))


def message_at(data: bytes, at: int) -> Message:
    """The message whose envelope begins at `at` and is there to its end."""
    tag, start, stop = header(data, at)
    if tag != SEQUENCE:
        raise ValueError("not an LDAP message")
    tag, first, last = header(data, start)
    if tag != 0x02 or last > stop:
        raise ValueError("a message without a number")
    tag, begin, end = header(data, last)
    if end > stop:
        raise ValueError("an operation longer than its message")
    return Message(number(data, first, last), tag, data, begin, end, stop)


def result_of(message: Message) -> Result:
    """The LDAPResult of a final message."""
    data = message.data
    tag, start, end = header(data, message.start)
    if tag != ENUMERATED:
        raise ValueError("a result without a code")
    code = number(data, start, end)
    _, start, end = header(data, end)
    matched = data[start:end].decode("utf-8", "replace")
    _, start, end = header(data, end)
    text = data[start:end].decode("utf-8", "replace")
    referrals: tuple[str, ...] = ()
    value: bytes | None = None
    while end < message.end:
        tag, start, end = header(data, end)
        if tag == 0xA3:
            referrals = strings(data, start, end)
        elif tag == 0x8B:
            value = data[start:end]
    if message.end >= message.stop:
        return Result(code, matched, text, referrals, None, value)
    controls = _controls(message)
    cookie = controls.get(PAGED.encode())
    return Result(
        code,
        matched,
        text,
        referrals,
        _cookie(cookie) if cookie else None,
        value,
        _csn(controls.get(PRE_READ.encode())),
        _csn(controls.get(POST_READ.encode())),
    )


def strings(data: bytes, start: int, end: int) -> tuple[str, ...]:
    """A sequence of strings: the URIs of a referral or of a search reference."""
    found = []
    while start < end:
        _, first, start = header(data, start)
        found.append(data[first:start].decode("utf-8", "replace"))
    return tuple(found)


def _controls(message: Message) -> dict[bytes, bytes]:
    """The values of the controls of a message, by OID."""
    data, at = message.data, message.end
    found: dict[bytes, bytes] = {}
    _, at, stop = header(data, at)
    while at < stop:
        _, start, at = header(data, at)
        _, first, last = header(data, start)
        oid = data[first:last]
        if last < at:
            tag, first, last = header(data, last)
            if tag == 0x01:  # the criticality
                _, first, last = header(data, last)
            found[oid] = data[first:last]
    return found


def _cookie(value: bytes) -> bytes:
    """The cookie in the value of a paged results control, beside an estimate."""
    _, first, _ = header(value, 0)
    _, _, last = header(value, first)
    _, first, last = header(value, last)
    return value[first:last]


def _csn(value: bytes | None) -> bytes:
    """The entryCSN in the value of a pre-read or post-read control; empty where there is none."""
    if not value:
        return b""
    tag, start, end = header(value, 0)
    if tag != SEARCH_ENTRY:
        raise ValueError("a control that tells no entry")
    _, values = entry_of(Message(0, tag, value, start, end, len(value)), {b"entrycsn": "entryCSN"})
    return (values.get("entryCSN") or (b"",))[0]


def entry_of(message: Message, spelled: dict[bytes, str]) -> tuple[str, dict[str, tuple[bytes, ...]]]:
    """Name and raw values of a search entry.

    `spelled` maps names as the server writes them to names as they were asked for; it grows. The short
    form of lengths is read in place: this loop is what a reading of the whole directory costs.
    """
    data = message.data
    _, start, at = header(data, message.start)
    dn = data[start:at].decode("utf-8", "replace")
    _, at, end = header(data, at)
    if end > message.end:
        raise ValueError("an entry longer than its message")
    values: dict[str, tuple[bytes, ...]] = {}
    while at < end:
        _, start, at = header(data, at)
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
        held = []
        while start < stop:
            size = data[start + 1]
            if size < 0x80:
                start += 2
                held.append(data[start : start + size])
                start += size
            else:
                _, first, start = header(data, start)
                held.append(data[first:start])
        values[spelled.get(name) or _spell(name, spelled)] = tuple(held)
    return dn, values


def _spell(name: bytes, spelled: dict[bytes, str]) -> str:
    found = spelled.get(name.lower()) or name.decode("ascii", "replace")
    spelled[name] = found
    return found
