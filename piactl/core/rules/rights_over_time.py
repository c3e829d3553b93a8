"""The rights to services over time, each day with what gives it.

A right is (service, uai), uai "" for person scope; its days are sorted, disjoint periods of ordinals.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from piactl.core.model.account import Right, ServiceException, State
from piactl.core.model.periods import Period, difference, holding, intersection, union
from piactl.core.model.policy import Policy, Service
from piactl.core.rules.lifecycle import Post, Segment

PROFILE, HANDOVER, KEPT, IN_GRACE, GRANT = "profile", "handover", "kept", "in-grace", "grant"
"""What gives a right: a post, after its delay; the end of a post by a mutation; a right held before, over the
delay of a post, or through the grace; an exception."""
DENIAL = "denial"

_HANDOVER_STATES = (State.ACTIVE, State.ON_LEAVE, State.GRACE)


class Ground(NamedTuple):
    """What gives a right, or (DENIAL) takes it, from `first` to `last`, both included: a code of above, with
    the post or the exception."""

    code: str
    first: int
    last: int
    post: Post | None = None
    exception: ServiceException | None = None


def rights_of(
    posts: Sequence[Post],
    segments: Sequence[Segment],
    policy: Policy,
    exceptions: Sequence[ServiceException] = (),
) -> dict[Right, list[Period]]:
    """All rights, before locks, whether or not there is an account."""
    having: dict[Right, list[Post]] = {}
    for post in posts:
        uai = post.assignment.uai
        for name in post.services:
            right = (name, uai if policy.services[name].per_establishment else "")
            having.setdefault(right, []).append(post)
    for exception in exceptions:
        if exception.grants:
            having.setdefault((exception.service, exception.uai), [])
    rights = {}
    for right, own in having.items():
        giving = giving_grounds(right, own, segments, policy.services.get(right[0]), exceptions)
        periods = [(ground.first, ground.last) for ground in giving]
        if len(periods) > 1:
            periods = union(periods)
        if exceptions:
            periods = difference(periods, ((d.first, d.last) for d in denials(right, exceptions)))
        if periods:
            rights[right] = periods
    return rights


def right_by(post: Post, service: Service) -> Right:
    """The right to a service that a post gives."""
    return service.name, post.assignment.uai if service.per_establishment else ""


def giving_grounds(
    right: Right,
    posts: Sequence[Post],
    segments: Sequence[Segment],
    service: Service | None,
    exceptions: Iterable[ServiceException] = (),
) -> list[Ground]:
    """What gives a right, before denials. On each day the first that includes the day is the reason. `posts`
    are those with the service that count for the right; a service that the policy no longer has is None."""
    grounds: list[Ground] = []
    if service is not None:
        grounds = (_establishment_grounds if service.per_establishment else _person_grounds)(
            posts, service, segments
        )
    for exception in exceptions:
        if exception.grants and (exception.service, exception.uai) == right:
            days = (exception.start.toordinal(), exception.end.toordinal())
            open_days = [(s.first, s.last) for s in segments if s.state in _HANDOVER_STATES]
            grounds += [Ground(GRANT, *p, exception=exception) for p in intersection([days], open_days)]
    return grounds


def denials(right: Right, exceptions: Iterable[ServiceException]) -> Iterator[Ground]:
    """The exceptions that take a right. One without UAI takes a service of establishment scope at every
    establishment."""
    for exception in exceptions:
        if not exception.grants and exception.service == right[0] and exception.uai in ("", right[1]):
            days = exception.start.toordinal(), exception.end.toordinal()
            yield Ground(DENIAL, *days, exception=exception)


def own_periods(post: Post, service: Service) -> list[Period]:
    """The days on which a post alone gives the right to a service, after its delay."""
    if not post.position.keeps_service(service.name):
        return []
    return intersection([(post.first + post.delay(service), post.last)], post.counts)


def waiting_periods(post: Post, service: Service) -> list[Period]:
    """The days on which a post does not give the right yet, because of its delay."""
    if not own_periods(post, service):
        return []
    return intersection([(post.first, post.first + post.delay(service) - 1)], post.counts)


def _own_grounds(posts: Sequence[Post], service: Service) -> list[Ground]:
    """The latest start first: it is the reason where several posts give the right."""
    return [
        Ground(PROFILE, first, last, post)
        for post in reversed(posts)
        for first, last in own_periods(post, service)
    ]


def _graces(segments: Sequence[Segment], service: Service) -> list[Period]:
    return [(s.first, s.last) for s in segments if s.state is State.GRACE] if service.in_grace else []


def _establishment_grounds(
    posts: Sequence[Post], service: Service, segments: Sequence[Segment]
) -> list[Ground]:
    own = grounds = _own_grounds(posts, service)
    if service.handover and any(post.followed for post in posts):
        open_days = [(s.first, s.last) for s in segments if s.state in _HANDOVER_STATES]
        grounds = own + [
            Ground(HANDOVER, *days, post)
            for post in posts
            if post.followed and any(g.post is post and g.last == post.last for g in own)
            for days in intersection([(post.last + 1, post.last + service.handover)], open_days)
        ]
    graces = _graces(segments, service)
    if not graces:
        return grounds
    return grounds + [Ground(IN_GRACE, *g) for g in graces if any(o.first < g[0] <= o.last + 1 for o in own)]


def _person_grounds(posts: Sequence[Post], service: Service, segments: Sequence[Segment]) -> list[Ground]:
    """The rights of the posts, continued over delays and graces, decided in order of days."""
    grounds = _own_grounds(posts, service)
    decisions: list[tuple[int, Post | None, Period]] = [(g[0], None, g) for g in _graces(segments, service)]
    if service.keep:
        for post in posts:
            delay = post.delay(service)
            if delay and post.position.keeps_service(service.name):
                decisions.append((post.first, post, (post.first, min(post.last, post.first + delay - 1))))
    periods = [(ground.first, ground.last) for ground in grounds] if decisions else []
    continued: list[Ground] = []
    for day, bridged, period in sorted(decisions, key=lambda decision: decision[0]):
        if holding(periods, day - 1):
            lasting = [period] if bridged is None else intersection([period], bridged.counts)
            periods += lasting
            code = IN_GRACE if bridged is None else KEPT
            continued += [Ground(code, first, last, bridged) for first, last in lasting]
    return grounds + continued[::-1]
