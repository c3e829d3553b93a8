"""Detects text damaged by a wrong encoding, and formats values for messages."""

from __future__ import annotations

import re

from piactl.core.model.settings import SourceLimits

CODECS = {"utf-8": "utf-8", "windows-1252": "cp1252", "iso-8859-15": "iso8859-15"}
"""Encoding of a source -> Python codec; each is decoded strictly."""

# What the bytes 80 to BF look like when UTF-8 is read as Windows-1252 or ISO-8859-15.
_TAIL = "\u0080-\u00bf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ"
_DAMAGED = re.compile(f"[\u0080-\u009f\ufffd]|[ÂÃÄÅ][{_TAIL}]|â€|ï»¿|ï¿½")
_CONTROL = re.compile("[\u0000-\u001f\u007f]")
SUSPECT = re.compile(f"{_CONTROL.pattern}|{_DAMAGED.pattern}")
"""Matches every line in which `text_fault` could find a fault."""

BLANKS = " \t\u00a0\u2007\u202f"
"""Characters stripped around a value; a tab inside a value is a control character."""

_NUMEN_LIKE = re.compile(r"([0-9]\s*[0-9]\s*[A-Za-z])\s*[0-9]\s*[0-9][0-9A-Za-z\s]*")
_SHOWN = 40
_SMALLEST = 3


def text_fault(text: str) -> tuple[str, str] | None:
    """The fault of a damaged field as (code, detail): control characters, U+FFFD, mojibake. None if valid."""
    text = text.strip(BLANKS)
    control = _CONTROL.search(text)
    if control:
        return "control-character", f"contains the control character U+{ord(control.group()):04X}"
    if _DAMAGED.search(text):
        return "damaged-text", f"{shown(text)} was damaged by a wrong change of encoding"
    return None


def shown(value: str) -> str:
    """A value for a message: quoted, escaped, shortened, and with anything like a NUMEN masked.

    Every value in a message is formatted here, because a row with shifted fields may have a NUMEN in any
    column.
    """
    masked = _NUMEN_LIKE.sub(lambda match: match.group(1) + "*" * (len(match.group()) - 3), value)
    return repr(masked if len(masked) <= _SHOWN else masked[: _SHOWN - 1] + "…")


def is_wholesale(bad: int, rows: int, not_ascii: int, limits: SourceLimits) -> bool:
    """Whether so many rows are damaged that the whole file must have another encoding.

    Names in capitals have few accents, so the damaged rows are also compared with the rows that are not
    ASCII.
    """
    if bad >= max(limits.bad_floor, 1) and (bad > limits.bad_share * rows or 2 * bad > not_ascii):
        return True
    return bad >= _SMALLEST and 2 * bad > rows


def undecodable(raw: bytes, configured: str) -> str:
    """What is wrong with bytes that do not decode: the encoding that was expected, and that of the bytes."""
    return f"bytes are not {configured}, as expected; they look like {likely_encoding(raw, configured)}"


def likely_encoding(sample: bytes, configured: str) -> str:
    """The encoding, other than the configured one, that would decode `sample`."""
    if b"\0" in sample:
        return "utf-16"
    if configured != "utf-8":
        try:
            sample.decode("utf-8")
        except UnicodeDecodeError:
            pass
        else:
            return "utf-8"
    # Both decode nearly everything; only Windows-1252 has letters and marks in 80 to 9F.
    if configured == "windows-1252":
        return "iso-8859-15"
    try:
        sample.decode("cp1252")
    except UnicodeDecodeError:
        return "iso-8859-15" if configured != "iso-8859-15" else "utf-8"
    return "windows-1252"
