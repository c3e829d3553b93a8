"""Reads the guards of the policy: the defaults, and the limits and periods that override them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from types import MappingProxyType

from piactl.config.strict_yaml import Document, Node, quoted
from piactl.core.model.policy import Guard, GuardPeriod, Limit
from piactl.core.plan.change import GUARD_KINDS

_LEAP_YEAR = 2028
"""A year that has all days of the calendar, 02-29 included."""


def day_of_year(document: Document, node: Node, label: str) -> tuple[int, int]:
    """(month, day) of a text MM-DD. Adds a mistake to the document if no year has that day.

    Returns (1, 1) for a text of another form; the schema has already reported it.
    """
    parts = node.text().split("-")
    if len(parts) != 2 or not all(part.isascii() and part.isdigit() for part in parts):
        return (1, 1)
    month, day = (int(part) for part in parts)
    try:
        date(_LEAP_YEAR, month, day)
    except ValueError:
        if 1 <= month <= 12 and 1 <= day <= 31:  # the schema reports all others
            document.mistake(node, f"{label}: {quoted(node)} is not a day of the year; that month is shorter")
        return (1, 1)
    return (month, day)


def _floor(floor: int, share: float, per_establishment: Limit | None = None) -> Guard:
    return Guard(Limit(floor, share, scales=True), per_establishment)


_FEW, _SOME = Limit(5, 0.20), Limit(10, 0.40)

DEFAULT_GUARDS: Mapping[str, Guard] = MappingProxyType(
    {
        "drift": _floor(20, 0.02),
        "loosening": _floor(10, 0.005),
        "identity": _floor(15, 0.01),
        "create": _floor(20, 0.02),
        "adopt": Guard(Limit(500, 0.10)),
        "update": _floor(40, 0.05),
        "rename": _floor(15, 0.005),
        "grant": _floor(20, 0.03),
        "revoke": _floor(20, 0.02),
        "suspend": _floor(15, 0.01, _FEW),
        "reopen": _floor(15, 0.01),
        "deactivate": _floor(15, 0.01, _FEW),
        "archive": _floor(15, 0.01, _FEW),
        "lock": _floor(5, 0.001),
        "unlock": Guard(Limit(10, 0.005)),
        "group": Guard(Limit(10, 0.0)),
        "profile_growth": _floor(20, 0.05),
        "service_growth": _floor(20, 0.05),
        "other_establishment": _floor(15, 0.01),
        "other_function": _floor(15, 0.01),
        "other_details": _floor(40, 0.06),
        "other_name": _floor(15, 0.01),
        "held": _floor(25, 0.05),
        "revoke_window": _floor(50, 0.06),
        "suspend_window": _floor(25, 0.03),
        "deactivate_window": _floor(25, 0.03),
        "archive_window": _floor(25, 0.03),
        "lock_window": _floor(10, 0.003),
        "password": _floor(20, 0.001),
        "password_operator": _floor(30, 0.002),
        "password_day": _floor(60, 0.01),
        "device": _floor(10, 0.001),
        "device_operator": _floor(15, 0.002),
        "device_day": _floor(30, 0.005),
    }
)
"""The guards outside periods of kinds that a policy does not name: those of examples/policy.yaml. A policy
can change them but not switch them off."""

DEFAULT_PERIODS = (
    GuardPeriod(
        "rentree",
        (8, 20),
        (9, 30),
        {
            "identity": _floor(20, 0.02),
            "create": _floor(30, 0.15),
            "update": _floor(50, 0.25),
            "rename": _floor(20, 0.02),
            "grant": _floor(30, 0.15),
            "revoke": _floor(30, 0.06),
            "suspend": _floor(20, 0.015, _SOME),
            "reopen": _floor(20, 0.015),
            "deactivate": _floor(20, 0.06, _SOME),
            "archive": _floor(20, 0.06, _SOME),
            "profile_growth": _floor(30, 0.15),
            "service_growth": _floor(30, 0.15),
            "revoke_window": _floor(80, 0.12),
            "password": _floor(30, 0.15),
            "password_operator": _floor(50, 0.15),
            "password_day": _floor(80, 0.2),
            "suspend_window": _floor(40, 0.03),
            "deactivate_window": _floor(50, 0.12),
            "archive_window": _floor(50, 0.12),
        },
    ),
    GuardPeriod(
        "fins_de_grace",
        (10, 1),
        (12, 31),
        {
            "deactivate": _floor(20, 0.06, _SOME),
            "archive": _floor(20, 0.06, _SOME),
            "revoke_window": _floor(60, 0.08),
            "deactivate_window": _floor(50, 0.12),
            "archive_window": _floor(50, 0.12),
        },
    ),
)
"""The periods of kinds that a policy does not name outside periods."""


def read_guards(guards: Node) -> dict[str, Guard]:
    """The guards outside periods, by kind; the defaults apply to kinds that the policy does not name."""
    # a policy that names a kind has the scopes of that guard that it names
    usual = {kind: Guard(guard.overall) for kind, guard in DEFAULT_GUARDS.items()}
    return {**DEFAULT_GUARDS, **_guards(guards, usual)}


def names_guards(guards: Node) -> bool:
    """Whether the policy names a kind of guard, in a period or outside."""
    periods = (node for _, node in guards.at("periods").entries())
    return any(kind in GUARD_KINDS for node in (guards, *periods) for kind, _ in node.entries())


def read_guard_periods(document: Document, guards: Node) -> tuple[GuardPeriod, ...]:
    """The default periods, then those of the policy in file order. A limit that a period does not set is the
    one outside periods. A kind that the policy names outside periods, or in a period of that name, is in no
    default period."""
    usual = read_guards(guards)
    periods, named = [], {"": {kind for kind, _ in guards.entries()}}
    for name, node in guards.at("periods").entries():
        first = day_of_year(document, node.at("from"), f"guards.periods.{name}.from")
        last = day_of_year(document, node.at("to"), f"guards.periods.{name}.to")
        periods.append(GuardPeriod(name, first, last, _guards(node, usual)))
        named[name] = {kind for kind, _ in node.entries()}
    default = []
    for period in DEFAULT_PERIODS:
        replaced = named[""] | named.get(period.name, set())
        rest = {kind: guard for kind, guard in period.guards.items() if kind not in replaced}
        default += [replace(period, guards=rest)] if rest else []
    return (*default, *periods)


def _guards(node: Node, usual: Mapping[str, Guard]) -> dict[str, Guard]:
    none = Guard()
    return {
        kind: _guard(value, usual.get(kind, none)) for kind, value in node.entries() if kind in GUARD_KINDS
    }


def _guard(node: Node, usual: Guard) -> Guard:
    return Guard(
        _limit(node) or usual.overall,
        _limit(node.at("per_establishment")) or usual.per_establishment,
        _limit(node.at("per_profile")) or usual.per_profile,
    )


def _limit(node: Node) -> Limit | None:
    fixed, floor, share = node.at("max"), node.at("floor"), node.at("share")
    number = fixed if floor.value is None else floor
    if number.value is None or share.value is None:
        return None
    return Limit(number.integer(0), share.number(0.0), scales=number is floor)
