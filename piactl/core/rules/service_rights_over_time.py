"""The rights to services over time.

A right is (service, uai), uai "" for person scope; its days are sorted, disjoint periods of ordinals.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from piactl.core.model.account import Right, ServiceException, State
from piactl.core.model.periods import Period, difference, holding, intersection, union
from piactl.core.model.policy import Policy, Service
from piactl.core.rules.lifecycle import Segment
from piactl.core.rules.posts import Post

Rights = Mapping[Right, list[Period]]

_HANDOVER_STATES = (State.ACTIVE, State.ON_LEAVE, State.GRACE)


def rights_of(
    posts: Sequence[Post], segments: Sequence[Segment], policy: Policy
) -> dict[Right, list[Period]]:
    """All rights by the rules, before exceptions and locks, whether or not there is an account."""
    graces = [(s.first, s.last) for s in segments if s.state is State.GRACE]
    rights: dict[Right, list[Period]] = {}
    having: dict[str, list[Post]] = {}
    for post in posts:
        for name in post.services:
            having.setdefault(name, []).append(post)
    for service in policy.services.values():
        if service.name not in having:
            continue
        own = [(post, own_periods(post, service)) for post in having[service.name]]
        if service.per_establishment:
            if len(own) == 1:
                rights[service.name, own[0][0].assignment.uai] = _establishment_right(
                    own, service, segments, graces
                )
                continue
            for uai in sorted({post.assignment.uai for post, _ in own}):
                here = [(post, periods) for post, periods in own if post.assignment.uai == uai]
                rights[service.name, uai] = _establishment_right(here, service, segments, graces)
        else:
            rights[service.name, ""] = _person_right(own, service, graces)
    return {right: periods for right, periods in rights.items() if periods}


def own_periods(post: Post, service: Service) -> list[Period]:
    """The days on which a post alone gives the right to a service, after its delay."""
    if not post.position.keeps_service(service.name):
        return []
    return intersection([(post.first + post.delay(service), post.last)], post.counts)


def _joined(own: Sequence[tuple[Post, list[Period]]]) -> list[Period]:
    if len(own) == 1:  # by far the most frequent case
        return own[0][1]
    return union(period for _, mine in own for period in mine)


def _establishment_right(
    own: Sequence[tuple[Post, list[Period]]],
    service: Service,
    segments: Sequence[Segment],
    graces: Sequence[Period],
) -> list[Period]:
    periods = _joined(own)
    after: list[Period] = []
    if service.handover:
        open_days = [(s.first, s.last) for s in segments if s.state in _HANDOVER_STATES]
        for post, mine in own:
            if post.followed and holding(mine, post.last):
                after += intersection([(post.last + 1, post.last + service.handover)], open_days)
    lasting = [g for g in graces if holding(periods, g[0] - 1)] if service.in_grace else []
    return union([*periods, *after, *lasting]) if after or lasting else periods


def _person_right(
    own: Sequence[tuple[Post, list[Period]]], service: Service, graces: Sequence[Period]
) -> list[Period]:
    """The rights of the posts, continued over delays and graces, decided in order of days."""
    periods = _joined(own)
    decisions: list[tuple[int, Post | None, Period]] = []
    if service.in_grace:
        decisions += [(grace[0], None, grace) for grace in graces]
    if service.keep:
        for post, _ in own:
            delay = post.delay(service)
            if delay and post.position.keeps_service(service.name):
                decisions.append((post.first, post, (post.first, min(post.last, post.first + delay - 1))))
    for day, bridged, period in sorted(decisions, key=lambda decision: decision[0]):
        if holding(periods, day - 1):
            lasting = [period] if bridged is None else intersection([period], bridged.counts)
            periods = union([*periods, *lasting])
    return periods


def with_exceptions(
    rights: Rights, exceptions: Iterable[ServiceException], segments: Sequence[Segment]
) -> dict[Right, list[Period]]:
    """The rights after exceptions. A grant applies while the account is active, on leave or in grace; a
    denial always applies.

    A denial without UAI denies a service of establishment scope at every establishment.
    """
    result = {right: list(periods) for right, periods in rights.items()}
    open_days = [(s.first, s.last) for s in segments if s.state in _HANDOVER_STATES]
    ordered = sorted(exceptions, key=lambda e: not e.grants)
    for exception in ordered:
        period = (exception.start.toordinal(), exception.end.toordinal())
        right = (exception.service, exception.uai)
        if exception.grants:
            result[right] = union([*result.get(right, []), *intersection([period], open_days)])
            continue
        for denied in [r for r in result if r == right or (r[0] == exception.service and not exception.uai)]:
            result[denied] = difference(result[denied], [period])
    return {right: periods for right, periods in result.items() if periods}


def handed_over(post: Post, service: Service, uai: str, number: int) -> bool:
    """Whether a right at `uai` lasts on a day because the post there ended by a mutation."""
    return (
        service.per_establishment
        and post.followed
        and post.assignment.uai == uai
        and post.has(service)
        and post.last < number <= post.last + service.handover
        and holding(own_periods(post, service), post.last) is not None
    )
