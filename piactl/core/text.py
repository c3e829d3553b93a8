"""Singular and plural in messages."""

from __future__ import annotations


def counted(number: int, singular: str, plural: str = "") -> str:
    """`1 row`, `2 rows`. `plural` is needed if it is not the singular with an s, as in
    `counted(n, "guard is broken", "guards are broken")`."""
    return f"{number} {singular if number == 1 else plural or singular + 's'}"
