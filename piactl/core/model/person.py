"""A person in the HR data, the assignments, and the establishment register with its numbers (UAI)."""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from operator import attrgetter

from piactl.core.model.keyed_digests import Numen
from piactl.core.text import few, search_words
from piactl.phrase import Phrase

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


@dataclass(frozen=True, slots=True)
class Establishment:
    """One line of the establishment register; "" means no value."""

    uai: str
    name: str = ""
    nature: str = ""
    degree: str = ""
    sector: str = ""
    commune: str = ""
    telephone: str = ""


Register = Mapping[str, Establishment]
"""Establishments by UAI."""


_LETTERS = "ABCDEFGHJKLMNPRSTUVWXYZ"
_SHAPE = re.compile(r"([0-9]{7})([A-Z])")


def uai_letter(digits: str) -> str:
    """The key letter of seven digits."""
    return _LETTERS[int(digits) % 23]


def read_uai(text: str) -> tuple[str | None, str]:
    """`(uai, "")`, or `(None, reason)`; the reason gives the right letter if only the letter is wrong."""
    value = text.strip().upper()
    match = _SHAPE.fullmatch(value)
    if match is None:
        return None, Phrase(
            "{value} is not a UAI: expected seven digits and a letter, such as {example}",
            value=repr(value),
            example="0800009A",
        )
    digits, letter = match.groups()
    right = uai_letter(digits)
    if letter != right:
        return None, Phrase(
            "the key letter of UAI {value} is wrong: {right} would be right",
            value=value,
            right=digits + right,
        )
    return value, ""


def words_of(establishment: Establishment) -> list[str]:
    """The words by which an establishment is searched for."""
    e = establishment
    return [word for part in (e.uai, e.name, e.commune, e.telephone) for word in search_words(part)]


def establishments_named(register: Register, text: str) -> list[Establishment]:
    """The establishments in whose UAI, name, commune or telephone each word of the text begins a word; only
    those of exactly this name, if there are some."""
    words = search_words(text)
    found = [
        establishment
        for establishment in register.values()
        if words and all(any(own.startswith(word) for own in words_of(establishment)) for word in words)
    ]
    return [e for e in found if search_words(e.name) == words] or found


def read_establishment(text: str, register: Register) -> tuple[str | None, str]:
    """As `read_uai`, also for the name of an establishment of the register, or words that fit one alone."""
    uai, why = read_uai(text)
    if uai is not None or not text.strip() or _SHAPE.fullmatch(text.strip().upper()):
        return uai, why
    found = establishments_named(register, text)
    if len(found) == 1:
        return found[0].uai, ""
    if not found:
        return None, Phrase(
            "{text} is neither a UAI nor a name in the register of establishments; to find one: "
            "piactl establishment list WORD",
            text=repr(text),
        )
    names = few([f"{e.uai} ({e.name})" if e.name else e.uai for e in found], _MOST_NAMED)
    return None, Phrase("{text} fits several establishments: {names}", text=repr(text), names=names)


_MOST_NAMED = 5
