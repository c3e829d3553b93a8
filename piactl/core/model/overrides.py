"""Overrides: dated changes by hand to the HR data. Imports respect them until they expire.

The entry keeps the HR data; an override applies on top until its last day. Then the HR data apply again, even
if no feed repeats them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from enum import Enum

from piactl.core.model.person import Assignment
from piactl.phrase import Phrase

MANUAL = "manual"
"""The source of assignments made by hand; no HR source may have this name."""


HAND_ENDED = Phrase("a change by hand has ended: the HR data apply again")
"""The effect on the day after the last day of an override."""


class OverrideKind(Enum):
    """ADD adds an assignment of the source MANUAL. END ends an HR assignment on `day`. CLOSE ends all
    assignments and closes the account from `day`. NAME sets the usage name to `value`. KEEP leaves the
    attribute `value` as another program changed it."""

    ADD = "add"
    END = "end"
    CLOSE = "close"
    NAME = "name"
    KEEP = "keep"


@dataclass(frozen=True, slots=True)
class Override:
    """`until` is its last day, `made` the day it was made, `by` its author.

    `uai`, `function`, `start` identify the assignment of ADD and END. `was` is the usage name before NAME.
    `sponsor` is responsible for a person who is not in the HR data. `grace` is the grace of CLOSE in days.
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

    @property
    def key(self) -> tuple[str, str, date | None]:
        """Identifies the assignment, as `Assignment.key` does."""
        return (self.uai, self.function, self.start)

    def ended(self, assignments: Iterable[Assignment]) -> tuple[Assignment, ...]:
        """The HR assignments that this END ends: the one it was made for, and those inside it. If HR has
        corrected the start, it is the assignment with the nearest start. An assignment that begins after the
        last day is a return, and one that began earlier is another, such as the post around a leave: neither
        ends."""
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
        """Whether this END was made for this assignment."""
        return assignment.start == min((a.start for a in self.ended(assignments)), default=None) and (
            assignment.uai,
            assignment.function,
        ) == (self.uai, self.function)


def running(overrides: Iterable[Override], as_of: date) -> tuple[Override, ...]:
    """The overrides that have not expired on the day."""
    return tuple(override for override in overrides if override.until >= as_of)


def sponsor_of(overrides: Iterable[Override]) -> str:
    """The uid of the sponsor of the assignment by hand that lasts longest, "" if there is none."""
    named = ((override.until, override.sponsor) for override in overrides if override.sponsor)
    return max(named, default=(None, ""))[1]


def overridden(
    assignments: Sequence[Assignment], overrides: Iterable[Override], as_of: date
) -> tuple[Assignment, ...]:
    """The assignments with the overrides of the day applied, in the same order, as the rules see them."""
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
    """(first closed day, days of grace) of each closure by hand in force on the day."""
    return tuple(
        (override.day, override.grace)
        for override in running(overrides, as_of)
        if override.kind is OverrideKind.CLOSE and override.day is not None
    )


def overridden_name(overrides: Iterable[Override], name: str, as_of: date, *, from_hr: bool) -> str:
    """The usage name on the day. `from_hr`: `name` comes from the HR data, not from the entry."""
    for override in overrides:
        if override.kind is not OverrideKind.NAME:
            continue
        if override.until >= as_of:
            return override.value
        if not from_hr and name == override.value:
            return override.was
    return name


def with_hr_name(overrides: Iterable[Override], name: str) -> tuple[Override, ...]:
    """The overrides after the HR data give the usage name `name`, which applies again when a NAME expires."""
    return tuple(
        replace(override, was=name) if override.kind is OverrideKind.NAME else override
        for override in overrides
    )


def next_end(overrides: Iterable[Override], as_of: date) -> date | None:
    """The first day after the next override to expire."""
    return min((override.until + timedelta(days=1) for override in running(overrides, as_of)), default=None)


def override_words(override: Override) -> str:
    """The effect of an override and its last day."""
    if override.kind is OverrideKind.CLOSE:
        return Phrase(
            "closed by hand from {day} to {until} inclusive", day=override.day, until=override.until
        )
    post = Phrase(
        "{function} at {uai} from {start}", function=override.function, uai=override.uai, start=override.start
    )
    if override.kind is OverrideKind.ADD:
        return Phrase("{post} was added, by hand until {until}", post=post, until=override.until)
    if override.kind is OverrideKind.END:
        return Phrase(
            "{post} ends on {day}, by hand until {until}", post=post, day=override.day, until=override.until
        )
    if override.kind is OverrideKind.NAME:
        return Phrase(
            "the usage name is {name} instead of {was}, by hand until {until}",
            name=override.value or Phrase("none"),
            was=override.was or Phrase("none"),
            until=override.until,
        )
    return Phrase(
        "{attribute} stays as another program changed it, by hand until {until}",
        attribute=override.value,
        until=override.until,
    )


def override_text(override: Override) -> str:
    """An override in a sentence, with its author and reason."""
    values = {"override": override_words(override), "by": override.by, "reason": override.reason}
    if override.sponsor:
        return Phrase("{override} ({by}: {reason}, sponsor {sponsor})", **values, sponsor=override.sponsor)
    return Phrase("{override} ({by}: {reason})", **values)
