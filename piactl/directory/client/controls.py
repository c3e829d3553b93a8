"""The LDAP controls that piactl sends, and the BER encodings (X.690, RFC 4511 §5.1) of the hot paths.

ldap3 accepts a `Control` as it is. The values are encoded here because ldap3 has no assertion control
(RFC 4528), and its pre-read and post-read controls (RFC 4527) lose values that are not text.
"""

from __future__ import annotations

from collections.abc import Container
from typing import NamedTuple

from piactl.core.plan.write import Values

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


PAGED = "1.2.840.113556.1.4.319"
ASSERTION = "1.3.6.1.1.12"
PRE_READ, POST_READ = "1.3.6.1.1.13.1", "1.3.6.1.1.13.2"


class Control(NamedTuple):
    """A control of a request."""

    oid: str
    critical: bool
    value: bytes | None


_ENTRY_CSN = element(SEQUENCE, octets(b"entryCSN"))
_CSN_CONTROLS = {
    "add": (Control(POST_READ, False, _ENTRY_CSN),),
    "modify": (Control(PRE_READ, False, _ENTRY_CSN), Control(POST_READ, False, _ENTRY_CSN)),
    "delete": (),
}


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


def csn_controls(op: str, supported: Container[str]) -> list[Control]:
    """The controls that return the entryCSN before a modify and after an add or a modify (RFC 4527), if they
    are `supported` by the server.

    The answers are in `Result.controls`; `messages.csn_in` decodes them. No control is
    critical: no write fails because its entryCSN cannot be returned.
    """
    return [control for control in _CSN_CONTROLS[op] if control.oid in supported]


def _equality(attribute: str, value: bytes) -> bytes:
    return element(0xA3, octets(attribute.encode()) + octets(value))
