"""Reasons for states and rights, as sentences. Reasons never decide anything."""

from __future__ import annotations

from datetime import date

from piactl.core.model.account import Right, ServiceException, State
from piactl.core.model.periods import OPEN, civil, holding
from piactl.core.model.person import Assignment
from piactl.core.model.policy import Policy
from piactl.core.rules.career import Career
from piactl.core.rules.posts import Post


def assignment_text(assignment: Assignment) -> str:
    """`ENS at 0800009A from 2026-09-01 to 2027-08-31`."""
    end = f" to {assignment.end.isoformat()}" if assignment.end else ""
    return f"{assignment.function} at {assignment.uai} from {assignment.start.isoformat()}{end}"


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
    last = last_post(career, as_of)
    if state is State.ANTICIPATED:
        soonest = min(posts, key=lambda post: post.first)
        return f"{assignment_text(soonest.assignment)} begins soon", soonest.assignment
    if state is State.ACTIVE:
        return f"assigned: {assignment_text(posts[0].assignment)}", posts[0].assignment
    if state is State.ON_LEAVE:
        return f"position {posts[0].position.name}: {assignment_text(posts[0].assignment)}", posts[
            0
        ].assignment
    if last is None:
        return "no assignment is left: the start was cancelled or moved", None
    ended = _day(last.last)
    if state is State.GRACE:
        return (
            f"{assignment_text(last.assignment)} ended on {ended}; grace until {_day(_grace(career, as_of))}",
            (last.assignment),
        )
    graces = [s.last for s in career.segments if s.state is State.GRACE and s.last < as_of.toordinal()]
    grace = max((g for g in graces if g >= last.last), default=last.last)
    return (
        f"the last assignment, {assignment_text(last.assignment)}, ended on {ended},"
        f" its grace on {_day(grace)}"
    ), last.assignment


def _grace(career: Career, as_of: date) -> int:
    return career.segment_on(as_of).last


def _day(number: int) -> str:
    day = civil(number)
    return day.isoformat() if day and number < OPEN else "an open end"


def grant_reason(
    career: Career, right: Right, as_of: date, policy: Policy
) -> tuple[str, Assignment | None, date]:
    """Why the account has a right on the day: sentence, assignment, first day of the right."""
    number = as_of.toordinal()
    period = holding(career.rights.get(right, []), number) or (number, number)
    since = civil(period[0]) or as_of
    service = policy.services.get(right[0])
    for post in career.posts_on(as_of):
        if service is None or not post.has(service) or (right[1] and post.assignment.uai != right[1]):
            continue
        delay = post.delay(service)
        if number < post.first + delay:
            text = f"kept during the delay of {delay} days of {assignment_text(post.assignment)}"
            return text, post.assignment, since
        after = ""
        if delay:
            after = f", {delay} days after the start" + (" of a mutation" if post.follows else "")
        return f"profile {post.profile}: {assignment_text(post.assignment)}{after}", post.assignment, since
    if career.state_on(as_of) is State.GRACE:
        return "lasts through the grace", None, since
    return "handover after a mutation, or an exception", None, since


def revoke_reason(
    career: Career, right: Right, as_of: date, policy: Policy
) -> tuple[str, Assignment | None, date]:
    """Why the account does not have a right on the day: sentence, assignment, first day without it."""
    number = as_of.toordinal()
    ended = [last for _, last in career.rights.get(right, []) if last < number]
    since = civil(max(ended) + 1) if ended else None
    service = policy.services.get(right[0])
    state = career.state_on(as_of)
    if service is None:
        return "the policy no longer has this service", None, as_of
    if state not in (State.ACTIVE, State.ON_LEAVE):
        text, assignment = state_reason(career, as_of)
        return text, assignment, since or as_of
    for post in career.posts_on(as_of):
        if not post.has(service) or (right[1] and post.assignment.uai != right[1]):
            continue
        if not post.position.keeps_service(service.name):
            text = f"position {post.position.name} does not keep it: {assignment_text(post.assignment)}"
            return text, post.assignment, since or as_of
        begins = post.first + post.delay(service)
        if number < begins:
            text = f"the delay of {post.delay(service)} days runs until {_day(begins - 1)}"
            return f"{text}: {assignment_text(post.assignment)}", post.assignment, since or as_of
    over = _ended_with(career, right, ended)
    if over is None or since is None:
        return "no assignment of today gives it", None, since or as_of
    text = f"{assignment_text(over.assignment)} is over"
    if over.last < max(ended):
        text += f", and the handover of {service.handover} days after it"
    return text, over.assignment, since


def _ended_with(career: Career, right: Right, ended: list[int]) -> Post | None:
    """The post whose end, or handover, ended a right."""
    candidates = [
        post
        for post in career.posts
        if ended and post.last <= max(ended) and right[1] in ("", post.assignment.uai)
    ]
    return max(candidates, key=lambda post: post.last, default=None)
