"""Limits of the guards: what a policy writes, the built-in ones, and what counts when both are there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from math import sqrt
from types import MappingProxyType
from typing import Annotated, Any

from piactl.core.model.written import (
    FILLED,
    Bounds,
    DayOfYear,
    EntryName,
    Key,
    Needs,
    NotBeside,
    WrittenAs,
    whole,
)

REFERENCE = 1_000
"""The number of accounts in scope that a scaling floor refers to."""

LEAST = 10
"""A scaling floor never falls below this number of accounts, which a person can still read, unless the policy
gives a lower floor."""


@dataclass(frozen=True, slots=True)
class Limit:
    """Exceeded by more than `max` accounts and more than `share` (0 to 1) of the accounts in scope.

    `scales`: `max` is the floor for REFERENCE accounts, and the floor for another number is `max` times the
    root of their ratio, because the chance variation of a count grows with the root of its mean.
    """

    max: int
    share: float
    scales: bool = False

    def among(self, accounts: int) -> Limit:
        """The limit for a scope of this many accounts."""
        if not self.scales:
            return self
        floor = int(self.max * sqrt(accounts / REFERENCE))
        return Limit(max(floor, min(self.max, LEAST)), self.share)

    def most(self, accounts: int) -> int:
        """The most accounts that do not exceed it in a scope of this many."""
        return max(self.among(accounts).max, int(self.share * accounts))


@dataclass(frozen=True, slots=True)
class Guard:
    """The limits of one kind of change: overall, per establishment and per profile."""

    overall: Limit | None = None
    per_establishment: Limit | None = None
    per_profile: Limit | None = None

    def limit(self, scope: str) -> Limit | None:
        """The limit for one "establishment" or one "profile", or else for all accounts."""
        own = {"establishment": self.per_establishment, "profile": self.per_profile}
        return own.get(scope, self.overall)


@dataclass(frozen=True, slots=True)
class GuardPeriod:
    """A part of the year with other guards; `first` and `last` are (month, day), both included.

    A period whose last day is before its first day spans New Year.
    """

    name: str
    first: tuple[int, int]
    last: tuple[int, int]
    guards: Mapping[str, Guard]


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


_ACCOUNTS = whole("a number of accounts", 0, 1_000_000)
_FLOOR = Bounds(
    "a number of 1000 accounts, a whole number from 0 to 1000000; it scales with the root of the accounts",
    0,
    1_000_000,
)


@dataclass(frozen=True, slots=True)
class _Written:
    """A limit as a policy has it: a floor that scales or a fixed number, and a share."""

    floor: Annotated[int | None, _FLOOR, Needs(("share",)), NotBeside("max", "floor or max, not both")] = None
    max: Annotated[int | None, _ACCOUNTS, Needs(("share",))] = None
    share: Annotated[
        float | None,
        Bounds("a share from 0 to less than 1, such as 0.05", 0, below=1),
        Needs(("max", "floor")),
    ] = None

    def limit(self) -> Limit | None:
        number = self.max if self.floor is None else self.floor
        if number is None or self.share is None:
            return None
        return Limit(number, self.share, scales=self.floor is not None)


@dataclass(frozen=True, slots=True)
class WrittenLimit(_Written):
    """A limit for one establishment or one profile."""

    def value(self) -> Limit | None:
        return self.limit()


_OneLimit = Annotated[Limit | None, WrittenAs(WrittenLimit), FILLED, "a limit, {floor: 20, share: 0.05}"]


@dataclass(frozen=True, slots=True)
class WrittenOverall(_Written):
    """A guard that has no limits for one establishment or one profile."""

    def value(self) -> Guard:
        return Guard(self.limit())


@dataclass(frozen=True, slots=True)
class WrittenGuard(_Written):
    """A guard as a policy has it."""

    per_establishment: _OneLimit = None
    per_profile: _OneLimit = None

    def value(self) -> Guard:
        return Guard(self.limit(), self.per_establishment, self.per_profile)


_Guard = Annotated[Guard | None, WrittenAs(WrittenGuard), FILLED, "a guard, {max: 100, share: 0.01}"]
_Overall = Annotated[Guard | None, WrittenAs(WrittenOverall), FILLED, "a limit, {floor: 20, share: 0.05}"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenKinds:
    """The guards that a policy names, by kind (`GUARD_KINDS`)."""

    drift: _Guard = None
    loosening: _Guard = None
    identity: _Guard = None
    create: _Guard = None
    adopt: _Guard = None
    group: _Guard = None
    update: _Guard = None
    rename: _Guard = None
    grant: _Guard = None
    revoke: _Guard = None
    suspend: _Guard = None
    reopen: _Guard = None
    deactivate: _Guard = None
    archive: _Guard = None
    lock: _Guard = None
    unlock: _Guard = None
    profile_growth: _Overall = None
    service_growth: _Overall = None
    other_establishment: _Overall = None
    other_function: _Overall = None
    other_details: _Overall = None
    other_name: _Overall = None
    held: _Overall = None
    revoke_window: _Overall = None
    suspend_window: _Overall = None
    deactivate_window: _Overall = None
    archive_window: _Overall = None
    lock_window: _Overall = None
    password: _Overall = None
    password_operator: _Overall = None
    password_day: _Overall = None
    device: _Overall = None
    device_operator: _Overall = None
    device_day: _Overall = None

    def named(self) -> dict[str, Guard]:
        """The guards that are there, by kind."""
        guards = {field.name: getattr(self, field.name) for field in fields(WrittenKinds)}
        return {kind: guard for kind, guard in guards.items() if guard is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenPeriod(WrittenKinds):
    """A part of the year with other guards, as a policy has it."""

    name: EntryName
    first: Annotated[DayOfYear, Key("from")]
    last: Annotated[DayOfYear, Key("to")]


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenGuards(WrittenKinds):
    """The section `guards` of a policy."""

    window: Annotated[int, Bounds("the number of days whose losses count together, 2 to 31", 2, 31)] = 7
    periods: Annotated[
        tuple[Annotated[WrittenPeriod, "a period, {from: 08-20, to: 09-30, ...}"], ...],
        "periods, name: {from: 08-20, to: 09-30, ...}",
    ] = ()

    def value(self) -> dict[str, Any]:
        """The fields `guards`, `periods`, `own_guards` and `window` of the policy.

        The built-in guards apply to kinds that the policy does not name, the built-in periods to kinds that
        it names neither outside periods nor in a period of that name. A limit that a period does not set is
        the one outside periods.
        """
        # a policy that names a kind has the scopes of that guard that it names
        overall = {kind: Guard(guard.overall) for kind, guard in DEFAULT_GUARDS.items()}
        guards = {**DEFAULT_GUARDS, **_over(overall, self.named())}
        periods = [GuardPeriod(p.name, p.first, p.last, _over(guards, p.named())) for p in self.periods]
        default = []
        for period in DEFAULT_PERIODS:
            replaced = {*self.named(), *(k for p in self.periods if p.name == period.name for k in p.named())}
            rest = {kind: guard for kind, guard in period.guards.items() if kind not in replaced}
            default += [replace(period, guards=rest)] if rest else []
        return {
            "guards": guards,
            "periods": (*default, *periods),
            "own_guards": bool(self.named() or any(period.named() for period in self.periods)),
            "window": self.window,
        }


def _over(usual: Mapping[str, Guard], named: Mapping[str, Guard]) -> dict[str, Guard]:
    """The named guards; what one does not limit is as usual."""
    none = Guard()
    merged = {}
    for kind, guard in named.items():
        before = usual.get(kind, none)
        merged[kind] = Guard(
            guard.overall or before.overall,
            guard.per_establishment or before.per_establishment,
            guard.per_profile or before.per_profile,
        )
    return merged
