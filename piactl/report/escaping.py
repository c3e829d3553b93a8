"""Escapes external text for terminals and spreadsheets."""

from __future__ import annotations

import re
import unicodedata

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
_FORMULA = re.compile(r"(?:^|(?<=[;,\t\r\n]))(?=[=+\-@\uff1d\uff0b\uff0d\uff20])|^(?=[\t\r])")


def shown(text: str) -> str:
    """`text` with control, bidirectional, zero-width and other invisible characters written as escapes."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escape(c) if unicodedata.category(c) in _HIDDEN else c for c in text)


def _escape(char: str) -> str:
    number = ord(char)
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def neutral(text: str) -> str:
    """A cell that a spreadsheet does not read as a formula, nor as several cells of which one is a formula: a
    French one splits at semicolons, whatever the file separates by."""
    return _FORMULA.sub("'", text)
