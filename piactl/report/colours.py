"""Colours of texts for people on a terminal. Texts have no escapes of their own: `shown` leaves none."""

from __future__ import annotations

import re

_RED, _GREEN, _YELLOW, _BOLD = "31", "32", "33", "1"

_RULES = (
    # checks of doctor
    (r"^D\d\d +error\b.*$", _RED),
    (r"^D\d\d +warning\b.*$", _YELLOW),
    (r"^D\d\d +ok\b", _GREEN),
    # kinds of change, by what they do to the person
    (r"^ +\d+  (?:revoke|suspend|lock|deactivate|archive)\b", _YELLOW),
    (r"^ +\d+  (?:create|adopt|grant|reopen|unlock)\b", _GREEN),
    (r"^ +\d+  (?:drift|loosening|vanished)\b", _RED),
    # answers and warnings
    (r"^  (?:YES|OUI)\b", _GREEN),
    (r"^  (?:NO|NON)\b", _RED),
    (r"\b(?:LOCKED|REFUSED|ERROR:|CHANGED BY ANOTHER PROGRAM)", _RED),
    (r"\b(?:VERROUILLÉ|REFUSÉ|ERREUR :|CHANGÉ PAR UN AUTRE PROGRAMME)", _RED),
    (r"\b(?:WARNING|ATTENTION ?):", _YELLOW),
    (r"^Plan [0-9a-f]{12} (?:as of|au) [-\d]+$", _BOLD),
)
_ANY = re.compile("|".join(f"({pattern})" for pattern, _ in _RULES), re.MULTILINE)
"""The first rule that fits counts, and nothing within what it has coloured is coloured again."""


def coloured(text: str) -> str:
    """The text with ANSI colours for what a reader must not miss; its length on the screen stays."""
    return _ANY.sub(lambda found: f"\x1b[{_RULES[(found.lastindex or 1) - 1][1]}m{found[0]}\x1b[0m", text)
