"""The status of an account on one day, from its career, an administrator's lock and the date."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from piactl.core.model.account import Lock, Right, ServiceException, State
from piactl.core.model.assignment import Assignment
from piactl.core.model.overrides import Override, next_end
from piactl.core.model.periods import OPEN, Period, civil, difference, holding
from piactl.core.rules.career import Career
from piactl.core.rules.lifecycle import BEGINNING

NEVER = date(1970, 1, 1)
"""The last login day of an account that never had a login window."""


@dataclass(frozen=True, slots=True)
class AccountStatus:
    """The fields of an account that the rules derive from the date; see `Account`."""

    state: State
    state_from: date | None
    state_until: date | None
    locked: bool
    login_from: date | None
    login_until: date | None
    next_due: date | None
    profiles: tuple[str, ...]
    establishments: tuple[str, ...]
    corps: tuple[str, ...]
    entitlements: frozenset[Right]


def account_status(
    career: Career,
    as_of: date,
    *,
    lock: Lock | None = None,
    exceptions: Sequence[ServiceException] = (),
    closed_on: date | None = None,
    overrides: Sequence[Override] = (),
) -> AccountStatus:
    """The status on `as_of`. `career` already includes exceptions and overrides; here they only set due
    dates."""
    segment = career.segment_on(as_of)
    login_from, login_until = login_window(career, as_of, lock)
    posts = [post.assignment for post in career.posts_behind(as_of)]
    return AccountStatus(
        state=segment.state,
        state_from=closed_on if segment.first == BEGINNING else civil(segment.first),
        state_until=civil(segment.last),
        locked=career.locked_on(as_of) or (lock is not None and lock.covers(as_of)),
        login_from=login_from,
        login_until=login_until,
        next_due=_next_due(career, as_of, lock, exceptions, overrides),
        profiles=career.profiles_on(as_of),
        establishments=_establishments(posts),
        corps=tuple(sorted({assignment.corps for assignment in posts if assignment.corps})),
        entitlements=career.rights_on(as_of),
    )


def _establishments(assignments: Sequence[Assignment]) -> tuple[str, ...]:
    """The UAIs, the main one first (modality principale, else the latest start), the others sorted."""
    if not assignments:
        return ()
    main = next((a for a in assignments if a.modality == "principale"), assignments[0]).uai
    return (main, *sorted({a.uai for a in assignments} - {main}))


def login_window(career: Career, as_of: date, lock: Lock | None) -> tuple[date | None, date | None]:
    """First and last day of the login window for the directory: the one that includes `as_of`, else the next
    one, else the last one, else one in the past. None is an open side."""
    allowed: Sequence[Period] = career.login
    if lock is not None:
        until = OPEN if lock.until is None else lock.until.toordinal()
        allowed = difference(allowed, [(lock.since.toordinal(), until)])
    today = as_of.toordinal()
    window = holding(allowed, today)
    if window is None:
        ahead = [period for period in allowed if period[0] > today]
        behind = [period for period in allowed if period[1] < today]
        if not ahead and not behind:
            return None, NEVER
        window = ahead[0] if ahead else behind[-1]
    return civil(window[0]), civil(window[1])


def _next_due(
    career: Career,
    as_of: date,
    lock: Lock | None,
    exceptions: Sequence[ServiceException],
    overrides: Sequence[Override],
) -> date | None:
    days = [career.next_change(as_of), next_end(overrides, as_of)]
    if lock is not None:
        days += [lock.since, lock.until + timedelta(days=1) if lock.until else None]
    days += [exception.end + timedelta(days=1) for exception in exceptions]
    return min((day for day in days if day is not None and day > as_of), default=None)
