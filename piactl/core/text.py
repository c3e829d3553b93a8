"""Numbers of things in a sentence: one guard is, two guards are."""

from __future__ import annotations


def counted(number: int, one: str, more: str = "") -> str:
    """`1 row`, `2 rows`; `more` is the plural where it is not `one` with an s ("is broken", "are broken"
    go with it: `counted(n, "guard is broken", "guards are broken")`)."""
    return f"{number} {one if number == 1 else more or one + 's'}"
