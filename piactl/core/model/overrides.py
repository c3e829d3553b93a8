"""Dated changes by hand over what HR says. Imports respect them, and they end by themselves.

The entry keeps HR's data; an override lies over them until its last day. When it ends, HR's data apply again,
without a feed having to repeat them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from enum import Enum

from piactl.core.model.assignment import Assignment

MANUAL = "manual"
"""The source of assignments that were made by hand; no HR source has this name."""


class OverrideKind(Enum):
    """ADD: an assignment of the source MANUAL was made. END: an assignment of HR ends on `day`. CLOSE: all
    assignments end, and the account is closed from `day`. NAME: the usage name is `value`."""

    ADD = "add"
    END = "end"
    CLOSE = "close"
    NAME = "name"


@dataclass(frozen=True, slots=True)
class Override:
    """`until` is its last day, `made` the day it was made, `by` its author.

    `uai`, `function`, `start` name the assignment of ADD and END. `was` is the usage name before NAME.
    `sponsor` is who answers for a person whom HR does not know. `grace` are the days of grace of CLOSE.
    """

    kind: OverrideKind
    until: date
    made: date
    by: str
    reason: str
    uai: str = ""
    function: str = ""
    start: date | None = None
    day: date | None = None
    value: str = ""
    was: str = ""
    sponsor: str = ""
    grace: int = 0

    def ended(self, assignments: Iterable[Assignment]) -> tuple[Assignment, ...]:
        """The assignments of HR that this END ends: the one it was made for and what lies inside it. HR may
        have corrected its start since: then it is the nearest. One that begins after the last day is
        another, a return; one that began before is another too, such as the post around a leave."""
        if self.kind is not OverrideKind.END or self.start is None or self.day is None:
            return ()
        start, last = self.start, max(self.day, self.start)
        post = [
            a
            for a in assignments
            if (a.uai, a.function) == (self.uai, self.function) and a.source != MANUAL and a.start <= last
        ]
        nearest = min((a.start for a in post), key=lambda day: (abs(day - start), day), default=start)
        return tuple(a for a in post if a.start >= nearest)

    def made_for(self, assignment: Assignment, assignments: Iterable[Assignment]) -> bool:
        """Whether this END was made for that one of the assignments."""
        return assignment.start == min((a.start for a in self.ended(assignments)), default=None) and (
            assignment.uai,
            assignment.function,
        ) == (self.uai, self.function)


def running(overrides: Iterable[Override], as_of: date) -> tuple[Override, ...]:
    """The overrides that are not over on the day."""
    return tuple(override for override in overrides if override.until >= as_of)


def overridden(
    assignments: Sequence[Assignment], overrides: Iterable[Override], as_of: date
) -> tuple[Assignment, ...]:
    """The assignments as the overrides of the day leave them; the rules see these. Same order."""
    endings = [
        (override.day, override.ended(assignments))
        for override in running(overrides, as_of)
        if override.kind is OverrideKind.END
    ]
    if not endings:
        return tuple(assignments)
    result = []
    for assignment in assignments:
        days = [day for day, ended in endings if assignment in ended]
        ends = [day for day in (assignment.end, *days) if day is not None]
        last = min(ends, default=None)
        if last is None or last >= assignment.start:
            result.append(replace(assignment, end=last) if last != assignment.end else assignment)
    return tuple(result)


def closings(overrides: Iterable[Override], as_of: date) -> tuple[tuple[date, int], ...]:
    """(first closed day, days of grace from it) of the closures by hand that hold on the day."""
    return tuple(
        (override.day, override.grace)
        for override in running(overrides, as_of)
        if override.kind is OverrideKind.CLOSE and override.day is not None
    )


def overridden_name(overrides: Iterable[Override], name: str, as_of: date, *, told: bool) -> str:
    """The usage name on the day. `told`: `name` is what HR says now, not what stood on the entry."""
    for override in overrides:
        if override.kind is not OverrideKind.NAME:
            continue
        if override.until >= as_of:
            return override.value
        if not told and name == override.value:
            return override.was
    return name


def retold(overrides: Iterable[Override], name: str) -> tuple[Override, ...]:
    """The overrides once HR has told the usage name `name`: it is what holds again after a NAME."""
    return tuple(
        replace(override, was=name) if override.kind is OverrideKind.NAME else override
        for override in overrides
    )


def next_end(overrides: Iterable[Override], as_of: date) -> date | None:
    """The next day on which an override is over."""
    return min((override.until + timedelta(days=1) for override in running(overrides, as_of)), default=None)


def override_words(override: Override) -> str:
    """What an override does, and until when."""
    post = f"{override.function} at {override.uai} from {override.start}"
    names = override.value or "none", override.was or "none"
    what = {
        OverrideKind.ADD: f"{post} was added",
        OverrideKind.END: f"{post} ends on {override.day}",
        OverrideKind.CLOSE: f"closed from {override.day}",
        OverrideKind.NAME: f"the usage name is {names[0]} instead of {names[1]}",
    }[override.kind]
    return f"{what}, by hand until {override.until}"


def spoken_override(override: Override) -> str:
    """An override in a sentence, with its author and reason."""
    sponsor = f", sponsor {override.sponsor}" if override.sponsor else ""
    return f"{override_words(override)} ({override.by}: {override.reason}{sponsor})"
