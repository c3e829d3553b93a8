"""Escapes external text for terminals and spreadsheets, and colours texts on a terminal.

Texts have no escape sequences of their own: `shown` leaves none.
"""

from __future__ import annotations

import re
import unicodedata

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
# patterns as text are compiled at their first use: most commands use none of them
_FORMULA = r"(?:^|(?<=[;,\t\r\n]))(?=[=+\-@\uff1d\uff0b\uff0d\uff20])|^(?=[\t\r])"


def shown(text: str, kept_characters: str = "") -> str:
    """`text` with control, bidirectional, zero-width and other invisible characters written as escapes, but
    for the `kept_characters`."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        _escape(c) if unicodedata.category(c) in _HIDDEN and c not in kept_characters else c for c in text
    )


def _escape(char: str) -> str:
    number = ord(char)
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def neutral(text: str) -> str:
    """A cell that a spreadsheet does not read as a formula, nor as several cells of which one is a formula: a
    French spreadsheet splits at semicolons, even if the file has another delimiter."""
    return re.sub(_FORMULA, "'", text)


_RED, _GREEN, _YELLOW, _BOLD = "31", "32", "33", "1"

_RULES = (
    # checks of doctor
    (r"^D\d\d +(?:error|erreur)\b.*$", _RED),
    (r"^D\d\d +(?:warning|alerte)\b.*$", _YELLOW),
    (r"^D\d\d +ok\b", _GREEN),
    # kinds of change, by what they do to the person
    (r"^ +\d+  (?:revoke|suspend|lock|deactivate|archive)\b", _YELLOW),
    (r"^ +\d+  (?:create|adopt|grant|reopen|unlock)\b", _GREEN),
    (r"^ +\d+  (?:drift|loosening|vanished)\b", _RED),
    # answers and warnings
    (r"^  (?:YES|OUI)\b", _GREEN),
    (r"^  (?:NO|NON)\b", _RED),
    (r"\b(?:LOCKED|LET IN|REFUSED|ERROR:|CHANGED BY ANOTHER PROGRAM)", _RED),
    (r"\b(?:VERROUILLÉE?|OUVERT À TORT|REFUSÉE?|ERREUR :|CHANGÉ PAR UN AUTRE PROGRAMME)", _RED),
    (r"\b(?:WARNING|ATTENTION ?):", _YELLOW),
    (r"^Plan [0-9a-f]{12} (?:as of|au) [-/\d]+$", _BOLD),
)
_ANY = "(?m)" + "|".join(f"({pattern})" for pattern, _ in _RULES)
"""The first rule that fits counts, and the text that it has coloured is not coloured again."""


def coloured(text: str) -> str:
    """The text with ANSI colours for what a reader must not miss; its width on the screen stays the same."""
    return re.sub(_ANY, lambda match: f"\x1b[{_RULES[(match.lastindex or 1) - 1][1]}m{match[0]}\x1b[0m", text)
