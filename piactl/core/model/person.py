"""One agent as HR tells it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from piactl.core.model.assignment import Assignment
from piactl.core.model.numen import Numen


@dataclass(frozen=True, slots=True)
class Person:
    """All that one feed says of one matricule. Blank text is none."""

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
    """The fields that the feed has no column for: their blanks say nothing, and erase nothing."""


@dataclass(frozen=True, slots=True)
class Establishment:
    """One line of the establishment register; blank text is none."""

    uai: str
    name: str = ""
    nature: str = ""
    degree: str = ""
    sector: str = ""
    commune: str = ""


Register = Mapping[str, Establishment]
"""Establishments by UAI."""
