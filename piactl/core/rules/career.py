"""The career of a person under the policy: posts, states, locks, login and rights, for any day.

From it follow the status of the account on one day, and the events that a change causes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import NamedTuple

from piactl.core.model.account import Account, Lock, Right, ServiceException, State, right_text
from piactl.core.model.establishment import Register
from piactl.core.model.overrides import Override, closings, next_end, overridden, running
from piactl.core.model.periods import OPEN, Period, civil, difference, holding, ordinal
from piactl.core.model.person import Assignment
from piactl.core.model.policy import Policy, Service
from piactl.core.rules.lifecycle import (
    BEGINNING,
    Ending,
    Post,
    Segment,
    endings_of,
    lock_periods,
    login_periods,
    posts_of,
    state_segments,
)
from piactl.core.rules.rights_over_time import Ground, giving_grounds, right_by, rights_of
from piactl.phrase import Phrase

_MOST_KEPT = 20_000
"""The most careers that are kept for a policy, some 3 KiB each."""


@dataclass(frozen=True, slots=True)
class Career:
    """Posts, endings, states, locks by position, login and rights over time. Built by `career_of`.
    `next_changes` keeps the answers of `next_change`."""

    posts: tuple[Post, ...]
    segments: tuple[Segment, ...]
    locked: tuple[Period, ...]
    login: tuple[Period, ...]
    rights: dict[Right, list[Period]]
    open_before: int
    endings: tuple[Ending, ...] = ()
    exceptions: tuple[ServiceException, ...] = ()
    next_changes: dict[date, date | None] = field(default_factory=dict, repr=False, compare=False)

    def segment_on(self, day: date) -> Segment:
        number = day.toordinal()
        for segment in self.segments:
            if segment.first <= number <= segment.last:
                return segment
        raise AssertionError("segments cover all days")

    def state_on(self, day: date) -> State:
        return self.segment_on(day).state

    def rights_on(self, day: date) -> frozenset[Right]:
        number = day.toordinal()
        return frozenset(right for right, periods in self.rights.items() if holding(periods, number))

    def locked_on(self, day: date) -> bool:
        return holding(self.locked, day.toordinal()) is not None

    def login_on(self, day: date) -> bool:
        return holding(self.login, day.toordinal()) is not None

    def posts_on(self, day: date) -> list[Post]:
        """The posts that count on the day, latest start first."""
        number = day.toordinal()
        return [post for post in reversed(self.posts) if holding(post.counts, number)]

    def posts_behind(self, day: date) -> list[Post]:
        """The posts that determine the account on the day: those that count; in grace those of the last day;
        while anticipated those about to start; else none."""
        segment = self.segment_on(day)
        if segment.state is State.GRACE:
            return self.posts_on(date.fromordinal(segment.first - 1))
        if segment.state is State.ANTICIPATED:
            number = day.toordinal()
            return [post for post in self.posts if number < post.first <= number + self.open_before]
        return self.posts_on(day)

    def posts_for(self, right: Right, service: Service) -> list[Post]:
        """The posts with the service that count for a right, in order of start."""
        return [p for p in self.posts if service.name in p.services and right_by(p, service) == right]

    def giving(self, right: Right, service: Service | None) -> list[Ground]:
        """What gives a right, before denials; see `giving_grounds`."""
        posts = self.posts_for(right, service) if service is not None else []
        return giving_grounds(right, posts, self.segments, service, self.exceptions)

    def ending_before(self, day: date) -> Ending | None:
        """The position in the HR data that ended all posts before the day, if the last of them had begun."""
        number = day.toordinal()
        begun = max((post.first for post in self.posts if post.first <= number), default=0)
        past = [e for e in self.endings if e.assignment is not None and begun < e.day <= number]
        return past[-1] if past else None

    def profiles_on(self, day: date) -> tuple[str, ...]:
        return tuple(sorted({post.profile for post in self.posts_behind(day) if post.profile}))

    def next_change(self, day: date) -> date | None:
        """The next day on which state, rights, locks, login or counting posts change by date alone."""
        if day not in self.next_changes:
            groups = [self.locked, self.login, *self.rights.values(), *(post.counts for post in self.posts)]
            edges = {edge for periods in groups for first, last in periods for edge in (first, last + 1)}
            edges.update(segment.first for segment in self.segments)
            edges.update(post.first - self.open_before for post in self.posts)
            ahead = (civil(edge) for edge in sorted(edges) if edge > day.toordinal())
            now = self._facts_on(day)
            changes = (then for then in ahead if then is not None and self._facts_on(then) != now)
            self.next_changes[day] = next(changes, None)
        return self.next_changes[day]

    def _facts_on(self, day: date) -> tuple[object, ...]:
        return (
            self.state_on(day),
            self.rights_on(day),
            self.locked_on(day),
            self.login_on(day),
            tuple(id(post) for post in self.posts_behind(day)),
        )


def career_of(
    assignments: Sequence[Assignment],
    policy: Policy,
    register: Register,
    *,
    exceptions: Sequence[ServiceException] = (),
    closed_on: date | None = None,
    closings: Sequence[tuple[date, int]] = (),
) -> Career:
    """The career of these assignments of one person under a policy.

    `closed_on` is the day the account was found without assignments; its retention starts on it. `exceptions`
    apply last. An assignment without a matching profile has no service, and one in an unknown position keeps
    none; callers report both first. `closings` are closures by hand: first closed day and days of grace.
    """
    if len(assignments) == 1 and assignments[0].uai and not (exceptions or closings):
        return _of_one(assignments[0], policy, register, closed_on)
    return _career(assignments, policy, register, exceptions, closed_on, closings)


def _of_one(assignment: Assignment, policy: Policy, register: Register, closed_on: date | None) -> Career:
    """The career of one assignment. Most people have one, and few of these differ in more than the
    establishment, so careers are kept by days, position, profile, services and grace."""
    profile, services = policy.given_by(assignment, register)
    key = (
        *(assignment.start, assignment.end, assignment.position, assignment.locks_until, closed_on),
        *(profile.name if profile else None, services, policy.grace_of(assignment, register)[0]),
    )
    career: Career | None = policy.careers.get(key)
    if career is None:
        if len(policy.careers) >= _MOST_KEPT:
            policy.careers.clear()
        made = policy.careers[key] = _career((assignment,), policy, register, closed_on=closed_on)
        return made
    uai = assignment.uai
    return Career(
        posts=tuple(replace(post, assignment=assignment) for post in career.posts),
        segments=career.segments,
        locked=career.locked,
        login=career.login,
        rights={(service, place and uai): periods for (service, place), periods in career.rights.items()},
        open_before=career.open_before,
        endings=tuple(ending._replace(assignment=assignment) for ending in career.endings),
        next_changes=career.next_changes,
    )


def _career(
    assignments: Sequence[Assignment],
    policy: Policy,
    register: Register,
    exceptions: Sequence[ServiceException] = (),
    closed_on: date | None = None,
    closings: Sequence[tuple[date, int]] = (),
) -> Career:
    endings = endings_of(assignments, policy, register, closings)
    posts = posts_of(assignments, endings, policy, register)
    segments = state_segments(posts, endings, policy, None if closed_on is None else ordinal(closed_on))
    locked = lock_periods(posts, endings, assignments)
    return Career(
        posts=tuple(posts),
        segments=tuple(segments),
        locked=tuple(locked),
        login=tuple(login_periods(posts, segments, locked)),
        rights=rights_of(posts, segments, policy, exceptions),
        open_before=policy.open_before,
        endings=tuple(endings),
        exceptions=tuple(exceptions),
    )


def career_on(account: Account, policy: Policy, register: Register, day: date) -> Career:
    """The career of an account with the overrides of the day."""
    closed_on = account.state_from if account.state is State.DEACTIVATED else None
    return career_of(
        overridden(account.assignments, account.overrides, day),
        policy,
        register,
        exceptions=account.exceptions,
        closed_on=closed_on or day,
        closings=closings(account.overrides, day),
    )


def careers_from(
    account: Account, policy: Policy, register: Register, day: date
) -> list[tuple[Period, Career]]:
    """The careers of an account as known on the day, each with the days on which it applies: after the last
    day of each override the HR data apply again."""
    ends = sorted({override.until + timedelta(days=1) for override in running(account.overrides, day)})
    starts = [BEGINNING, *(end.toordinal() for end in ends)]
    lasts = [*(start - 1 for start in starts[1:]), OPEN]
    return [
        (days, career_on(account, policy, register, known))
        for days, known in zip(zip(starts, lasts, strict=True), [day, *ends], strict=True)
    ]


NEVER = date(1970, 1, 1)
"""The last login day of an account that never had a login window."""


class AccountStatus(NamedTuple):
    """The fields of an account that the rules derive from the date; see `Account`."""

    state: State
    state_from: date | None
    state_until: date | None
    locked: bool
    login_from: date | None
    login_until: date | None
    next_due: date | None
    profiles: tuple[str, ...]
    local_profiles: tuple[str, ...]
    establishments: tuple[str, ...]
    corps: tuple[str, ...]
    ends: tuple[date, ...]
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
    behind = career.posts_behind(as_of)
    posts = [post.assignment for post in behind]
    ends = {civil(post.last) for post in behind}
    # the main one first: modality principale, else the latest start
    main = next((a.uai for a in posts if a.modality == "principale"), posts[0].uai if posts else "")
    return AccountStatus(
        state=segment.state,
        state_from=closed_on if segment.first == BEGINNING else civil(segment.first),
        state_until=civil(segment.last),
        locked=career.locked_on(as_of) or (lock is not None and lock.covers(as_of)),
        login_from=login_from,
        login_until=login_until,
        next_due=_next_due(career, as_of, lock, exceptions, overrides),
        profiles=tuple(sorted({post.profile for post in behind if post.profile})),
        local_profiles=tuple(
            sorted({local_profile(p.assignment.uai, p.profile) for p in behind if p.profile})
        ),
        establishments=(main, *sorted({a.uai for a in posts} - {main})) if posts else (),
        corps=tuple(sorted({assignment.corps for assignment in posts if assignment.corps})),
        ends=tuple(sorted(day for day in ends if day is not None)),
        entitlements=career.rights_on(as_of),
    )


def local_profile(uai: str, profile: str) -> str:
    """A profile at one establishment, as accounts and the names of groups use it."""
    return f"{uai}_{profile}"


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


def outlook(
    before: Career | None, after: Career, as_of: date, overridden_until: date
) -> list[tuple[date, str]]:
    """(day, sentence) of the events after `as_of` that are in `after` but not in `before`, in order of days.

    Nothing is archived up to `overridden_until`: an override has an end.
    """
    known = set(_events(before, as_of)) if before else set()
    ahead = {event for event in _events(after, as_of) if event not in known}
    return sorted(e for e in ahead if e[1] != _ARCHIVED or e[0] > overridden_until)


_ARCHIVED = Phrase("state {state}", state=State.ARCHIVED.words)


def _events(career: Career, as_of: date) -> Iterator[tuple[date, str]]:
    today = as_of.toordinal()
    for segment in career.segments:
        if today < segment.first < OPEN:
            yield date.fromordinal(segment.first), Phrase("state {state}", state=segment.state.words)
    for right, periods in career.rights.items():
        for first, last in periods:
            if today < first < OPEN:
                yield date.fromordinal(first), Phrase("gets {right}", right=right_text(right))
            if today <= last < OPEN and not holding(periods, last + 1):
                yield date.fromordinal(last + 1), Phrase("loses {right}", right=right_text(right))
