"""Reads the guards of the policy: the defaults, and the limits and periods that override them."""

from __future__ import annotations

from collections.abc import Mapping
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


def _floor(floor: int, share: float) -> Guard:
    return Guard(Limit(floor, share, scales=True))


DEFAULT_GUARDS: Mapping[str, Guard] = MappingProxyType(
    {
        "deactivate": Guard(Limit(20, 0.01)),
        "archive": Guard(Limit(20, 0.02)),
        "revoke": Guard(Limit(30, 0.10)),
        "suspend": Guard(Limit(20, 0.02)),
        "lock": Guard(Limit(10, 0.005)),
        "rename": Guard(Limit(20, 0.02)),
        "create": Guard(Limit(30, 0.10)),
        "adopt": Guard(Limit(500, 0.10)),
        "group": Guard(Limit(10, 0.0)),
        "update": Guard(Limit(50, 0.40)),
        "grant": Guard(Limit(30, 0.25)),
        "reopen": Guard(Limit(20, 0.04)),
        "unlock": Guard(Limit(10, 0.005)),
        "profile_growth": _floor(20, 0.25),
        "service_growth": _floor(30, 0.25),
        "other_establishment": _floor(15, 0.01),
        "other_function": _floor(15, 0.01),
        "other_details": _floor(40, 0.08),
        "other_name": _floor(20, 0.02),
        "held": _floor(25, 0.05),
        "revoke_window": _floor(80, 0.20),
        "suspend_window": _floor(40, 0.04),
        "deactivate_window": _floor(60, 0.10),
        "archive_window": _floor(60, 0.10),
        "lock_window": _floor(15, 0.01),
        "drift": _floor(20, 0.02),
        "loosening": _floor(10, 0.005),
        "identity": _floor(20, 0.02),
        "password": _floor(30, 0.15),
        "password_operator": _floor(50, 0.15),
        "password_day": _floor(80, 0.20),
        "device": _floor(10, 0.001),
        "device_operator": _floor(15, 0.002),
        "device_day": _floor(30, 0.005),
    }
)
"""The guards of kinds that a policy does not name, all year; create, grant and update are wide enough for a
rentrée. A policy can change them but not switch them off."""


def read_guards(guards: Node) -> dict[str, Guard]:
    """The guards outside periods, by kind; the defaults apply to kinds that the policy does not name."""
    return {**DEFAULT_GUARDS, **_guards(guards, DEFAULT_GUARDS)}


def read_guard_periods(document: Document, guards: Node) -> tuple[GuardPeriod, ...]:
    """The periods in file order. A limit that a period does not set is the one outside periods."""
    usual = read_guards(guards)
    periods = []
    for name, node in guards.at("periods").entries():
        first = day_of_year(document, node.at("from"), f"guards.periods.{name}.from")
        last = day_of_year(document, node.at("to"), f"guards.periods.{name}.to")
        periods.append(GuardPeriod(name, first, last, _guards(node, usual)))
    return tuple(periods)


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
