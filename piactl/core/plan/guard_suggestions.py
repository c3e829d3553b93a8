"""Compares the limits of guards with what ordinary nights counted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from math import ceil, inf

from piactl.core.model.policy import Policy
from piactl.core.plan.guards import guards_on, in_period

LEAST = 10
"""The smallest number that is suggested: one person can read ten accounts in a plan."""
ALL_YEAR = ""

NightCounts = Mapping[str, tuple[int, int]]
"""The accounts that each kind of guard counts in one night, and among how many."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A guard in one period of the year ("" is the rest of it) and the ordinary night that came nearest to
    its limit, or was beyond it: it counted `most` of `of` accounts, and `limit` is the most that the policy
    allows of so many, None if it has no such guard. `suggested` would have stopped none of the nights."""

    kind: str
    period: str
    nights: int
    most: int
    of: int
    day: date
    limit: int | None
    suggested: int


def suggestions(
    nights: Iterable[tuple[date, NightCounts]], policy: Policy, margin: float
) -> list[Suggestion]:
    """One row for each kind and period that an ordinary night counted, those with the least room first.
    `suggested` is `margin` times the most of one night."""
    nearest: dict[tuple[str, str], tuple[float, int, int, date, int | None]] = {}
    largest: dict[tuple[str, str], int] = {}
    number: dict[tuple[str, str], int] = {}
    for day, counts in nights:
        guards = guards_on(policy, day)
        for kind, (found, of) in counts.items():
            if not of:
                continue  # a first load
            guard = guards[kind][1].overall if kind in guards else None
            limit = guard.most(of) if guard is not None else None
            used = inf if limit == 0 else found / limit if limit else 0.0
            key = kind, _period(policy, kind, day)
            near = used, found, of, day, limit
            nearest[key] = max(near, nearest.get(key, near), key=lambda one: (one[0], one[1]))
            largest[key] = max(found, largest.get(key, 0))
            number[key] = number.get(key, 0) + 1
    rows = []
    for (kind, period), (used, found, of, day, limit) in nearest.items():
        suggested = max(LEAST, ceil(largest[kind, period] * margin))
        rows.append((-used, Suggestion(kind, period, number[kind, period], found, of, day, limit, suggested)))
    return [row for _, row in sorted(rows, key=lambda one: (one[0], one[1].kind, one[1].period))]


def _period(policy: Policy, kind: str, day: date) -> str:
    """The period whose guard of a kind applies on a day, "" for none; of several the last one in the file."""
    names = (p.name for p in reversed(policy.periods) if kind in p.guards and in_period(day, p.first, p.last))
    return next(names, ALL_YEAR)
