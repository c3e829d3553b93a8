"""Compares names, and what sources state of one person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from piactl.core.model.account import Account
from piactl.core.model.overrides import OverrideKind
from piactl.core.naming.local_part import UnusableName, name_words

PERSON_DATA = {
    "family_name": "nom_famille",
    "given_name": "prenom",
    "usage_name": "nom_usage",
    "civilite": "civilite",
    "private_mail": "courriel_prive",
}
"""The fields of a person on an account, with their feed columns."""

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
class Statement:
    """The value of one field of a person in a source tonight; `new` if it differs from the last one."""

    source: str
    value: str
    new: bool


def resolved_value(name: str, current: str, statements: Sequence[Statement]) -> str:
    """The value of a field of a person in several sources: the new one, unless sources contradict each other
    in the same run; a value wins over a blank. Otherwise the current value."""
    filled = [statement for statement in statements if statement.value]
    if any(not _same(name, statement.value, filled[0].value) for statement in filled):
        return current
    return next((statement.value for statement in filled or statements if statement.new), current)


def sources_differ(name: str, value: str, statements: Sequence[Statement]) -> bool:
    """Whether a source differs from the current value of a field. A blank differs only if it is new, because
    many sources have a column that they never fill."""
    return any(
        (statement.value or statement.new) and not _same(name, statement.value, value)
        for statement in statements
    )


def _same(name: str, left: str, right: str) -> bool:
    return left == right or (name in NAMES and bool(left) and bool(right) and same_name(left, right))


def data_of(account: Account) -> dict[str, str]:
    """The data of the person from sources, without overrides."""
    data = {name: str(getattr(account, name)) for name in PERSON_DATA}
    for override in account.overrides:
        if override.kind is OverrideKind.NAME and account.usage_name == override.value:
            data["usage_name"] = override.was
    return data
