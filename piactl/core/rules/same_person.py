"""Compares names, and what sources state of one person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Protocol

from piactl.core.model.account import Account
from piactl.core.model.overrides import OverrideKind
from piactl.core.naming.local_part_and_capitalisation import UnusableName, name_words
from piactl.dataclass import dataclass

PERSON_DATA = {
    "family_name": "nom_famille",
    "given_name": "prenom",
    "usage_name": "nom_usage",
    "civilite": "civilite",
    "private_mail": "courriel_prive",
}
"""The fields of a person on an account, with their feed columns."""

GROUPS = {
    "names": ("family_name", "given_name", "usage_name", "civilite"),
    "courriel_prive": ("private_mail",),
}
"""The fields for which the configuration may name the source that comes first."""

NAMES = ("family_name", "given_name", "usage_name")


class Named(Protocol):
    """A person in the HR data, or an account."""

    @property
    def family_name(self) -> str: ...

    @property
    def usage_name(self) -> str: ...

    @property
    def given_name(self) -> str: ...


def same_name(left: str, right: str) -> bool:
    """Whether two names give the same address: accents, case, hyphens and apostrophes do not count."""
    return folded(left) == folded(right)


def name_text(person: Named) -> str:
    """The names of a person in a sentence, with the name at birth if it differs."""
    name = f"{person.given_name} {person.usage_name or person.family_name}".strip()
    return f"{name} ({person.family_name} at birth)" if person.usage_name else name


def folded(name: str) -> str:
    """A name as it is compared: in the letters of an address."""
    try:
        return name_words(name, "nom_famille") if name.strip() else ""
    except UnusableName:  # an entry may have any name
        return " ".join(name.casefold().split())


@dataclass(frozen=True, slots=True)
class Ranks:
    """The sources by rank, and for some GROUPS of fields the one that comes first."""

    sources: tuple[str, ...] = ()
    first: Mapping[str, str] = field(default_factory=dict)

    def place(self, source: str, name: str) -> tuple[bool, int]:
        """The sort key of a source for a field of a person."""
        preferred = any(self.first.get(group) == source for group, names in GROUPS.items() if name in names)
        known = source in self.sources
        return not preferred, self.sources.index(source) if known else len(self.sources)


def ranked_value(current: str, stated: Sequence[str | None]) -> str:
    """The value of a field of a person in several sources, given by rank: what the first one states, if it
    is no blank. None is a source that this run does not have, and whose last value, not blank, is not
    known: the current value stays."""
    for value in stated:
        if value is None:
            return current
        if value:
            return value
    return ""


def differs(name: str, value: str, stated: str) -> bool:
    """Whether a source states another value than that of the account. A blank is none."""
    return bool(stated) and not _same(name, stated, value)


def _same(name: str, left: str, right: str) -> bool:
    return left == right or (name in NAMES and bool(left) and bool(right) and same_name(left, right))


def data_of(account: Account) -> dict[str, str]:
    """The data of the person from sources, without overrides."""
    data = {name: str(getattr(account, name)) for name in PERSON_DATA}
    for override in account.overrides:
        if override.kind is OverrideKind.NAME and account.usage_name == override.value:
            data["usage_name"] = override.was
    return data
