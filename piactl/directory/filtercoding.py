"""Search filters (RFC 4515) as bytes (RFC 4511 §4.5.1.7), without a library: those that `filters` builds.

ldap3 compiles filters too, but to load it takes longer than all the rest of a command that shows one account.
"""

from __future__ import annotations

import re
from functools import lru_cache

from piactl.directory.ber import element, octets

_ITEM = re.compile(r"([A-Za-z0-9][A-Za-z0-9.;-]*)(>=|<=|=)([^()]*)")
_SETS = {"&": 0xA0, "|": 0xA1, "!": 0xA2}
_COMPARISONS = {"=": 0xA3, ">=": 0xA5, "<=": 0xA6}
_PRESENT, _SUBSTRINGS = 0x87, 0xA4
_DEEPEST = 50


class NotAFilter(ValueError):
    """A text is no filter."""


@lru_cache(maxsize=512)
def encoded_filter(query: str) -> bytes:
    """The BER of a filter. Raises NotAFilter.

    Extensible matches, approximate matches and blanks between filters, that `filters` never builds, are
    refused as well.
    """
    encoded, end = _filter(query, 0, 0)
    if end != len(query):
        raise _wrong(query, end)
    return encoded


def _filter(query: str, at: int, depth: int) -> tuple[bytes, int]:
    """The encoding of the filter that begins there, and where it ends."""
    if query[at : at + 1] != "(" or depth > _DEEPEST:
        raise _wrong(query, at)
    sign = query[at + 1 : at + 2]
    if sign not in _SETS:
        return _item(query, at + 1)
    at += 2
    members = []
    while query[at : at + 1] == "(":
        member, at = _filter(query, at, depth + 1)
        members.append(member)
    if query[at : at + 1] != ")" or not members or (sign == "!" and len(members) != 1):
        raise _wrong(query, at)
    return element(_SETS[sign], b"".join(members)), at + 1


def _item(query: str, at: int) -> tuple[bytes, int]:
    found = _ITEM.match(query, at)
    if found is None or query[found.end() : found.end() + 1] != ")":
        raise _wrong(query, at)
    name, sign, value = found[1].encode(), found[2], found[3]
    end = found.end() + 1
    if sign == "=" and value == "*":
        return octets(name, _PRESENT), end
    if sign == "=" and "*" in value:
        return element(_SUBSTRINGS, octets(name) + _parts(query, at, value)), end
    if "*" in value:
        raise _wrong(query, at)
    return element(_COMPARISONS[sign], octets(name) + octets(_plain(query, at, value))), end


def _parts(query: str, at: int, value: str) -> bytes:
    """The pieces of a substring: initial, any, final."""
    first, *middle, last = (_plain(query, at, piece) for piece in value.split("*"))
    pieces = [octets(first, 0x80)] if first else []
    pieces += [octets(piece, 0x81) for piece in middle if piece]
    pieces += [octets(last, 0x82)] if last else []
    if not pieces:
        raise _wrong(query, at)
    return element(0x30, b"".join(pieces))


def _plain(query: str, at: int, value: str) -> bytes:
    """A value without its escapes."""
    pieces = value.split("\\")
    out = bytearray(pieces[0].encode())
    for piece in pieces[1:]:
        try:
            out += bytes.fromhex(piece[:2]) if len(piece[:2].strip()) == 2 else b""
        except ValueError:
            raise _wrong(query, at) from None
        if len(piece) < 2 or len(piece[:2].strip()) != 2:
            raise _wrong(query, at)
        out += piece[2:].encode()
    return bytes(out)


def _wrong(query: str, at: int) -> NotAFilter:
    return NotAFilter(f"not a filter, at character {at + 1}: {query!r}")
