"""The timeline of an account as rows of periods: posts, states, login, locks, services, changes by hand.

The periods come from careers, which apply the rules; this module only sorts them by cause.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from piactl.core.model.account import Account, Right, State
from piactl.core.model.overrides import override_text
from piactl.core.model.periods import Period, difference, intersection, ordinal, union
from piactl.core.model.person import Assignment, by_start
from piactl.core.model.policy import Policy
from piactl.core.rules.career import Career
from piactl.core.rules.lifecycle import BEGINNING, Post
from piactl.core.rules.reasons import assignment_text, exception_text, with_lock_left
from piactl.core.rules.rights_over_time import (
    GRANT,
    HANDOVER,
    IN_GRACE,
    KEPT,
    PROFILE,
    denials,
    right_by,
    waiting_periods,
)
from piactl.phrase import Phrase, joined

_ALIVE = (State.ACTIVE, State.ON_LEAVE, State.ANTICIPATED)


class Shade(Enum):
    """The cause of a period.

    An assignment counts, keeps only some rights, is not counted, or ends all others. A right is held by a
    post, kept during a delay, after a mutation or in grace, or granted by an exception; or it is delayed or
    denied. Each state has a shade.
    """

    COUNTS = Phrase("counts")
    LEAVE = Phrase("leave")
    UNCOUNTED = Phrase("not counted")
    ENDING = Phrase("ends all")
    ACTIVE = Phrase("active")
    ON_LEAVE = Phrase("on-leave")
    GRACE = Phrase("grace")
    ANTICIPATED = Phrase("anticipated")
    DEACTIVATED = Phrase("deactivated")
    ARCHIVED = Phrase("archived")
    LOGIN = Phrase("log in")
    LOCK = Phrase("locked")
    HELD = Phrase("held")
    KEPT = Phrase("kept")
    HANDOVER = Phrase("handover")
    IN_GRACE = Phrase("in grace")
    GRANTED = Phrase("granted")
    WAITING = Phrase("waiting")
    DENIED = Phrase("denied")
    GRANT = Phrase("grant")
    DENIAL = Phrase("denial")
    OVERRIDE = Phrase("by hand")


class RowGroup(Enum):
    """The groups of rows, in order; the values appear in JSON."""

    ASSIGNMENTS = Phrase("assignments")
    STATES = Phrase("states")
    LOGIN = Phrase("login")
    LOCKS = Phrase("locks")
    SERVICES = Phrase("services")
    EXCEPTIONS = Phrase("exceptions")
    OVERRIDES = Phrase("overrides")


class Span(NamedTuple):
    """Days `first` to `last`, both included, as ordinals (see `model.periods`)."""

    first: int
    last: int
    shade: Shade


@dataclass(slots=True)
class Row:
    """One row of the timeline: a short `label`, details in `note`."""

    group: RowGroup
    label: str
    note: str = ""
    spans: list[Span] = field(default_factory=list)


Piece = tuple[Period, Career]
"""Days, and the career that applies on them. The end of a change by hand starts another piece."""


def timeline_rows(account: Account, pieces: Sequence[Piece], policy: Policy) -> list[Row]:
    """The rows of an account by group, without rows that have no day."""
    rows = [
        *_assignment_rows(account, pieces, policy),
        *_state_rows(pieces),
        _login_row(account, pieces),
        *_lock_rows(account, pieces),
        *_service_rows(pieces, policy),
        *_manual_rows(account),
    ]
    for row in rows:
        row.spans = _merged(row.spans)
    return [row for row in rows if row.spans]


def _spans(periods: Iterable[Period], inside: Period, shade: Shade) -> list[Span]:
    return [Span(first, last, shade) for first, last in intersection(periods, [inside])]


def _merged(spans: Iterable[Span]) -> list[Span]:
    by_shade: dict[Shade, list[Period]] = {}
    for span in spans:
        by_shade.setdefault(span.shade, []).append((span.first, span.last))
    merged = [Span(*period, shade) for shade, periods in by_shade.items() for period in union(periods)]
    return sorted(merged, key=lambda span: (span.first, span.last))


def _assignment_rows(account: Account, pieces: Sequence[Piece], policy: Policy) -> Iterable[Row]:
    for assignment in sorted(account.assignments, key=by_start):
        note = with_lock_left(assignment_text(assignment), assignment)
        if assignment.position:
            note = Phrase("{post}, position {position}", post=note, position=assignment.position)
        row = Row(RowGroup.ASSIGNMENTS, f"{assignment.function} {assignment.uai}", note)
        for inside, career in pieces:
            row.spans += _assigned(assignment, career, policy, inside)
        yield row


def _assigned(assignment: Assignment, career: Career, policy: Policy, inside: Period) -> list[Span]:
    post = next((post for post in career.posts if _is_of(post, assignment)), None)
    days = [(assignment.start.toordinal(), ordinal(assignment.end))]
    if post is None:
        return _spans(days, inside, Shade.ENDING if policy.ends_all(assignment) else Shade.UNCOUNTED)
    shade = Shade.COUNTS if post.position.keeps_all else Shade.LEAVE
    rest = difference(days, post.counts)
    return _spans(post.counts, inside, shade) + _spans(rest, inside, Shade.UNCOUNTED)


def _is_of(post: Post, assignment: Assignment) -> bool:
    return post.assignment.key == assignment.key and post.assignment.source == assignment.source


def _state_rows(pieces: Sequence[Piece]) -> Iterable[Row]:
    """One row per state. The days before the first post have no state, because there was no account."""
    for state in State:
        row = Row(RowGroup.STATES, state.words)
        for inside, career in pieces:
            born = min((segment.first for segment in career.segments if segment.state in _ALIVE), default=0)
            days = [(s.first, s.last) for s in career.segments if s.state is state and s.last >= born]
            row.spans += _spans(days, inside, Shade(state.value))
        yield row


def _lock_periods(account: Account) -> list[Period]:
    lock = account.lock
    if lock is None:
        return []
    return [(lock.since.toordinal() if lock.known_since else BEGINNING, ordinal(lock.until))]


def _login_row(account: Account, pieces: Sequence[Piece]) -> Row:
    row = Row(RowGroup.LOGIN, Phrase("log in"))
    for inside, career in pieces:
        row.spans += _spans(difference(career.login, _lock_periods(account)), inside, Shade.LOGIN)
    return row


def _lock_rows(account: Account, pieces: Sequence[Piece]) -> Iterable[Row]:
    position = Row(RowGroup.LOCKS, Phrase("by position"), Phrase("locked by an administrative position"))
    for inside, career in pieces:
        position.spans += _spans(career.locked, inside, Shade.LOCK)
    yield position
    if account.lock is not None:
        note = joined([account.lock.by, account.lock.why], "{first}: {second}")
        by_hand = Row(RowGroup.LOCKS, Phrase("by hand"), note)
        by_hand.spans = [Span(first, last, Shade.LOCK) for first, last in _lock_periods(account)]
        yield by_hand


def _service_rows(pieces: Sequence[Piece], policy: Policy) -> Iterable[Row]:
    rows: dict[Right, Row] = {}
    for inside, career in pieces:
        by_posts = [
            right_by(post, policy.services[name]) for post in career.posts for name in sorted(post.services)
        ]
        for right in dict.fromkeys([*by_posts, *career.rights]):
            label = right[0] + (f" {right[1]}" if right[1] else "")
            service = policy.services.get(right[0])
            row = rows.setdefault(right, Row(RowGroup.SERVICES, label, service.label if service else ""))
            row.spans += _right_spans(right, career, policy, inside)
    order = list(policy.services)
    yield from (
        rows[right]
        for right in sorted(
            rows, key=lambda r: (bool(r[1]), r[1], order.index(r[0]) if r[0] in order else -1)
        )
    )


_SHADES = {
    PROFILE: Shade.HELD,
    HANDOVER: Shade.HANDOVER,
    KEPT: Shade.KEPT,
    IN_GRACE: Shade.IN_GRACE,
    GRANT: Shade.GRANTED,
}


def _right_spans(right: Right, career: Career, policy: Policy, inside: Period) -> list[Span]:
    """The days of a right, each with the reason of that day; and those on which it is denied or delayed."""
    service = policy.services.get(right[0])
    giving = career.giving(right, service)
    given = union((ground.first, ground.last) for ground in giving)
    denied = intersection(
        given, [(denial.first, denial.last) for denial in denials(right, career.exceptions)]
    )
    spans, rest = _spans(denied, inside, Shade.DENIED), difference(given, denied)
    for ground in giving:
        days = [(ground.first, ground.last)]
        spans += _spans(intersection(rest, days), inside, _SHADES[ground.code])
        rest = difference(rest, days)
    if service is not None:
        waits = [days for p in career.posts_for(right, service) for days in waiting_periods(p, service)]
        spans += _spans(difference(waits, given), inside, Shade.WAITING)
    return spans


def _manual_rows(account: Account) -> Iterable[Row]:
    for exception in sorted(account.exceptions, key=lambda e: (e.start, e.service, e.uai)):
        right = " ".join(filter(None, [exception.service, exception.uai]))
        label = (
            Phrase("grant {right}", right=right) if exception.grants else Phrase("deny {right}", right=right)
        )
        shade = Shade.GRANT if exception.grants else Shade.DENIAL
        span = Span(exception.start.toordinal(), exception.end.toordinal(), shade)
        yield Row(RowGroup.EXCEPTIONS, label, exception_text(exception), [span])
    for override in sorted(account.overrides, key=lambda p: (p.made, p.kind.value)):
        span = Span(override.made.toordinal(), override.until.toordinal(), Shade.OVERRIDE)
        yield Row(
            RowGroup.OVERRIDES,
            " ".join(filter(None, [override.kind.value, override.uai])),
            override_text(override),
            [span],
        )
