"""Search filters (RFC 4515), built from values and never from text that somebody wrote.

Every byte of a value that is not plainly harmless is escaped, so a value can hold anything: `*`, `(`, `\\`,
NUL, blanks at its ends, bytes that are not text. A name that is not an attribute description raises
ValueError.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from piactl.phrase import Phrase

_NAME = re.compile(r"(?:[A-Za-z][A-Za-z0-9-]*|\d+(?:\.\d+)*)(?:;[A-Za-z0-9-]+)*\Z")
_HARMLESS = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._@:")
_ESCAPED = [chr(byte) if byte in _HARMLESS else f"\\{byte:02x}" for byte in range(256)]

ANY_ENTRY = "(objectClass=*)"


def equals(attribute: str, value: str | bytes) -> str:
    """Entries with that value. An empty value matches nothing, because no entry has one."""
    return f"({_name(attribute)}={escaped(value)})"


def with_class(name: str) -> str:
    """A schema with that object class."""
    return equals("objectClasses", name)


def present(attribute: str) -> str:
    """Entries with any value of the attribute."""
    return f"({_name(attribute)}=*)"


def begins(attribute: str, value: str | bytes) -> str:
    """Entries with a value that begins with the text; the attribute needs a substring rule."""
    return f"({_name(attribute)}={escaped(value)}*)"


def within(attribute: str, value: str | bytes) -> str:
    """Entries with that value in their DN: the entry of this name and all below it."""
    return f"({_name(attribute)}:dn:={escaped(value)})"


def at_most(attribute: str, value: str | bytes) -> str:
    """Entries with a value that is `value` or ordered before it; the attribute needs an ordering rule."""
    return f"({_name(attribute)}<={escaped(value)})"


def at_least(attribute: str, value: str | bytes) -> str:
    """Entries with a value that is `value` or ordered after it; the attribute needs an ordering rule."""
    return f"({_name(attribute)}>={escaped(value)})"


def all_of(*filters: str) -> str:
    """Entries that match every filter; requires at least one, because none would match all entries."""
    return f"(&{_joined(filters)})"


def any_of(*filters: str) -> str:
    """Entries that match one of the filters; requires at least one."""
    return f"(|{_joined(filters)})"


def none_of(*filters: str) -> str:
    """Entries that match none of the filters; requires at least one."""
    return f"(!(|{_joined(filters)}))"


def escaped(value: str | bytes) -> str:
    """The value, escaped for a filter."""
    raw = value.encode("utf-8") if isinstance(value, str) else value
    return "".join([_ESCAPED[byte] for byte in raw])


def _name(attribute: str) -> str:
    if not _NAME.match(attribute):
        raise ValueError(Phrase("not the name of an attribute: {attribute}", attribute=repr(attribute)))
    return attribute


def _joined(filters: tuple[str, ...]) -> str:
    if not filters:
        raise ValueError("a filter of no filters")
    return "".join(filters)


def equals_one(name: str, values: Sequence[str], most: int) -> Iterator[str]:
    """Filters that find the entries with one of these values, at most `most` values in each filter."""
    for start in range(0, len(values), most):
        yield any_of(*(equals(name, value) for value in values[start : start + most]))
