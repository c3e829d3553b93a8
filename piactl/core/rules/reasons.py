"""Reasons for states and rights, as sentences. Reasons never decide anything."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from piactl.core.model.account import Right, ServiceException, State
from piactl.core.model.periods import OPEN, civil, holding
from piactl.core.model.person import Assignment, Register
from piactl.core.model.policy import Policy, Service
from piactl.core.rules.career import Career
from piactl.core.rules.posts import Post
from piactl.core.rules.service_rights_over_time import handed_over
from piactl.core.text import condition, counted

RightReason = tuple[str, Assignment | None, date, int]
"""Sentence, assignment, first day with or without the right, and line of the policy (0: none)."""


def assignment_text(assignment: Assignment) -> str:
    """`ENS at 0800009A from 2026-09-01 to 2027-08-31`."""
    end = f" to {assignment.end.isoformat()}" if assignment.end else ""
    return f"{assignment.function} at {assignment.uai} from {assignment.start.isoformat()}{end}"


def with_lock(assignment: Assignment) -> str:
    """The same, and whether an absence has left a lock of it."""
    return assignment_text(assignment) + (", its lock stays" if assignment.locks_until else "")


def exception_text(exception: ServiceException) -> str:
    """`grant of iprof from 2026-09-01 to 2026-12-31 (dupond: replaces a colleague)`."""
    kind = "grant" if exception.grants else "denial"
    where = f" at {exception.uai}" if exception.uai else ""
    period = f"from {exception.start} to {exception.end}"
    return f"{kind} of {exception.service}{where} {period} ({exception.by}: {exception.reason})"


def last_post(career: Career, as_of: date) -> Post | None:
    """The post with the latest end before the day."""
    number = as_of.toordinal()
    ended = [post for post in career.posts if post.last < number]
    return max(ended, key=lambda post: (post.last, post.first), default=None)


def state_reason(career: Career, as_of: date) -> tuple[str, Assignment | None]:
    """Why the account is in its state, and the assignment behind it."""
    state = career.state_on(as_of)
    posts = career.posts_behind(as_of)
    if state is State.ANTICIPATED:
        soonest = min(posts, key=lambda post: post.first)
        return f"{assignment_text(soonest.assignment)} begins soon", soonest.assignment
    if state is State.ACTIVE:
        return f"assigned: {assignment_text(posts[0].assignment)}", posts[0].assignment
    if state is State.ON_LEAVE:
        post = posts[0]
        return f"position {post.position.name}: {assignment_text(post.assignment)}", post.assignment
    last = last_post(career, as_of)
    if last is None:
        return "no assignment is left: the start was cancelled or moved", None
    ended = _day(last.last)
    if state is State.GRACE:
        until = _day(career.segment_on(as_of).last)
        return f"{assignment_text(last.assignment)} ended on {ended}; grace until {until}", last.assignment
    graces = [s.last for s in career.segments if s.state is State.GRACE and s.last < as_of.toordinal()]
    grace = max((g for g in graces if g >= last.last), default=last.last)
    return (
        f"the last assignment, {assignment_text(last.assignment)}, ended on {ended},"
        f" its grace on {_day(grace)}"
    ), last.assignment


def state_line(
    career: Career, assignments: Sequence[Assignment], as_of: date, policy: Policy, register: Register
) -> int:
    """The line of the policy that decides the state, 0 if there is none."""
    state, posts = career.state_on(as_of), career.posts_behind(as_of)
    if state is State.ON_LEAVE:
        return posts[0].position.line
    if state in (State.ACTIVE, State.ANTICIPATED):
        post = posts[0] if state is State.ACTIVE else min(posts, key=lambda post: post.first)
        return next((profile.line for profile in policy.profiles if profile.name == post.profile), 0)
    last = last_post(career, as_of)
    return grace_place(assignments, last, as_of, policy, register)[1] if last is not None else 0


def grace_place(
    assignments: Sequence[Assignment], last: Post, as_of: date, policy: Policy, register: Register
) -> tuple[str, int]:
    """The name and the line, in the policy, of the rule for the grace after a post: of an ending, of the
    position, or of the corps."""
    row = last.assignment
    for assignment in assignments:
        if policy.ends_all(assignment) and row.start < assignment.start <= as_of:
            row = assignment
    position = policy.position(row.position)
    if position is not None and position.grace is not None:
        return f"positions.{position.name}", position.line
    return "grace", next((g.line for g in policy.grace if g.when.fits(row, register)), 0)


def _day(number: int) -> str:
    day = civil(number)
    return day.isoformat() if day and number < OPEN else "an open end"


def grant_reason(career: Career, right: Right, as_of: date, policy: Policy) -> RightReason:
    """Why the account has a right on the day."""
    number = as_of.toordinal()
    period = holding(career.rights.get(right, []), number) or (number, number)
    since = civil(period[0]) or as_of
    service = policy.services.get(right[0])
    text, assignment = _giving(career, right[1], as_of, service)
    return text, assignment, since, service.line if service else 0


def _giving(career: Career, uai: str, as_of: date, service: Service | None) -> tuple[str, Assignment | None]:
    """What gives a service on the day, and the assignment behind it."""
    number = as_of.toordinal()
    for post in career.posts_on(as_of):
        if service is None or not post.has(service) or uai not in ("", post.assignment.uai):
            continue
        delay, text = post.delay(service), assignment_text(post.assignment)
        if number < post.first + delay:
            return f"kept during the delay of {counted(delay, 'day')} of {text}", post.assignment
        if delay:
            text += f", {counted(delay, 'day')} after the start" + (" of a mutation" if post.follows else "")
        return f"profile {post.profile}: {text}", post.assignment
    if career.state_on(as_of) is State.GRACE:
        return "lasts through the grace", None
    for post in career.posts:
        if service is not None and handed_over(post, service, uai, number):
            days = counted(service.handover, "day")
            text = f"handover of {days} after a mutation: {assignment_text(post.assignment)} is over"
            return text, post.assignment
    return "an exception", None


def revoke_reason(
    career: Career, right: Right, as_of: date, policy: Policy, register: Register, *, same_assignments: bool
) -> RightReason:
    """Why the account does not have a right on the day. `same_assignments`: it had the right with the same
    assignments, so that another policy takes it."""
    number = as_of.toordinal()
    ended = [last for _, last in career.rights.get(right, []) if last < number]
    since = civil(max(ended) + 1) if ended else None
    service = policy.services.get(right[0])
    state = career.state_on(as_of)
    if service is None:
        return "the policy no longer has this service", None, as_of, 0
    if state not in (State.ACTIVE, State.ON_LEAVE):
        text, assignment = state_reason(career, as_of)
        if state is State.GRACE and not service.in_grace:
            return f"not kept in the grace: {text}", assignment, since or as_of, service.line
        rows = [post.assignment for post in career.posts]
        return text, assignment, since or as_of, state_line(career, rows, as_of, policy, register)
    for post in career.posts_on(as_of):
        if not post.has(service) or (right[1] and post.assignment.uai != right[1]):
            continue
        if not post.position.keeps_service(service.name):
            text = f"position {post.position.name} does not keep it: {assignment_text(post.assignment)}"
            return text, post.assignment, since or as_of, post.position.line
        begins = post.first + post.delay(service)
        if number < begins:
            text = f"the delay of {counted(post.delay(service), 'day')} runs until {_day(begins - 1)}"
            text = f"{text}: {assignment_text(post.assignment)}"
            return text, post.assignment, since or as_of, service.line
    over = _ended_with(career, right, ended)
    if over is None or since is None:
        text, behind, line = _not_given(career, right[1], as_of, service)
        if same_assignments and behind is not None:
            text = f"the policy no longer gives it: {text}"
        return text, behind, since or as_of, line
    text = f"{assignment_text(over.assignment)} is over"
    if over.last < max(ended):
        text += f", and the handover of {counted(service.handover, 'day')} after it"
    return text, over.assignment, since, service.line


def _not_given(career: Career, uai: str, as_of: date, service: Service) -> tuple[str, Assignment | None, int]:
    """Why no assignment of the day gives a service, the assignment that comes nearest, and the line."""
    posts = [post for post in career.posts_on(as_of) if uai in ("", post.assignment.uai)]
    if not posts:
        return "no assignment of today gives it", None, service.line
    post = next((post for post in posts if service.serves(post.profile)), posts[0])
    text, line = f"profile {post.profile} does not have it", service.line
    if service.serves(post.profile):
        text = f"profile {post.profile} has it only where {condition(service.when.conditions)}"
        line = service.when.line
    return f"{text} ({assignment_text(post.assignment)})", post.assignment, line


def _ended_with(career: Career, right: Right, ended: list[int]) -> Post | None:
    """The post whose end, or handover, ended a right."""
    candidates = [
        post
        for post in career.posts
        if ended and post.last <= max(ended) and right[1] in ("", post.assignment.uai)
    ]
    return max(candidates, key=lambda post: post.last, default=None)
