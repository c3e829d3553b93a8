"""Warnings about a policy: valid rules that are probably not intended."""

from __future__ import annotations

from itertools import product
from math import prod

from piactl.core.model.policy import Policy, Profile, When
from piactl.errors import Mistake

LONGEST_KEEPING = 92
"""Three months, in days: arrêté du 30 novembre 2006, article 6, for the data of school portals."""

_MOST_COMBINATIONS = 20_000


def policy_warnings(policy: Policy, file: str = "policy.yaml") -> list[Mistake]:
    """The warnings in file order: unreachable profiles, services without a reachable profile, and data kept
    longer than three months."""
    unreachable = _unreachable(policy)
    found = [*unreachable.values(), *_too_long(policy)]
    for service in policy.services.values():
        if service.profiles is not None and not service.profiles - set(unreachable):
            found.append((service.line, f"services.{service.name}: no profile gets it"))
    return [Mistake(file, line, 0, message) for line, message in sorted(found)]


def _unreachable(policy: Policy) -> dict[str, tuple[int, str]]:
    found = {}
    for index, profile in enumerate(policy.profiles):
        takers = _takers(policy.profiles[:index], profile.when)
        if takers:
            names = " and ".join(takers)
            verb = "takes" if len(takers) == 1 else "take"
            found[profile.name] = (
                profile.line,
                f"profiles.{profile.name}: nobody can have it: {names} before it {verb}"
                " every assignment it matches; move it up",
            )
    return found


def _takers(earlier: tuple[Profile, ...], when: When) -> list[str]:
    """The earlier profiles that together match every assignment that `when` matches; [] if they do not."""
    names = list(when.conditions)
    for profile in earlier:
        conditions = profile.when.conditions
        if all(name in names and values >= when.conditions[name] for name, values in conditions.items()):
            return [profile.name]
    if prod(len(values) for values in when.conditions.values()) > _MOST_COMBINATIONS:
        return []
    takers: list[str] = []
    for combination in product(*(sorted(when.conditions[name]) for name in names)):
        values = dict(zip(names, combination, strict=True))
        taker = next((p.name for p in earlier if _takes(p.when, values)), None)
        if taker is None:
            return []
        if taker not in takers:
            takers.append(taker)
    return takers


def _takes(when: When, values: dict[str, str]) -> bool:
    return all(values.get(name) in allowed for name, allowed in when.conditions.items())


def _too_long(policy: Policy) -> list[tuple[int, str]]:
    graces = [(rule.line, "grace", rule.days) for rule in policy.grace]
    graces += [
        (position.line, f"positions.{position.name}.grace", position.grace)
        for position in policy.positions.values()
        if position.grace is not None
    ]
    return [
        (
            line,
            f"{label}: {days} days of grace and {policy.retention} of retention keep data for"
            f" {days + policy.retention} days;"
            f" the arrêté du 30/11/2006, art. 6, allows three months ({LONGEST_KEEPING})",
        )
        for line, label, days in graces
        if days + policy.retention > LONGEST_KEEPING
    ]
