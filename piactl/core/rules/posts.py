"""Posts: on which days an assignment counts, and whether it continues another or is a mutation.

Days are ordinals (see `model.periods`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import NamedTuple

from piactl.core.model.periods import OPEN, Period, difference, ordinal, union
from piactl.core.model.person import Assignment, Register
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
            grace = policy.grace_days(assignment, register)
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
        name, grace = profile.name if profile else "", policy.grace_days(assignment, register)
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
