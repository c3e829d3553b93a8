"""Arithmetic on periods of civil days.

Inside the rules a day is its proleptic ordinal (`date.toordinal`) and an open end is `OPEN`, so that
sums cannot overflow a date. A period is a pair (first day, last day), both included.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

OPEN = 10**9
"""The last day of a period without an end; anything at or above it is open."""

Period = tuple[int, int]

_LAST = date.max.toordinal()


def ordinal(day: date | None) -> int:
    """The ordinal of a day; None is `OPEN`."""
    return OPEN if day is None else day.toordinal()


def civil(day: int) -> date | None:
    """The date of an ordinal; beyond the calendar is None, an open end."""
    return None if day > _LAST else date.fromordinal(day)


def union(periods: Iterable[Period]) -> list[Period]:
    """Sorted periods in which those that overlap or adjoin are one; empty ones are dropped."""
    result: list[Period] = []
    ordered = list(periods)
    if len(ordered) > 1:
        ordered.sort()
    for first, last in ordered:
        if first > last:
            continue
        if result and first <= result[-1][1] + 1:
            if last > result[-1][1]:
                result[-1] = (result[-1][0], last)
        else:
            result.append((first, last))
    return result


def intersection(left: Iterable[Period], right: Iterable[Period]) -> list[Period]:
    """The days that both hold."""
    left, right = list(left), list(right)
    if len(left) == len(right) == 1:  # by far the most
        (a, b), (c, d) = left[0], right[0]
        first, last = max(a, c), min(b, d)
        return [(first, last)] if first <= last else []
    return union((max(a, c), min(b, d)) for a, b in left for c, d in right)


def difference(left: Iterable[Period], right: Iterable[Period]) -> list[Period]:
    """The days of `left` that `right` does not hold."""
    result = union(left)
    for c, d in right:
        if c > d:
            continue
        pieces: list[Period] = []
        for a, b in result:
            if d < a or b < c:
                pieces.append((a, b))
                continue
            if a < c:
                pieces.append((a, c - 1))
            if d < b:
                pieces.append((d + 1, b))
        result = pieces
    return result


def holding(periods: Iterable[Period], day: int) -> Period | None:
    """The period that holds `day`."""
    for period in periods:
        if period[0] <= day <= period[1]:
            return period
    return None
