"""Changes by hand on what HR says: dated pins that imports respect, and that end by themselves.

What HR says stays on the entry as HR said it; a pin lies over it until its last day. So HR's word is back,
whatever came in the meantime, when the pin is over, without a feed having to tell it again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from enum import Enum

from piactl.core.model.assignment import Assignment

MANUAL = "manual"
"""The source of assignments that were made by hand; no HR source has this name."""


class PinKind(Enum):
    """ADD: an assignment of the source MANUAL was made. END: an assignment of HR ends on `day`. CLOSE: all
    assignments end, and the account is closed from `day`. NAME: the usage name is `value`."""

    ADD = "add"
    END = "end"
    CLOSE = "close"
    NAME = "name"


@dataclass(frozen=True, slots=True)
class Pin:
    """`until` is its last day, `made` the day it was made, `by` its author.

    `uai`, `function`, `start` name the assignment of ADD and END. `was` is the usage name before NAME.
    `sponsor` is who answers for a person whom HR does not know. `grace` are the days of grace of CLOSE.
    """

    kind: PinKind
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
        if self.kind is not PinKind.END or self.start is None or self.day is None:
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


def running(pins: Iterable[Pin], as_of: date) -> tuple[Pin, ...]:
    """The pins that are not over on the day."""
    return tuple(pin for pin in pins if pin.until >= as_of)


def pinned(assignments: Sequence[Assignment], pins: Iterable[Pin], as_of: date) -> tuple[Assignment, ...]:
    """The assignments as the pins of the day leave them; the rules see these. Same order."""
    endings = [(pin.day, pin.ended(assignments)) for pin in running(pins, as_of) if pin.kind is PinKind.END]
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


def closings(pins: Iterable[Pin], as_of: date) -> tuple[tuple[date, int], ...]:
    """(first closed day, days of grace from it) of the closures by hand that hold on the day."""
    return tuple(
        (pin.day, pin.grace)
        for pin in running(pins, as_of)
        if pin.kind is PinKind.CLOSE and pin.day is not None
    )


def pinned_name(pins: Iterable[Pin], name: str, as_of: date, *, told: bool) -> str:
    """The usage name on the day. `told`: `name` is what HR says now, not what stood on the entry."""
    for pin in pins:
        if pin.kind is not PinKind.NAME:
            continue
        if pin.until >= as_of:
            return pin.value
        if not told and name == pin.value:
            return pin.was
    return name


def retold(pins: Iterable[Pin], name: str) -> tuple[Pin, ...]:
    """The pins once HR has told the usage name `name`: it is what holds again after a NAME."""
    return tuple(replace(pin, was=name) if pin.kind is PinKind.NAME else pin for pin in pins)


def next_end(pins: Iterable[Pin], as_of: date) -> date | None:
    """The next day on which a pin is over."""
    return min((pin.until + timedelta(days=1) for pin in running(pins, as_of)), default=None)


def pin_words(pin: Pin) -> str:
    """What a pin does, and until when."""
    what = {
        PinKind.ADD: f"{pin.function} at {pin.uai} from {pin.start} was added",
        PinKind.END: f"{pin.function} at {pin.uai} from {pin.start} ends on {pin.day}",
        PinKind.CLOSE: f"closed from {pin.day}",
        PinKind.NAME: f"the usage name is {pin.value or 'none'} instead of {pin.was or 'none'}",
    }[pin.kind]
    return f"{what}, by hand until {pin.until}"


def spoken_pin(pin: Pin) -> str:
    """A pin in a sentence, with its author and reason."""
    sponsor = f", sponsor {pin.sponsor}" if pin.sponsor else ""
    return f"{pin_words(pin)} ({pin.by}: {pin.reason}{sponsor})"
