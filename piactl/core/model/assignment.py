"""One affectation, as HR tells it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date


@dataclass(frozen=True, slots=True)
class Assignment:
    """A person at an establishment in a function over civil days, both included; `end` None is open.

    `source` names the feed source that vouches for it. `origin` is the feed row it was last read from
    (`epp-20260901.csv:17`); it explains and never decides, so two assignments that differ only in it
    are equal.
    """

    uai: str
    function: str
    start: date
    end: date | None = None
    corps: str = ""
    position: str = ""
    modality: str = ""
    discipline: str = ""
    quotite: str = ""
    source: str = ""
    origin: str = field(default="", compare=False)

    @property
    def key(self) -> tuple[str, str, date]:
        """What identifies it among the assignments of one person in one source."""
        return (self.uai, self.function, self.start)

    def covers(self, day: date) -> bool:
        return self.start <= day and (self.end is None or day <= self.end)

    def overlaps(self, other: Assignment) -> bool:
        return (self.end is None or other.start <= self.end) and (
            other.end is None or self.start <= other.end
        )
