"""Limits that stop a plan before its first write."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date

from piactl.core.model.policy import Guard, Limit, Policy
from piactl.core.plan.change import Change, Kind

SAMPLE = 5

BOOKKEEPING = frozenset({"device", "digest_key"})
"""Fields of an update that gives and takes nothing: what alone changes them is not counted by guards. A new
digest key moves the digests of everybody; a closed account is linked to no device."""


@dataclass(frozen=True, slots=True)
class Census:
    """How many live accounts (not deactivated, not archived) there are: in all, by UAI, by profile."""

    total: int = 0
    by_establishment: Mapping[str, int] = field(default_factory=dict)
    by_profile: Mapping[str, int] = field(default_factory=dict)

    def plus(self, other: Census, sign: int = 1) -> Census:
        """The census of both together; with `sign` -1, without the other."""

        def both(one: Mapping[str, int], two: Mapping[str, int]) -> dict[str, int]:
            sums = {name: one.get(name, 0) + sign * two.get(name, 0) for name in {*one, *two}}
            return {name: sums[name] for name in sorted(sums) if sums[name] > 0}

        return Census(
            max(0, self.total + sign * other.total),
            both(self.by_establishment, other.by_establishment),
            both(self.by_profile, other.by_profile),
        )


@dataclass(frozen=True, slots=True)
class Refusal:
    """One guard that a plan broke: `found` accounts with that kind of change, `of` accounts in `scope`."""

    guard: str
    kind: str
    found: int
    of: int
    limit: Limit
    scope: str
    sample: tuple[str, ...]
    total: int
    """Accounts with that kind of change in the whole plan: the number an approval must name."""


def guards_on(policy: Policy, as_of: date) -> dict[str, tuple[str, Guard]]:
    """The guard of each kind on a day and its name; a period of the year overrides the usual one."""
    result = {kind: (kind, guard) for kind, guard in policy.guards.items()}
    for period in policy.periods:
        if in_period(as_of, period.first, period.last):
            for kind, guard in period.guards.items():
                result[kind] = (f"{kind} ({period.name})", guard)
    return result


def in_period(day: date, first: tuple[int, int], last: tuple[int, int]) -> bool:
    """Whether a day lies in a time of the year, (month, day) both included, maybe over New Year."""
    place = (day.month, day.day)
    if first <= last:
        return first <= place <= last
    return place >= first or place <= last


class Tally:
    """How many accounts have each kind of change, in all and by scope, and the first of them."""

    def __init__(self) -> None:
        self._accounts: Counter[str] = Counter()
        self._overall: dict[str, _Count] = defaultdict(_Count)
        self._scoped: dict[tuple[str, str, str], _Count] = defaultdict(_Count)

    def add(self, changes: Iterable[Change]) -> None:
        """All the changes of one account, which counts once per kind and scope. No account twice."""
        kinds: dict[str, None] = {}
        overall: dict[str, str] = {}
        scoped: dict[tuple[str, str, str], str] = {}
        for change in changes:
            kind = change.kind.value
            kinds[kind] = None
            if change.kind is Kind.UPDATE and change.after and change.after.keys() <= BOOKKEEPING:
                continue
            overall[kind] = change.uid
            for uai in change.establishments:
                scoped[kind, "establishment", uai] = change.uid
            for profile in change.profiles:
                scoped[kind, "profile", profile] = change.uid
        self._accounts.update([*kinds])
        for kind, uid in overall.items():
            self._overall[kind].add(uid)
        for key, uid in scoped.items():
            self._scoped[key].add(uid)

    def by_kind(self) -> dict[str, int]:
        return dict(self._accounts)

    def refusals(
        self, census: Census, policy: Policy, as_of: date, allowed: Mapping[str, int] | None = None
    ) -> list[Refusal]:
        """All guards that are broken. `allowed` approves, kind by kind, exactly that many accounts."""
        allowed = allowed or {}
        guards = guards_on(policy, as_of)
        found: list[Refusal] = []
        for kind, count in self._overall.items():
            total = self._accounts[kind]
            if kind not in guards or allowed.get(kind) == total:
                continue
            name, guard = guards[kind]
            # only a first load makes everything anew: nothing else touches many where nobody is
            empty = kind != Kind.CREATE.value
            limit = guard.overall
            if limit and _broken(count.accounts, census.total, limit, empty=empty):
                found.append(count.refusal(name, kind, census.total, limit, "all accounts", total))
        for (kind, sort, scope), count in self._scoped.items():
            total = self._accounts[kind]
            if kind not in guards or allowed.get(kind) == total:
                continue
            name, guard = guards[kind]
            limit = guard.per_establishment if sort == "establishment" else guard.per_profile
            of = (census.by_establishment if sort == "establishment" else census.by_profile).get(scope, 0)
            if limit and _broken(count.accounts, of, limit):
                found.append(count.refusal(name, kind, of, limit, f"{sort} {scope}", total))
        return found


class _Count:
    __slots__ = ("accounts", "sample")

    def __init__(self) -> None:
        self.accounts = 0
        self.sample: list[str] = []

    def add(self, uid: str) -> None:
        self.accounts += 1
        if self.accounts <= SAMPLE:
            self.sample.append(uid)

    def refusal(self, guard: str, kind: str, of: int, limit: Limit, scope: str, total: int) -> Refusal:
        return Refusal(guard, kind, self.accounts, of, limit, scope, tuple(self.sample), total)


def tally(changes: Iterable[Change]) -> Tally:
    """The tally of changes in whatever order."""
    accounts: dict[str, list[Change]] = defaultdict(list)
    for change in changes:
        accounts[change.uid].append(change)
    result = Tally()
    for of_one in accounts.values():
        result.add(of_one)
    return result


def counts_by_kind(changes: Iterable[Change]) -> dict[str, int]:
    """Accounts with each kind of change; an account counts once per kind."""
    return tally(changes).by_kind()


def refusals(
    changes: Iterable[Change],
    census: Census,
    policy: Policy,
    as_of: date,
    allowed: Mapping[str, int] | None = None,
) -> list[Refusal]:
    """All guards that the changes break (see Tally)."""
    return tally(changes).refusals(census, policy, as_of, allowed)


def _broken(found: int, of: int, limit: Limit, *, empty: bool = False) -> bool:
    """`empty`: whether a scope that holds nobody is broken by what is beyond `max`."""
    return found > limit.max and found > limit.share * of and (of > 0 or empty)
