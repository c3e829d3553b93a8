"""Whose account it is: whether the names that a source gives may speak for the account of a matricule."""

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
"""The fields of a person that an account keeps, with their columns in a feed."""

NAMES = ("family_name", "given_name", "usage_name")


class Named(Protocol):
    """A person as HR tells it, or an account."""

    @property
    def family_name(self) -> str: ...

    @property
    def usage_name(self) -> str: ...

    @property
    def given_name(self) -> str: ...


def same_name(one: str, other: str) -> bool:
    """Whether two names are the same by the rule that makes addresses of them: accents, case, hyphens and
    apostrophes make no difference."""
    return _folded(one) == _folded(other)


def another_person(told: Named, known: Named) -> bool:
    """Whether family name and given name both differ. One of them alone is a marriage or a correction, and
    of the family names at birth and in usage it is enough that any two agree.

    `known` is the account, or who waits for one. The tombstone of an archived account has no names: nothing
    can be compared with it, so a return from the archive is whoever HR says.
    """
    if told.given_name == known.given_name or told.family_name == known.family_name:
        return False  # nearly everybody, on nearly every night: folding takes longer
    family = {_folded(told.family_name), _folded(told.usage_name)} - {""}
    ours = {_folded(known.family_name), _folded(known.usage_name)} - {""}
    return family.isdisjoint(ours) and not same_name(told.given_name, known.given_name)


def spoken_name(one: Named) -> str:
    """The names of a person in a sentence, the one at birth too where it is another."""
    name = f"{one.given_name} {one.usage_name or one.family_name}".strip()
    return f"{name} ({one.family_name} at birth)" if one.usage_name else name


def _folded(name: str) -> str:
    try:
        return name_words(name, "nom_famille") if name.strip() else ""
    except UnusableName:  # on an entry anything may stand
        return " ".join(name.casefold().split())


@dataclass(frozen=True, slots=True)
class Statement:
    """What a source says tonight in one field of a person; `new` where it did not say so before."""

    source: str
    value: str
    new: bool


def resolved_value(name: str, current: str, statements: Sequence[Statement]) -> str:
    """The value of a field of somebody whom several sources know: a new statement, unless another source says
    otherwise in the same run; a blank yields to a value. Else it stays as it is."""
    filled = [one for one in statements if one.value]
    if any(not _same(name, one.value, filled[0].value) for one in filled):
        return current
    return next((one.value for one in filled or statements if one.new), current)


def sources_differ(name: str, value: str, statements: Sequence[Statement]) -> bool:
    """Whether a source says otherwise than the value that a field has now. A blank does so only where it is
    new: many sources have a column that they never fill."""
    return any((one.value or one.new) and not _same(name, one.value, value) for one in statements)


def _same(name: str, one: str, other: str) -> bool:
    return one == other or (name in NAMES and bool(one) and bool(other) and same_name(one, other))


def data_of(account: Account) -> dict[str, str]:
    """What sources said of the person of an account, whatever was put over it by hand."""
    data = {name: str(getattr(account, name)) for name in PERSON_DATA}
    for override in account.overrides:
        if override.kind is OverrideKind.NAME and account.usage_name == override.value:
            data["usage_name"] = override.was
    return data
