"""Limits of the guards: what a policy writes, the built-in ones, and what counts when both are there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from math import sqrt
from types import MappingProxyType
from typing import Annotated, Any

from piactl.core.model.field_notes import (
    FILLED,
    GIVEN,
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
    *(0, 1_000_000),
)
_PART = Bounds("a share from 0 to less than 1, such as 0.05", 0, below=1)


@dataclass(frozen=True, eq=False, repr=False)
class WrittenLimit:
    """A limit as a policy has it: a floor that scales or a fixed number, and a share."""

    floor: Annotated[int, _FLOOR, Needs(("share",)), NotBeside("max", "floor or max, not both")] | None = None
    max: Annotated[int, _ACCOUNTS, Needs(("share",))] | None = None
    share: Annotated[float, _PART, Needs(("max", "floor"))] | None = None

    def value(self) -> Any:
        number = self.max if self.floor is None else self.floor
        if number is None or self.share is None:
            return None
        return Limit(number, self.share, scales=self.floor is not None)


_Limit = Annotated[Limit, WrittenAs(WrittenLimit), FILLED, "a limit, {floor: 20, share: 0.05}"]


@dataclass(frozen=True, eq=False, repr=False)
class WrittenGuard(WrittenLimit):
    """A guard of a kind that also has limits for one establishment and for one profile."""

    per_establishment: _Limit | None = None
    per_profile: _Limit | None = None

    def value(self) -> Guard:
        return Guard(super().value(), self.per_establishment, self.per_profile)


_Guard = Annotated[Guard, WrittenAs(WrittenGuard), FILLED, "a guard, {max: 100, share: 0.01}"]


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class WrittenKinds:
    """The guards of a policy by kind (`GUARD_KINDS`). The built-in ones are for kinds that it does not name,
    outside periods: those of examples/policy.yaml. A policy can change them but not switch them off."""

    drift: _Guard = Guard(Limit(20, 0.02, scales=True))
    loosening: _Guard = Guard(Limit(10, 0.005, scales=True))
    identity: _Guard = Guard(Limit(15, 0.01, scales=True))
    create: _Guard = Guard(Limit(20, 0.02, scales=True))
    adopt: _Guard = Guard(Limit(500, 0.10))
    group: _Guard = Guard(Limit(10, 0.0))
    update: _Guard = Guard(Limit(40, 0.05, scales=True))
    rename: _Guard = Guard(Limit(15, 0.005, scales=True))
    grant: _Guard = Guard(Limit(20, 0.03, scales=True))
    revoke: _Guard = Guard(Limit(20, 0.02, scales=True))
    suspend: _Guard = Guard(Limit(15, 0.01, scales=True), _FEW)
    reopen: _Guard = Guard(Limit(15, 0.01, scales=True))
    deactivate: _Guard = Guard(Limit(15, 0.01, scales=True), _FEW)
    archive: _Guard = Guard(Limit(15, 0.01, scales=True), _FEW)
    lock: _Guard = Guard(Limit(5, 0.001, scales=True))
    unlock: _Guard = Guard(Limit(10, 0.005))
    profile_growth: _Limit = Limit(20, 0.05, scales=True)
    service_growth: _Limit = Limit(20, 0.05, scales=True)
    other_establishment: _Limit = Limit(15, 0.01, scales=True)
    other_function: _Limit = Limit(15, 0.01, scales=True)
    other_details: _Limit = Limit(40, 0.06, scales=True)
    other_name: _Limit = Limit(15, 0.01, scales=True)
    held: _Limit = Limit(25, 0.05, scales=True)
    revoke_window: _Limit = Limit(50, 0.06, scales=True)
    suspend_window: _Limit = Limit(25, 0.03, scales=True)
    deactivate_window: _Limit = Limit(25, 0.03, scales=True)
    archive_window: _Limit = Limit(25, 0.03, scales=True)
    lock_window: _Limit = Limit(10, 0.003, scales=True)
    password: _Limit = Limit(20, 0.001, scales=True)
    password_operator: _Limit = Limit(30, 0.002, scales=True)
    password_day: _Limit = Limit(60, 0.01, scales=True)
    device: _Limit = Limit(10, 0.001, scales=True)
    device_operator: _Limit = Limit(15, 0.002, scales=True)
    device_day: _Limit = Limit(30, 0.005, scales=True)
    given: Annotated[frozenset[str], GIVEN] = frozenset()

    def named(self) -> dict[str, Guard]:
        """The guards that the policy names, by kind."""
        return {kind: _guard(getattr(self, kind)) for kind in DEFAULT_GUARDS if kind in self.given}


def _guard(written: Guard | Limit | None) -> Guard:
    """The guard of a kind, some of which have one limit for all accounts alone."""
    return written if isinstance(written, Guard) else Guard(written)


DEFAULT_GUARDS: Mapping[str, Guard] = MappingProxyType(
    {
        field.name: _guard(field.default)
        for field in fields(WrittenKinds)
        if isinstance(field.default, Guard | Limit)
    }
)


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class WrittenPeriod(WrittenKinds):
    """A part of the year with other guards, as a policy has it."""

    name: EntryName
    first: Annotated[DayOfYear, Key("from")]
    last: Annotated[DayOfYear, Key("to")]


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
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
