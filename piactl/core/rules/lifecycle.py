"""Posts, and the state of an account over time, from its posts alone: on which days an assignment counts,
whether it continues another or is a mutation, and the days of states, locks and log in.

Days are ordinals (see `model.periods`). Segments are sorted and disjoint, and cover all days from `BEGINNING`
to `OPEN`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import NamedTuple

from piactl.core.model.account import State
from piactl.core.model.establishment import Register
from piactl.core.model.periods import OPEN, Period, difference, intersection, ordinal, union
from piactl.core.model.person import Assignment
from piactl.core.model.policy import Policy, Position, Service

UNKNOWN_POSITION = Position("", keeps=frozenset())


@dataclass(slots=True)
class Post:
    """An assignment as the rules see it: cut at endings, with the posts that it continues or follows. `grace`
    is in days, before any ending changes it. `services` are those that the policy gives it."""

    assignment: Assignment
    first: int
    last: int
    profile: str
    position: Position
    grace: int
    counts: list[Period] = field(default_factory=list)
    continues: list[Post] = field(default_factory=list)
    follows: bool = False
    followed: bool = False
    services: frozenset[str] = frozenset()

    def delay(self, service: Service) -> int:
        """Days from the start of this post until it gives the right."""
        if any(service.name in post.services for post in self.continues):
            return 0
        return service.mutation_delay if self.follows else service.grant_delay


class Ending(NamedTuple):
    """Ends all assignments on the day before: retirement, death, striking off, or a closure by hand.
    `assignment` is the row of HR and `position` the name of its position, None and "" for a closure."""

    day: int
    grace: int
    lock: bool
    assignment: Assignment | None = None
    position: str = ""


def endings_of(
    assignments: Iterable[Assignment],
    policy: Policy,
    register: Register,
    closings: Iterable[tuple[date, int]] = (),
) -> list[Ending]:
    """The endings in order of days. `closings` are closures by hand: first closed day and days of grace."""
    result = [Ending(day.toordinal(), grace, lock=False) for day, grace in closings]
    for assignment in assignments:
        position = policy.position(assignment.position)
        if position is not None and position.ends:
            grace = policy.grace_of(assignment, register)[0]
            day = assignment.start.toordinal()
            result.append(Ending(day, grace, position.lock, assignment, position.name))
    # of two on one day (a retirement and a death) the one with the shorter grace wins
    return sorted(result, key=lambda ending: (ending.day, -ending.grace))


def posts_of(
    assignments: Sequence[Assignment], endings: Sequence[Ending], policy: Policy, register: Register
) -> list[Post]:
    """The assignments that are not endings, as posts, in order of start."""
    posts = []
    for assignment in assignments:
        position = policy.position(assignment.position) or UNKNOWN_POSITION
        if position.ends:
            continue
        first, last = assignment.start.toordinal(), ordinal(assignment.end)
        last = min([last, *(ending.day - 1 for ending in endings if ending.day >= first)])
        if last < first:
            continue
        profile, services = policy.given_by(assignment, register)
        name, grace = profile.name if profile else "", policy.grace_of(assignment, register)[0]
        posts.append(Post(assignment, first, last, name, position, grace, services=services))
    posts.sort(
        key=lambda post: (post.first, post.assignment.uai, post.assignment.function, post.assignment.source)
    )
    for post in posts:
        _place(post, posts, policy.bridge)
    if policy.supplements:
        _leave_to(policy.supplements, posts)
    return posts


def _leave_to(supplements: Collection[str], posts: Sequence[Post]) -> None:
    """Takes from the posts of supplements, which know no leave, the days on which the person is on leave from
    every post of the other sources."""
    others = [post for post in posts if post.assignment.source not in supplements]
    at_work = union(period for post in others if post.position.keeps_all for period in post.counts)
    listed = union(period for post in others for period in post.counts)
    on_leave = difference(listed, at_work)
    for post in posts if on_leave else ():
        if post.assignment.source in supplements:
            post.counts = difference(post.counts, on_leave)


def _place(post: Post, posts: Sequence[Post], bridge: int) -> None:
    later = []
    for other in posts:
        if other is post:
            continue
        here = other.assignment.uai == post.assignment.uai
        if here and other.assignment.function == post.assignment.function and other.first > post.first:
            later.append((other.first, other.last))
        if here and other.first < post.first and other.last >= post.first - 1:
            post.continues.append(other)
    post.counts = difference([(post.first, post.last)], later)
    if post.continues:
        return
    for other in posts:
        if (
            other.assignment.uai != post.assignment.uai
            and other.last < OPEN
            and other.first < post.first
            and post.first - other.last <= bridge
            and post.last > other.last
        ):
            post.follows = True
            other.followed = True


BEGINNING = 1


class Segment(NamedTuple):
    """A state from `first` to `last`, both included, as ordinals. `by` is the place, among the posts and then
    the endings, of what gave the grace of the days after posts; -1 on other days."""

    first: int
    last: int
    state: State
    by: int = -1


def state_segments(
    posts: Sequence[Post], endings: Sequence[Ending], policy: Policy, closed_on: int | None
) -> list[Segment]:
    """The segments. `closed_on` is the day the account was found without posts; the retention starts on
    it."""
    assigned = union((post.first, post.last) for post in posts)
    active = union(period for post in posts if post.position.keeps_all for period in post.counts)
    segments: list[Segment] = []
    begin = BEGINNING
    ended = -1
    graces = _Graces(posts, endings)
    for first, last in assigned:
        segments += _gap(begin, first - 1, first, ended, graces, policy, closed_on)
        inside = [Segment(a, b, State.ACTIVE) for a, b in intersection(active, [(first, last)])]
        inside += [Segment(a, b, State.ON_LEAVE) for a, b in difference([(first, last)], active)]
        segments += sorted(inside, key=lambda segment: segment.first)
        begin, ended = last + 1, last
    if begin <= OPEN:
        segments += _gap(begin, OPEN, None, ended, graces, policy, closed_on)
    return segments


def _gap(
    first: int,
    last: int,
    start: int | None,
    ended: int,
    graces: _Graces,
    policy: Policy,
    closed_on: int | None,
) -> list[Segment]:
    """The segments of the days first..last without post, before `start` (None: no later post) and after
    `ended` (-1: no earlier post)."""
    result = []
    closed = closed_on if closed_on is not None else BEGINNING
    by = -1
    if ended >= 0:
        grace, by = graces.until(first, last, ended)
        grace = min(last, grace)
        closed = max(grace, ended)
        if grace >= first:
            result.append(Segment(first, grace, State.GRACE, by))
            first = grace + 1
    if first > last:
        return result
    if start is not None:
        near = max(first, start - policy.open_before)
        pieces = [Segment(first, near - 1, State.DEACTIVATED, by), Segment(near, last, State.ANTICIPATED)]
    elif ended < 0 and closed_on is None:
        pieces = [Segment(first, last, State.DEACTIVATED)]
    else:
        until = max(first - 1, closed + policy.retention)
        pieces = [Segment(first, until, State.DEACTIVATED, by), Segment(until + 1, last, State.ARCHIVED, by)]
    return result + [piece for piece in pieces if piece.first <= piece.last]


class _Graces:
    """The last day of grace in each gap between posts. Call `until` for the gaps in order.

    The grace belongs to the person: an ending while the account is open replaces the graces of all earlier
    posts. A later ending gives no grace.
    """

    def __init__(self, posts: Sequence[Post], endings: Sequence[Ending]) -> None:
        self._posts, self._endings = posts, endings
        self._open = [False] * len(endings)

    def until(self, first: int, last: int, ended: int) -> tuple[int, int]:
        """The last day of grace in the gap first..last after a post that ended on `ended`, and what gave it
        (see `Segment.by`)."""
        ended_posts = ((place, post) for place, post in enumerate(self._posts) if post.last <= ended)
        (until, _, _), by = max(self._own(place, post, first) for place, post in ended_posts)
        for index, ending in enumerate(self._endings):
            if not first <= ending.day <= last:
                continue
            self._open[index] = ending.day - 1 <= max(until, ended)
            if self._open[index]:
                until, by = max(ending.day - 1, ended + ending.grace), len(self._posts) + index
        return until, by

    def _own(self, place: int, post: Post, first: int) -> tuple[tuple[int, int, int], int]:
        """The last day of grace of one post, after the endings before `first`, and what gave it. Of several
        with the same last day the post that ended last counts."""
        reached = [i for i, e in enumerate(self._endings) if post.first < e.day < first]
        if not reached:
            return (post.last + post.grace, post.last, place), place
        latest = reached[-1]
        until = post.last + self._endings[latest].grace if self._open[latest] else post.last
        return (until, post.last, place), len(self._posts) + latest


def lock_periods(
    posts: Sequence[Post], endings: Sequence[Ending], assignments: Sequence[Assignment] = ()
) -> list[Period]:
    """The days locked by a position: while its post counts, from an ending until a return, or after an
    absence that ended its post."""
    periods = [period for post in posts if post.position.lock for period in post.counts]
    periods += [
        (assignment.end.toordinal() + 1, _last_day(assignment.locks_until))
        for assignment in assignments
        if assignment.locks_until is not None and assignment.end is not None
    ]
    for ending in endings:
        if ending.lock:
            returns = [post.first for post in posts if post.first > ending.day]
            periods.append((ending.day, min(returns) - 1 if returns else OPEN))
    return union(periods)


def _last_day(locks_until: date) -> int:
    return OPEN if locks_until == date.max else locks_until.toordinal()


def login_periods(
    posts: Sequence[Post], segments: Sequence[Segment], locked: Sequence[Period]
) -> list[Period]:
    """The days on which the rules allow login, before an administrator's lock."""
    opening = union(
        period
        for post in posts
        if post.position.keeps_all or post.position.allows_login
        for period in post.counts
    )
    allowed = union(
        [(s.first, s.last) for s in segments if s.state is State.ACTIVE]
        + intersection(opening, [(s.first, s.last) for s in segments if s.state is State.ON_LEAVE])
    )
    allowed = difference(allowed, locked)
    graces = [
        (s.first, s.last)
        for s in segments
        if s.state is State.GRACE and any(a <= s.first - 1 <= b for a, b in allowed)
    ]
    return difference(allowed + graces, locked)
