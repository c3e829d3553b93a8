"""An assignment (affectation) from the HR data."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date


@dataclass(frozen=True, slots=True)
class Assignment:
    """A person's function at an establishment from `start` to `end`, both included; `end` None is open.

    `source` is the feed source it comes from. `origin` is the feed row it was last read from
    (`epp-20260901.csv:17`). It is for explanations only, so it is not part of the comparison.
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
        """Identifies the assignment among those of one person in one source."""
        return (self.uai, self.function, self.start)

    def covers(self, day: date) -> bool:
        return self.start <= day and (self.end is None or day <= self.end)

    def overlaps(self, other: Assignment) -> bool:
        return (self.end is None or other.start <= self.end) and (
            other.end is None or self.start <= other.end
        )
