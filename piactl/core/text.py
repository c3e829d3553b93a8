"""Singular and plural, long lists, days, and conditions of the policy, in texts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date


def counted(number: int, singular: str, plural: str = "") -> str:
    """`1 row`, `2 rows`. `plural` is needed if it is not the singular with an s, as in
    `counted(n, "guard is broken", "guards are broken")`."""
    return f"{number} {singular if number == 1 else plural or singular + 's'}"


def few(items: Sequence[object], most: int) -> str:
    """The first items: `a, b and 3 more`."""
    text = ", ".join(map(str, items[:most]))
    return text if len(items) <= most else f"{text} and {len(items) - most} more"


def iso(day: date | None) -> str | None:
    """A day as JSON has it; None stays None."""
    return day.isoformat() if day else None


def condition(when: Mapping[str, Iterable[str]]) -> str:
    """`fonction ENS or DOC, degree 1D`; `every assignment` without a condition."""
    return ", ".join(f"{name} {' or '.join(sorted(v))}" for name, v in when.items()) or "every assignment"
