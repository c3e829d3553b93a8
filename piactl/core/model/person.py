"""A person in the HR data, and the assignments."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field, replace
from datetime import date
from operator import attrgetter

from piactl.core.model.keyed_digests import Numen

COMMON = "hr"
"""The namespace of sources without a setting: their matricules have no prefix."""


def qualified(namespace: str, matricule: str) -> str:
    """A matricule with its namespace, as accounts, records and commands use it: `namespace:matricule`, or the
    matricule alone in the common one."""
    return matricule if namespace == COMMON else f"{namespace}:{matricule}"


def namespace_of(matricule: str) -> str:
    """The namespace of a matricule in the form of `qualified`."""
    return matricule.rpartition(":")[0] or COMMON


def read_matricule(text: str) -> str:
    """A matricule given as `matricule` or `namespace:matricule`, in the form of `qualified`."""
    namespace, _, matricule = text.strip().rpartition(":")
    return qualified(namespace or COMMON, matricule)


@dataclass(frozen=True, slots=True)
class Assignment:
    """A person's function at an establishment from `start` to `end`, both included; `end` None is open.

    `source` is the feed source it comes from. `origin` is the feed row it was last read from
    (`epp-20260901.csv:17`), `matricule` the one that HR lists it under, "" for the first one of the person.
    Neither is part of the comparison. `locks_until`: an absence ended it, and the lock of its position stays
    until this day, date.max without end; else None.
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
    matricule: str = field(default="", compare=False)
    locks_until: date | None = None

    @property
    def key(self) -> tuple[str, str, date]:
        """Identifies the assignment among those of one person in one source."""
        return (self.uai, self.function, self.start)

    def is_over(self, day: date) -> bool:
        """Whether it ended before the day."""
        return self.end is not None and self.end < day

    def covers(self, day: date) -> bool:
        return self.start <= day and not self.is_over(day)

    def overlaps(self, other: Assignment) -> bool:
        return (self.end is None or other.start <= self.end) and (
            other.end is None or self.start <= other.end
        )


by_start = attrgetter("start", "uai", "function", "source")
"""The sort key of assignments on accounts and in lists."""


@dataclass(frozen=True, slots=True)
class Person:
    """The data of one matricule in one feed. "" means no value."""

    matricule: str
    family_name: str
    given_name: str
    usage_name: str = ""
    civilite: str = ""
    birth_date: date | None = None
    private_mail: str = ""
    numen: Numen | None = None
    assignments: tuple[Assignment, ...] = ()
    lines: tuple[int, ...] = field(default=(), compare=False)
    """The line of the feed of each assignment, in the same order."""
    silent: frozenset[str] = field(default=frozenset(), compare=False)
    """Fields without a column in the feed: their blanks do not erase values."""
    former: str = ""
    """A matricule that the person had in HR before."""

    def without(self, assignments: Container[Assignment]) -> Person:
        """The person without these assignments and their lines."""
        rows = zip(self.assignments, self.lines, strict=False)
        return replace(
            self,
            assignments=tuple(a for a in self.assignments if a not in assignments),
            lines=tuple(line for a, line in rows if a not in assignments),
        )
