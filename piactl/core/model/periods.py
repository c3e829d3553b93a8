"""Arithmetic on periods of civil days.

The rules count days as proleptic ordinals (`date.toordinal`) with `OPEN` for an open end, so that sums cannot
overflow a date. A period is a pair (first day, last day), both included.
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
    """The date of an ordinal; None beyond the calendar (an open end)."""
    return None if day > _LAST else date.fromordinal(day)


def union(periods: Iterable[Period]) -> list[Period]:
    """The sorted periods; those that overlap or adjoin are merged, empty ones dropped."""
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
    """The days in both."""
    left, right = list(left), list(right)
    if len(left) == len(right) == 1:  # the most frequent case by far
        (a, b), (c, d) = left[0], right[0]
        first, last = max(a, c), min(b, d)
        return [(first, last)] if first <= last else []
    return union((max(a, c), min(b, d)) for a, b in left for c, d in right)


def difference(left: Iterable[Period], right: Iterable[Period]) -> list[Period]:
    """The days of `left` that are not in `right`."""
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
    """The period that contains `day`, or None."""
    for period in periods:
        if period[0] <= day <= period[1]:
            return period
    return None


def in_period(day: date, first: tuple[int, int], last: tuple[int, int]) -> bool:
    """Whether a day is in a period of the year, (month, day) both included; it may span New Year."""
    place = (day.month, day.day)
    return first <= place <= last if first <= last else place >= first or place <= last
