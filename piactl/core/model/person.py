"""A person in the HR data, and the establishment register."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from piactl.core.model.assignment import Assignment
from piactl.core.model.numen import Numen


@dataclass(frozen=True, slots=True)
class Person:
    """The data of one matricule in one feed. "" is no value."""

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


@dataclass(frozen=True, slots=True)
class Establishment:
    """One line of the establishment register; "" is no value."""

    uai: str
    name: str = ""
    nature: str = ""
    degree: str = ""
    sector: str = ""
    commune: str = ""


Register = Mapping[str, Establishment]
"""Establishments by UAI."""
