"""The few BER encodings of LDAP (X.690, RFC 4511 §5.1) that the two hot paths read and write themselves."""

from __future__ import annotations

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


def header(data: bytes, at: int) -> tuple[int, int, int]:
    """(tag, start, end) of the content of the element at `at`.

    Raises IndexError where `data` ends within the header, ValueError for a length that LDAP forbids.
    """
    tag = data[at]
    size = data[at + 1]
    start = at + 2
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
