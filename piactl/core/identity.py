"""Whose account it is: whether the names that a source gives may speak for the account of a matricule."""

from __future__ import annotations

from typing import Protocol

from piactl.core.names import UnusableName, name_words


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
