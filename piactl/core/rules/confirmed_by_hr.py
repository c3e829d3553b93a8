"""Changes of assignments by hand that HR confirms, or contradicts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date, timedelta

from piactl.core.model.account import Account
from piactl.core.model.establishment import Register
from piactl.core.model.overrides import MANUAL, Override, OverrideKind, overridden, running
from piactl.core.model.periods import ordinal
from piactl.core.model.person import Assignment
from piactl.core.model.policy import Policy, Position
from piactl.core.rules.lifecycle import Post, endings_of, posts_of


def confirmed(
    assignments: tuple[Assignment, ...],
    overrides: tuple[Override, ...],
    policy: Policy,
    register: Register,
    as_of: date,
) -> tuple[tuple[Assignment, ...], tuple[Override, ...]]:
    """The assignments and overrides without those that HR confirms from the day on.

    An END is confirmed if HR itself ends the same assignment, an added assignment if HR has the same post in
    the same position until the same day or longer. Its past days that HR does not have stay.
    """
    if not overrides:
        return assignments, overrides
    of_hr = _posts(overridden(assignments, overrides, as_of), policy, register)
    remaining = []
    for override in overrides:
        row = _added(override, assignments)
        post = next((p for p in of_hr if row and _covers(p, row, policy, as_of)), None)
        if row is not None and post is not None:
            past = date.fromordinal(post.first) - timedelta(days=1)
            rest = (replace(row, end=past),) if row.start <= past else ()
            index = assignments.index(row)
            assignments = (*assignments[:index], *rest, *assignments[index + 1 :])
        elif not _is_ended(override, assignments):
            remaining.append(override)
    return assignments, tuple(remaining)


def contradicted(
    account: Account, policy: Policy, register: Register, as_of: date
) -> Iterator[tuple[Override, Assignment, bool]]:
    """Each override in force that HR contradicts, with the row of HR, and whether it keeps the account open
    beyond the last day that HR gives."""
    overrides, assignments = running(account.overrides, as_of), account.assignments
    of_hr = _posts(assignments, policy, register) if overrides else []
    for override in overrides if of_hr else ():
        row, today = _added(override, assignments), as_of.toordinal()
        if row is None:
            goes_on = (p for p in of_hr if p.last >= today and _outlasts(p, override, assignments))
            beyond, post = False, next(goes_on, None)
        else:
            latest = max(of_hr, key=lambda post: post.last)
            beyond = latest.last < ordinal(row.end)
            post = latest if beyond else _otherwise(of_hr, override, row, policy, as_of)
        if post is not None:
            yield override, post.assignment, beyond


def _posts(assignments: Sequence[Assignment], policy: Policy, register: Register) -> list[Post]:
    rows = [a for a in assignments if a.source != MANUAL]
    return posts_of(rows, endings_of(rows, policy, register), policy, register)


def _added(override: Override, assignments: Sequence[Assignment]) -> Assignment | None:
    key = (override.uai, override.function, override.start)
    mine = (a for a in assignments if a.source == MANUAL and a.key == key)
    return next(mine, None) if override.kind is OverrideKind.ADD else None


def _is_ended(override: Override, assignments: Sequence[Assignment]) -> bool:
    rows, last = override.ended(assignments), ordinal(override.day)
    return bool(rows) and all(ordinal(row.end) <= last for row in rows)


def _outlasts(post: Post, override: Override, assignments: Sequence[Assignment]) -> bool:
    if override.day is None:
        return False
    if override.kind is OverrideKind.END:
        return post.assignment in override.ended(assignments) and post.last > override.day.toordinal()
    return post.first < override.day.toordinal() <= post.last


def _otherwise(
    of_hr: Sequence[Post], override: Override, row: Assignment, policy: Policy, as_of: date
) -> Post | None:
    """The assignment that HR has instead of an added one: the same post with other days, or since then
    another one elsewhere."""
    first, last = max(row.start, as_of).toordinal(), ordinal(row.end)
    if any(_covers(post, row, policy, as_of) for post in of_hr):
        return None
    meanwhile = (post for post in of_hr if post.first <= last and post.last >= first)
    return next(
        (
            post
            for post in meanwhile
            if _same(post, row, policy)
            or (post.assignment.uai != row.uai and post.assignment.start > override.made)
        ),
        None,
    )


def _covers(post: Post, row: Assignment, policy: Policy, as_of: date) -> bool:
    first = max(row.start, as_of).toordinal()
    return _same(post, row, policy) and post.first <= first and post.last >= ordinal(row.end)


def _same(post: Post, row: Assignment, policy: Policy) -> bool:
    """Whether a post of HR is the post of an added assignment: a leave inside a post is another post."""
    where = (post.assignment.uai, post.assignment.function) == (row.uai, row.function)
    return where and _effect(post.position) == _effect(policy.position(row.position))


def _effect(position: Position | None) -> Position | None:
    return replace(position, name="", codes=frozenset(), line=0) if position else None
