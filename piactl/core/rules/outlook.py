"""Future events that a change of an account causes, by comparing careers before and after it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from piactl.core.model.account import Right, State
from piactl.core.model.periods import OPEN, holding
from piactl.core.rules.career import Career


def outlook(
    before: Career | None, after: Career, as_of: date, overridden_until: date
) -> list[tuple[date, str]]:
    """(day, sentence) of the events after `as_of` that are in `after` but not in `before`, in order of days.

    Nothing is archived up to `overridden_until`: an override has an end.
    """
    known = set(_events(before, as_of)) if before else set()
    found = {event for event in _events(after, as_of) if event not in known}
    return sorted(e for e in found if e[1] != _ARCHIVED or e[0] > overridden_until)


_ARCHIVED = f"state {State.ARCHIVED.value}"


def _events(career: Career, as_of: date) -> Iterator[tuple[date, str]]:
    today = as_of.toordinal()
    for segment in career.segments:
        if today < segment.first < OPEN:
            yield date.fromordinal(segment.first), f"state {segment.state.value}"
    for right, periods in career.rights.items():
        for first, last in periods:
            if today < first < OPEN:
                yield date.fromordinal(first), f"gets {_spoken(right)}"
            if today <= last < OPEN and not holding(periods, last + 1):
                yield date.fromordinal(last + 1), f"loses {_spoken(right)}"


def _spoken(right: Right) -> str:
    return ":".join(filter(None, right))
