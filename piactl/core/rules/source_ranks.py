"""Sources of HR data: which one counts for a person, and supplements.

Supplements add posts to people whom an authoritative source knows, and never close an account.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta

from piactl.core.model.account import Account
from piactl.core.model.overrides import OverrideKind
from piactl.core.model.person import Assignment
from piactl.core.rules.matching import NAMES, same_name


@dataclass(frozen=True, slots=True)
class Supplements:
    """The names of the sources that are supplements, and of those among them that make accounts. `idle`: the
    functions, each with its source, that only say that the person is there."""

    names: frozenset[str] = frozenset()
    creating: frozenset[str] = frozenset()
    idle: frozenset[tuple[str, str]] = frozenset()

    def authoritative(self, assignments: Iterable[Assignment]) -> list[Assignment]:
        """The assignments of authoritative sources, and those made by hand."""
        return [a for a in assignments if a.source not in self.names]

    def beside(self, assignments: tuple[Assignment, ...]) -> tuple[Assignment, ...]:
        """The assignments of a person, with those of supplements only as far as they count.

        For a post that an authoritative source has, running or ended, only that source counts. Other posts of
        a supplement count from the first authoritative one that is not over to the last one: they must not
        open an account before HR does, nor keep it open longer. Idle functions do not count. If no
        authoritative source knows the person, only supplements that make accounts count.
        """
        if all(a.source not in self.names for a in assignments):
            return assignments
        first = self.authoritative(assignments)
        if not first:
            return tuple(a for a in assignments if a.source in self.creating)
        posts = {(a.uai, a.function) for a in first}
        last = date.max if any(a.end is None for a in first) else max(a.end for a in first if a.end)
        result = []
        for assignment in assignments:
            if assignment.source in self.names:
                opens = [a.start for a in first if not a.is_over(assignment.start)]
                idle = (assignment.source, assignment.function) in self.idle
                if (assignment.uai, assignment.function) in posts or idle or not opens:
                    continue
                end = min(assignment.end or date.max, last)
                start = max(assignment.start, min(opens))
                if end < start:
                    continue
                result.append(replace(assignment, start=start, end=None if end == date.max else end))
            else:
                result.append(assignment)
        return tuple(result)


def with_known_starts(
    listed: Sequence[Assignment], known: Iterable[Assignment], source: str, day: date
) -> tuple[Assignment, ...]:
    """The assignments of a feed that need not have a start: without one they begin on its `day`. A start that
    is known is never rewritten once it has passed. A post that ended earlier than the day before begins
    anew."""
    eve = day - timedelta(days=1)
    starts = {
        (a.uai, a.function): a.start
        for a in sorted(known, key=lambda a: a.start, reverse=True)
        if a.source == source and not a.is_over(eve)
    }
    result = []
    for assignment in listed:
        start = starts.get((assignment.uai, assignment.function))
        stays = start is not None and (start <= day or assignment.start == day)
        result.append(replace(assignment, start=start) if start and stays else assignment)
    return tuple(result)


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
    """The value of a field of a person in several sources, in order of rank: the first that is not blank.
    None is a source without a feed in this run, whose last value is unknown but was not blank: then the
    current value stays."""
    for value in stated:
        if value is None:
            return current
        if value:
            return value
    return ""


def differs(name: str, value: str, stated: str) -> bool:
    """Whether a source states a value other than that of the account. A blank does not differ."""
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
