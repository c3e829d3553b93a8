"""The rules of an account's life read a second time, day by day and as literally as can be.

It walks the civil days from the first to the last, and computes for each what the text says of that day,
from its results for the days before. It knows nothing of the rules in `piactl.core`, does no arithmetic on
periods and is slow: it exists to be compared with them. Only the value classes are shared.

Each sentence of the text is a function of its own, so that a test can replace it by a wrong one and show that
the comparison would see it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta

from piactl.core.model.account import State
from piactl.core.model.establishment import Register
from piactl.core.model.person import Assignment
from piactl.core.model.policy import Policy, Position, Profile, Service

Right = tuple[str, str]
"""(service, uai); uai is "" for a right of the person."""

DAY = timedelta(days=1)
WITH_RIGHTS = (State.ACTIVE, State.ON_LEAVE, State.GRACE)


@dataclass(frozen=True)
class Day:
    """The facts of one day. `assignments` are those that count, with ends cut by a retirement.

    `awaited` are the assignments whose near start makes an account anticipated: the entry shows them and
    their profiles before they begin. In grace the profiles are those of the last day with an assignment.
    """

    state: State
    rights: frozenset[Right]
    locked: bool
    login: bool
    assignments: tuple[Assignment, ...]
    profiles: frozenset[str]
    awaited: tuple[Assignment, ...] = ()


@dataclass(frozen=True)
class World:
    """One person under one policy. `standing` is cut by the rows in `endings`; an absence ended those in
    `absent`, and left their lock."""

    policy: Policy
    register: Register
    standing: tuple[Assignment, ...]
    endings: tuple[Assignment, ...]
    closed_on: date | None
    absent: tuple[Assignment, ...] = ()
    counted: dict[date, tuple[Assignment, ...]] = field(default_factory=dict, compare=False)
    """What `counting` has returned for each day so far."""

    def position(self, a: Assignment) -> Position:
        position = self.policy.position(a.position)
        if position is None:
            raise ValueError(f"position {a.position!r} is not in the policy")
        return position

    def profile(self, a: Assignment) -> Profile:
        profile = self.policy.given_by(a, self.register)[0]
        if profile is None:
            raise ValueError(f"no profile fits {a}")
        return profile

    def serves(self, a: Assignment, service: Service) -> bool:
        place = self.register.get(a.uai)
        have = {"fonction": a.function, "corps": a.corps, "nature": place.nature if place else ""}
        fits = all(have[name] in values for name, values in service.when.conditions.items())
        return fits and service.serves(self.profile(a).name)

    def keeps(self, a: Assignment, service: Service) -> bool:
        return self.position(a).keeps_service(service.name)

    def later_start(self, day: date) -> bool:
        return any(a.start > day for a in self.standing)


def world(
    assignments: Sequence[Assignment], policy: Policy, register: Register, closed_on: date | None = None
) -> World:
    """Separates the rows whose position ends all; other rows end the day before the first that ends them."""

    def is_ending(a: Assignment) -> bool:
        position = policy.position(a.position)
        return position is not None and position.ends

    endings = tuple(sorted((a for a in assignments if is_ending(a)), key=lambda a: a.start))
    standing = []
    for a in assignments:
        if is_ending(a):
            continue
        cut: Assignment | None = a
        for row in endings:
            if cut is not None:
                cut = ended_by(cut, row)
        if cut is not None:
            standing.append(cut)
    absent = tuple(a for a in assignments if a.locks_until is not None)
    return World(policy, register, tuple(standing), endings, closed_on, absent)


def ended_by(a: Assignment, row: Assignment) -> Assignment | None:
    """What a retirement leaves of an assignment: nothing if both start together, all if it is a return."""
    if a.start > row.start:
        return a
    if a.start == row.start:
        return None
    eve = row.start - DAY
    return a if a.end is not None and a.end <= eve else replace(a, end=eve)


# Which assignments count, continue, follow


def counting(w: World, day: date) -> tuple[Assignment, ...]:
    """The assignments that cover the day; for each UAI and function only those that start last."""
    if day not in w.counted:
        covering = [a for a in w.standing if a.covers(day)]
        w.counted[day] = tuple(a for a in covering if not any(overrides(b, a) for b in covering))
    return w.counted[day]


def overrides(b: Assignment, a: Assignment) -> bool:
    return b.uai == a.uai and b.function == a.function and b.start > a.start


def continues(b: Assignment, a: Assignment) -> bool:
    return b.uai == a.uai and a.start < b.start and (a.end is None or a.end >= b.start - DAY)


def continues_any(w: World, b: Assignment) -> bool:
    return any(continues(b, a) for a in w.standing)


def follows(w: World, b: Assignment, a: Assignment) -> bool:
    """B is a mutation from A."""
    if b.uai == a.uai or a.end is None or not a.start < b.start:
        return False
    lasts_beyond = b.end is None or b.end > a.end
    return within_bridge(w, b, a) and lasts_beyond and not continues_any(w, b)


def within_bridge(w: World, b: Assignment, a: Assignment) -> bool:
    return a.end is not None and (b.start - a.end).days <= w.policy.bridge


def delay(w: World, b: Assignment, service: Service) -> int:
    """Days from the start of B to its own right to the service."""
    if any(continues(b, a) and w.serves(a, service) for a in w.standing):
        return 0
    if any(follows(w, b, a) for a in w.standing):
        return service.mutation_delay
    return service.grant_delay


# Rights


def has_own_right(w: World, a: Assignment, service: Service, day: date) -> bool:
    """The right of A itself: from its start and the delay to its end, on the days A counts."""
    if not (w.serves(a, service) and w.keeps(a, service)):
        return False
    return a in counting(w, day) and day >= a.start + timedelta(days=delay(w, a, service))


def handed_over(w: World, a: Assignment, service: Service, day: date) -> bool:
    """The right to A's establishment after A's end, if A's right was held on its last day and B follows."""
    if not service.per_establishment or a.end is None or day <= a.end:
        return False
    if not any(follows(w, b, a) for b in w.standing):
        return False
    return has_own_right(w, a, service, a.end) and day <= a.end + timedelta(days=service.handover)


def bridged(w: World, service: Service, day: date, past: dict[date, Day]) -> bool:
    """`keep`: a right of the person held on the eve of B lasts until the day before B's own begins."""
    if service.per_establishment or not service.keep:
        return False
    for b in counting(w, day):
        eve = past.get(b.start - DAY)
        held_on_eve = eve is not None and (service.name, "") in eve.rights
        begins = b.start + timedelta(days=delay(w, b, service))
        if held_on_eve and day < begins and w.serves(b, service) and w.keeps(b, service):
            return True
    return False


def lasts_in_grace(w: World, last: date, service: Service, past: dict[date, Day]) -> set[Right]:
    """The rights to a service that continue in the grace after the last day with an assignment.

    A right that was held on that day only by a handover ends with the handover.
    """
    if not service.in_grace:
        return set()
    if not service.per_establishment:
        return {(service.name, "")} & past[last].rights
    return {(service.name, a.uai) for a in counting(w, last) if has_own_right(w, a, service, last)}


def rights(w: World, day: date, state: State, past: dict[date, Day]) -> frozenset[Right]:
    if state not in WITH_RIGHTS:
        return frozenset()
    day_rights: set[Right] = set()
    for service in w.policy.services.values():
        for a in w.standing:
            uai = a.uai if service.per_establishment else ""
            if has_own_right(w, a, service, day) or handed_over(w, a, service, day):
                day_rights.add((service.name, uai))
        if bridged(w, service, day, past):
            day_rights.add((service.name, ""))
        if state is State.GRACE:
            day_rights |= lasts_in_grace(w, last_assigned(past, day), service, past)
    return frozenset(day_rights)


# State


def last_assigned(past: dict[date, Day], day: date) -> date:
    """The last day before this one with an assignment."""
    return max(d for d, was in past.items() if d < day and was.assignments)


def grace_after(w: World, a: Assignment, day: date, past: dict[date, Day]) -> date | None:
    """The last day of the grace after an ended assignment, as it is known on `day`.

    From the day of a retirement on, its own grace replaces the grace of the assignments that it ended or
    that had ended before, if the person was still assigned or in grace on the eve. Of two rows of one day
    the shorter grace applies: a death takes precedence over a retirement.
    """
    if a.end is None or a.end >= day:
        return None
    reached = [row for row in w.endings if a.start < row.start <= day]
    if not reached:
        return a.end + timedelta(days=w.policy.grace_of(a, w.register)[0])
    latest = max(row.start for row in reached)
    eve = past.get(latest - DAY)
    if eve is None or eve.state not in WITH_RIGHTS:
        return None
    days = min(w.policy.grace_of(row, w.register)[0] for row in reached if row.start == latest)
    return a.end + timedelta(days=days)


def in_grace(w: World, day: date, past: dict[date, Day]) -> bool:
    return any(
        last is not None and day <= last for last in (grace_after(w, a, day, past) for a in w.standing)
    )


def near(w: World, day: date) -> tuple[Assignment, ...]:
    """The assignments that start at most `open_before` days ahead, whatever their position."""
    return tuple(a for a in w.standing if day < a.start <= day + timedelta(days=w.policy.open_before))


def state(w: World, day: date, past: dict[date, Day]) -> State:
    """The state of the first row of the table that fits."""
    now = counting(w, day)
    if any(w.position(a).keeps_all for a in now):
        return State.ACTIVE
    if now:
        return State.ON_LEAVE
    if in_grace(w, day, past):
        return State.GRACE
    if near(w, day):
        return State.ANTICIPATED
    if w.later_start(day):
        return State.DEACTIVATED
    open_days = [d for d, was in past.items() if was.state in WITH_RIGHTS]
    since = max(open_days) if open_days else w.closed_on
    if since is None or day <= since + timedelta(days=w.policy.retention):
        return State.DEACTIVATED
    return State.ARCHIVED


def locked(w: World, day: date) -> bool:
    """Locked by a position: on the days its assignment counts, from a retirement (a death) to a return, or
    after an absence that ended its assignment."""
    if any(w.position(a).lock for a in counting(w, day)):
        return True
    if any(left_by_absence(a, day) for a in w.absent):
        return True
    for row in w.endings:
        returned = any(row.start < a.start <= day for a in w.standing)
        if w.position(row).lock and row.start <= day and not returned:
            return True
    return False


def left_by_absence(a: Assignment, day: date) -> bool:
    """The lock of a row that is absent: from the day after its last one, to the last one that HR gave."""
    return a.end is not None and a.locks_until is not None and a.end < day <= a.locks_until


def login(w: World, day: date, now: State, past: dict[date, Day]) -> bool:
    if locked(w, day):
        return False
    if now is State.ACTIVE:
        return True
    if now is State.ON_LEAVE:
        return any(w.position(a).allows_login for a in counting(w, day))
    if now is State.GRACE:
        return past[last_assigned(past, day)].login
    return False


def profiles(w: World, day: date, now: State, past: dict[date, Day]) -> frozenset[str]:
    if now is State.GRACE:
        return past[last_assigned(past, day)].profiles
    shown = near(w, day) if now is State.ANTICIPATED else counting(w, day)
    return frozenset(w.profile(a).name for a in shown)


# The days


def history(w: World, first: date, last: date) -> dict[date, Day]:
    """Every day from `first`, or from the eve of the first start if that is earlier, to `last`."""
    day = min([first, *(a.start - DAY for a in w.standing)])
    past: dict[date, Day] = {}
    while day <= last:
        now = state(w, day, past)
        counts = counting(w, day)
        past[day] = Day(
            state=now,
            rights=rights(w, day, now, past),
            locked=locked(w, day),
            login=login(w, day, now, past),
            assignments=counts,
            profiles=profiles(w, day, now, past),
            awaited=near(w, day) if now is State.ANTICIPATED else (),
        )
        day += DAY
    return past


def next_changes(
    days: dict[date, Day], aspect: Callable[[Day], object] = lambda d: d
) -> dict[date, date | None]:
    """For every day the next one that differs from its eve; None if no later one does."""
    following: dict[date, date | None] = {}
    upcoming: date | None = None
    for day in sorted(days, reverse=True):
        following[day] = upcoming
        if day - DAY in days and aspect(days[day]) != aspect(days[day - DAY]):
            upcoming = day
    return following
