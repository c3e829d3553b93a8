"""Distinguished names (RFC 4514): made from values, and compared.

ldap3's `escape_rdn` is wrong for NUL, a lone blank and the empty string, hence our own.
"""

from __future__ import annotations

import re
from functools import lru_cache

from piactl.phrase import Phrase

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]*\Z|\d+(\.\d+)*\Z")
_SPECIAL = frozenset('"+,;<>\\=')
_PLAIN = re.compile(r"[A-Za-z0-9.@_-]+\Z")
"""A value that needs no escapes, as nearly all values."""
_HEX = frozenset("0123456789abcdefABCDEF")
_PLAIN_VALUE = r"""[^\s,;+\\"<>=#\x00-\x1f\x7f](?:[^,;+\\"<>=\x00-\x1f\x7f]*[^\s,;+\\"<>=\x00-\x1f\x7f])?"""
_PLAIN_PART = rf"[A-Za-z][A-Za-z0-9-]*={_PLAIN_VALUE}"
_PLAIN_DN = re.compile(rf"{_PLAIN_PART}(?:,{_PLAIN_PART})*")
"""A name that cannot be spelled in another way, except for case and runs of blanks."""
_FIRST = re.compile(r"(?:[^\\,]|\\.)*", re.DOTALL)


def child(base: str, attribute: str, value: str) -> str:
    """The name of the entry `attribute=value` below `base`; an empty base makes a name of one part.

    Raises ValueError for an empty value, which cannot name an entry, and if `attribute` is not a name.
    """
    if not _NAME.match(attribute):
        raise ValueError(Phrase("not the name of an attribute: {attribute}", attribute=repr(attribute)))
    part = f"{attribute}={_escaped(value)}"
    return f"{part},{base}" if base else part


def _escaped(value: str) -> str:
    if not value:
        raise ValueError("an entry cannot be named by an empty value")
    if _PLAIN.match(value):
        return value
    last = len(value) - 1
    out = []
    for offset, char in enumerate(value):
        edge = (char == " " and offset in (0, last)) or (char == "#" and offset == 0)
        if char < " " or char == "\x7f" or edge:
            out.append(f"\\{ord(char):02x}")
        elif char in _SPECIAL:
            out.append("\\" + char)
        else:
            out.append(char)
    return "".join(out)


def same_dn(a: str, b: str) -> bool:
    """Whether both name the same entry: case, blanks around separators and ways of escaping do not count."""
    return a == b or normal_dn(a) == normal_dn(b)


def under(dn: str, base: str) -> bool:
    """Whether `dn` is `base` or lies below it."""
    low, top = normal_dn(dn), normal_dn(base)
    return low == top or not top or low.endswith("," + top)


@lru_cache(maxsize=4096)
def normal_dn(dn: str) -> str:
    """The normal spelling, the same for all spellings of one name; it is a valid name itself.

    Values are compared without case and with runs of blanks as one, like the naming attributes of
    directories. Raises ValueError for text that is not a distinguished name.
    """
    if _PLAIN_DN.fullmatch(dn) and "  " not in dn:  # nearly every name, in a hundredth of the time
        return dn.casefold()
    if not dn.strip():
        return ""
    return _normalized(dn)


def normal_value(text: str) -> str:
    """A value as `normal_dn` writes it."""
    return _pair(f"cn={_escaped(text)}", "")[1] if text else ""


def parted(dn: str) -> tuple[str, str]:
    """The first part of a name in normal spelling, and the name of the entry above."""
    first = _FIRST.match(dn)
    end = first.end() if first else 0
    return dn[:end], dn[end + 1 :]


def first_pair(dn: str) -> tuple[str, str]:
    """The attribute of the first part of a name, in small letters, and its value; of several the first."""
    name, _, value = _split(parted(dn)[0], "+")[0].partition("=")
    return name.strip().lower(), _plain(value.strip(" "))


def _normalized(dn: str) -> str:
    parts = []
    for part in _split(dn, ",;"):
        pairs = sorted(_pair(pair, dn) for pair in _split(part, "+"))
        parts.append("+".join(f"{name}={value}" for name, value in pairs))
    return ",".join(parts)


def _split(text: str, separators: str) -> list[str]:
    parts, start, offset = [], 0, 0
    while offset < len(text):
        if text[offset] == "\\":
            offset += 1
        elif text[offset] in separators:
            parts.append(text[start:offset])
            start = offset + 1
        offset += 1
    parts.append(text[start:])
    return parts


def _pair(pair: str, dn: str) -> tuple[str, str]:
    name, sign, value = pair.partition("=")
    name = name.strip().lower()
    if not sign or not _NAME.match(name):
        raise ValueError(Phrase("not a distinguished name: {dn}", dn=repr(dn)))
    text = re.sub(" +", " ", _plain(value).strip(" ")).casefold()
    return name, _escaped(text) if text else "\\20"


def _plain(value: str) -> str:
    """The value without its escapes; escaped blanks at the ends do not count, just like bare ones."""
    out = bytearray()
    offset = 0
    while offset < len(value):
        char = value[offset]
        offset += 1
        if char != "\\":
            out += char.encode()
        elif offset + 1 < len(value) and value[offset] in _HEX and value[offset + 1] in _HEX:
            out.append(int(value[offset : offset + 2], 16))
            offset += 2
        elif offset < len(value):
            out += value[offset].encode()
            offset += 1
    return out.decode("utf-8", "backslashreplace")


def naming_values(dn: str) -> dict[str, bytes]:
    """The values in the first part of a name, without escapes, by attribute in lower case."""
    pairs = (pair.partition("=") for pair in _split(parted(dn)[0], "+"))
    return {name.strip().lower(): _plain(value).encode() for name, _, value in pairs}
