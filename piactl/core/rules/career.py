"""The career of a person: posts, states, locks, login and rights under the policy, for any day."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from piactl.core.model.account import Right, ServiceException, State
from piactl.core.model.assignment import Assignment
from piactl.core.model.periods import Period, civil, holding, ordinal
from piactl.core.model.person import Register
from piactl.core.model.policy import Policy
from piactl.core.rules.entitlements import rights_of, with_exceptions
from piactl.core.rules.lifecycle import Segment, lock_periods, login_periods, state_segments
from piactl.core.rules.mobility import Post, endings_of, posts_of


@dataclass(frozen=True, slots=True)
class Career:
    """Posts, states, locks by position, login and rights over time. Built by `career`."""

    posts: tuple[Post, ...]
    segments: tuple[Segment, ...]
    locked: tuple[Period, ...]
    login: tuple[Period, ...]
    rights: dict[Right, list[Period]]
    open_before: int

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

    def counting_on(self, day: date) -> tuple[Assignment, ...]:
        return tuple(post.assignment for post in self.posts_on(day))

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

    def profiles_on(self, day: date) -> tuple[str, ...]:
        return tuple(sorted({post.profile for post in self.posts_behind(day) if post.profile}))

    def next_change(self, day: date) -> date | None:
        """The next day on which state, rights, locks, login or counting posts change by date alone."""
        number = day.toordinal()
        ahead = sorted({b for b in self._boundaries() if b > number})
        now = self._facts_on(number)
        for boundary in ahead:
            moment = civil(boundary)
            if moment is not None and self._facts_on(boundary) != now:
                return moment
        return None

    def _boundaries(self) -> Iterable[int]:
        for segment in self.segments:
            yield segment.first
        groups = [self.locked, self.login, *self.rights.values(), *(post.counts for post in self.posts)]
        for periods in groups:
            for first, last in periods:
                yield first
                yield last + 1
        for post in self.posts:
            yield post.first - self.open_before

    def _facts_on(self, number: int) -> tuple[object, ...]:
        day = date.fromordinal(number)
        return (
            self.state_on(day),
            self.rights_on(day),
            self.locked_on(day),
            self.login_on(day),
            tuple(id(post) for post in self.posts_behind(day)),
        )


def career(
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
    endings = endings_of(assignments, policy, register, closings)
    posts = posts_of(assignments, endings, policy, register)
    segments = state_segments(posts, endings, policy, None if closed_on is None else ordinal(closed_on))
    locked = lock_periods(posts, endings)
    rights = rights_of(posts, segments, policy)
    if exceptions:
        rights = with_exceptions(rights, exceptions, segments)
    return Career(
        posts=tuple(posts),
        segments=tuple(segments),
        locked=tuple(locked),
        login=tuple(login_periods(posts, segments, locked)),
        rights=rights,
        open_before=policy.open_before,
    )
