"""Limits that stop a plan before its first write.

| kind of guard | counts |
|---|---|
| a kind of change | the accounts with such a change |
| `group` | the groups that change or go; new groups are not counted |
| `profile_growth`, `service_growth` | the growth of one profile or one service, in accounts |
| `other_establishment`, ... | the accounts that differ in this although no assignment has begun or ended |
| `held` | the people held |
| `loosening` | the accounts where what another program gave is taken back |
| `revoke_window`, ... | the accounts with such a loss, in this plan and the last days together |
| `password`, `device` | the accounts that one command gives a password, or whose device it replaces |
| `password_operator`, `password_day`, ... | the same, of one operator or of all operators on one day |
"""

from __future__ import annotations

from bisect import bisect
from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import chain
from math import inf

from piactl.core.model.guard_limits import LEAST, Guard, Limit
from piactl.core.model.periods import in_period
from piactl.core.model.policy import Policy
from piactl.core.plan.change import (
    END,
    GROWTH,
    HELD,
    LAYOUT,
    LOOSENING,
    OPERATIONS,
    OTHER,
    PROFILE,
    RIGHT,
    WINDOW,
    Belongings,
    Change,
    Effect,
    Holding,
    Kind,
    NewPost,
)
from piactl.core.plan.recent_losses import NO_LOSSES, RETURN_DAYS, Holdings, Losses, losses_since
from piactl.phrase import Phrase

SAMPLE = 5

ALL = Phrase("all accounts")
OF_OPERATIONS = (Phrase("one command"), Phrase("one operator, one day"), Phrase("all operators, one day"))
"""The scopes of guards of the help desk."""
SCOPES, PER = ("establishment", "profile"), " per "
"""The scopes that have limits of their own, and the word between a kind and such a scope."""

BOOKKEEPING = frozenset(
    {"birth", "device", "digest_key", LAYOUT, "matricules", "posix", "unique_id", "verifier"}
)
"""Fields without effect for the person: guards ignore an update of only these. A new digest key moves the
digests of all accounts, a new version the form of their values, the first set of a supplement adds numbers; a
closed account is linked to no device."""


@dataclass(frozen=True, slots=True)
class Census:
    """The number of live accounts (not deactivated, not archived): total, by UAI, profile and service. A
    count of an older version has no services."""

    total: int = 0
    by_establishment: Mapping[str, int] = field(default_factory=dict)
    by_profile: Mapping[str, int] = field(default_factory=dict)
    by_service: Mapping[str, int] = field(default_factory=dict)

    def plus(self, other: Census, sign: int = 1) -> Census:
        """The sum of both; with `sign` -1, the difference."""

        def combined(left: Mapping[str, int], right: Mapping[str, int]) -> dict[str, int]:
            sums = {name: left.get(name, 0) + sign * right.get(name, 0) for name in {*left, *right}}
            return {name: sums[name] for name in sorted(sums) if sums[name] > 0}

        return Census(
            max(0, self.total + sign * other.total),
            combined(self.by_establishment, other.by_establishment),
            combined(self.by_profile, other.by_profile),
            combined(self.by_service, other.by_service),
        )

    def of(self, sort: str, name: str) -> int | None:
        """The accounts with a profile or a service; None if no such counts are known."""
        counts = self.by_profile if sort == "profile" else self.by_service
        return counts.get(name, 0) if counts else None


@dataclass(frozen=True, slots=True)
class Refusal:
    """A guard that a plan breaks: `found` accounts of its kind among the `of` accounts in `scope`; `limit` is
    the limit for that number. For a growth, `of` is the number before it and `found` the increase."""

    guard: str
    kind: str
    found: int
    of: int
    limit: Limit
    scope: str
    sample: tuple[str, ...]
    total: int
    """Accounts of that kind in the whole plan: the number an approval must name."""

    @property
    def words(self) -> Phrase:
        """In one phrase: `service_growth (service livret: 12, 10 are allowed)`."""
        return broken_words(self.kind, self.scope, self.found, self.limit.most(self.of))


def guard_words(guard: str) -> Phrase:
    """The name of a guard as people read it: a period of the year, or a scope, stands behind its kind."""
    kind, sign, period = guard.partition(" (")
    if sign:
        return Phrase("{first} {second}", first=Phrase(kind), second=f"({period}")
    kind, sign, sort = guard.partition(PER)
    if sign:
        return Phrase("{kind} per {sort}", kind=Phrase(kind), sort=_SORTS[sort])
    return Phrase(guard)


def broken_words(guard: str, scope: str, accounts: int, most: int) -> Phrase:
    """A broken guard in one phrase, with its scope unless that is all accounts."""
    where = scope_words(scope.removeprefix(ALL).removeprefix(", "))
    values = {"guard": guard_words(guard), "accounts": accounts, "allowed": allowed_words(most)}
    if where:
        return Phrase("{guard} ({scope}: {accounts}, {allowed})", **values, scope=where)
    return Phrase("{guard} ({accounts}, {allowed})", **values)


def allowed_words(most: int) -> Phrase:
    return Phrase("{most} is allowed", most=1) if most == 1 else Phrase("{most} are allowed", most=most)


_SORTS: Mapping[str, Phrase] = {
    "establishment": Phrase("establishment"),
    "profile": Phrase("profile"),
    "service": Phrase("service"),
    "source": Phrase("source"),
}


def scope_words(scope: str) -> str:
    """The scope of a guard, which plans have as text, as people read it."""
    if scope.startswith(f"{ALL}, "):
        return Phrase("{first}, {second}", first=ALL, second=scope_words(scope.removeprefix(f"{ALL}, ")))
    sort, _, name = scope.partition(" ")
    if name == "days":
        return Phrase("{number} days", number=sort)
    if sort in _SORTS:
        return Phrase("{sort} {name}", sort=_SORTS[sort], name=name)
    return next((whole for whole in (ALL, *OF_OPERATIONS) if whole == scope), scope)


GROUPS = ("uai", "profile", "service", "source")


@dataclass(frozen=True, slots=True)
class Impact:
    """What a plan does to one establishment, profile, service or source (`by`, one of GROUPS): the `accounts`
    that change, among `of` before the run (None: not known), and those with each kind of change.

    `guard` is the guard of this group that is nearest to its limit, "" if none counts here: it counts `found`
    accounts and allows at most `limit`.
    """

    by: str
    name: str
    accounts: int
    of: int | None
    kinds: Mapping[str, int]
    guard: str = ""
    found: int | None = None
    limit: int | None = None


NO_SOURCES: Mapping[str, int] = {}
NO_HOLDINGS: Holdings = {}


def guards_on(policy: Policy, as_of: date) -> dict[str, tuple[str, Guard]]:
    """The guard of each kind on a day, with its name. A period of the year overrides the ordinary guard."""
    result = {kind: (kind, guard) for kind, guard in policy.guards.items()}
    for period in policy.periods:
        if in_period(as_of, period.first, period.last):
            for kind, guard in period.guards.items():
                result[kind] = (f"{kind} ({period.name})", guard)
    return result


def no_own_guards(policy: Policy) -> str:
    """The remark about a policy without guards of its own, "" if it has some."""
    if policy.own_guards:
        return ""
    return Phrase(
        "{file} has no guards of its own: those of the shipped policy apply; copy its `guards`, and fit "
        "them to your people",
        file=policy.file,
    )


Totals = Mapping[str, Mapping[str, Mapping[str, int]]]
"""`profiles` and `services`, by name: the accounts that `gain` and `lose` it."""


_OF_POSTS = frozenset({"assignments", "login_from", "login_until"})

Place = tuple[object, ...]
"""The place of an account in the order of a plan."""


class Tally:
    """Counts the accounts with each kind of change, in total and by scope, and keeps a sample of them.

    `known` are the sources that have had a feed before: only their new assignments are counted. `taken` is
    what earlier runs took from accounts: what only gives that back is no growth, and no guard counts it.
    """

    def __init__(self, known: Container[str] = (), taken: Holdings = NO_HOLDINGS) -> None:
        self._known, self._taken = known, taken
        self._added = 0
        self._accounts: Counter[str] = Counter()
        self._overall: dict[str, _Count] = defaultdict(_Count)
        self._scoped: dict[tuple[str, str, str], _Count] = defaultdict(_Count)
        self._gains: Counter[tuple[str, str]] = Counter()
        self._grown: dict[tuple[str, str], _Count] = defaultdict(_Count)
        self._gaining: Counter[str] = Counter()
        self._losses: Counter[tuple[str, str]] = Counter()
        self._groups: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        self._in_group: Counter[tuple[str, str]] = Counter()
        self.posts: Counter[NewPost] = Counter()
        """The new assignments."""
        self.lost: dict[str, frozenset[Holding]] = {}
        """What accounts lose by a change that takes something, by uid."""
        self.given: dict[str, frozenset[Holding]] = {}
        """What accounts get that earlier runs took something from, by uid."""
        self._returning = 0

    def add(self, changes: Iterable[Change], place: Place = ()) -> None:
        """Counts all changes of one account, once per kind and scope. Call it once per account. Samples and
        broken guards are in the order of the places, and of the calls."""
        self._added += 1
        place = (*place, self._added)
        kinds: dict[str, None] = {}
        overall: dict[str, None] = {}
        scoped: dict[tuple[str, str, str], None] = {}
        grouped: dict[tuple[str, str], dict[str, None]] = {}
        effect, uid, only_posts = Effect(), "", True
        for change in changes:
            kind, uid, effect = change.kind.value, change.uid, change.effect
            kinds[kind] = None
            for group in _groups(change):
                grouped.setdefault(group, {})[kind] = None
            if change.kind is Kind.UPDATE:
                only_posts = change.after.keys() <= _OF_POSTS
                if change.after and change.after.keys() <= BOOKKEEPING:
                    continue
            if change.kind is Kind.GROUP and not change.before:
                continue
            overall[kind] = None
            if change.kind is Kind.DRIFT and change.after.get("class") == LOOSENING:
                overall[LOOSENING] = None
            for uai in change.establishments:
                scoped[kind, "establishment", uai] = None
            for profile in change.profiles:
                scoped[kind, "profile", profile] = None
        # item by item: the methods of a Counter take several times as long for so few
        for kind in kinds:
            self._accounts[kind] += 1
        for group, its_kinds in grouped.items():
            self._in_group[group] += 1
            for kind in its_kinds:
                self._groups[group][kind] += 1
        if effect.taken and any(kind in WINDOW for kind in kinds):
            self.lost[uid] = effect.taken
        back, belongings = frozenset[str](), frozenset[tuple[str, str]]()
        if uid in self._taken and effect.given:
            self.given[uid] = effect.given
            back, belongings = _returned(effect, self._taken[uid], only_posts=only_posts)
            self._returning += bool(belongings or back & overall.keys())
        counted = [kind for kind in overall if kind not in back]
        of_scopes = [key for key in scoped if key[0] not in back]
        others = [OTHER[name] for name in effect.other if name != END]
        # among all accounts, new ends count as ordinary updates: contracts are renewed at the rentrée
        ends = ["update"] if END in effect.other and "update" in counted else []
        of_scopes += [(kind, "source", name) for name in effect.sources for kind in (*others, *ends)]
        for number, kind in enumerate((*counted, *others)):
            self._overall[kind].add(uid, (*place, number))
        for number, key in enumerate(of_scopes):
            self._scoped[key].add(uid, (*place, number))
        for post in effect.posts:
            if post[0] in self._known:
                self.posts[post] += 1
        for belonging in effect.gains:
            self._gains[belonging] += 1
        grown = effect.gains - belongings
        for belonging in grown:
            self._grown[belonging].add(uid, place)
        for sort in {sort for sort, _ in grown}:
            self._gaining[sort] += 1
        for belonging in effect.losses:
            self._losses[belonging] += 1

    def remarks(self) -> Iterator[str]:
        """What no guard counts because it only comes back, in words, if it is more than guards let pass
        anyway."""
        if self._returning > LEAST:
            yield Phrase(
                "{accounts} accounts get back what runs of the last {days} days took: "
                "guards do not count it as growth",
                accounts=self._returning,
                days=RETURN_DAYS,
            )

    def by_kind(self) -> dict[str, int]:
        return {kind.value: self._accounts[kind.value] for kind in Kind if self._accounts[kind.value]}

    def totals(self) -> Totals:
        """The accounts that gain and lose each profile and service, by name."""
        by_sort: dict[str, dict[str, dict[str, int]]] = {}
        for sort, name in sorted({*self._gains, *self._losses}):
            counts = {"gain": self._gains[sort, name], "lose": self._losses[sort, name]}
            by_sort.setdefault(f"{sort}s", {})[name] = counts
        return by_sort

    def impact(
        self, census: Census, policy: Policy, as_of: date, sources: Mapping[str, int] = NO_SOURCES
    ) -> list[Impact]:
        """The impact of the plan on each group that it touches, by name."""
        nearest: dict[tuple[str, str], tuple[float, str, int, int]] = {}
        counted = chain(self._counted(census, sources), self._growth(census))
        for name, kind, sort, scope, of, limit, count, _ in _limited(counted, guards_on(policy, as_of)):
            if not of and kind not in GROWTH.values():
                continue  # an empty group breaks no guard
            most = limit.most(of)
            near = (count.accounts / most if most else inf, name, count.accounts, most)
            group = (_GROUP.get(sort, sort), scope)
            nearest[group] = max(near, nearest.get(group, near))
        live = {
            "uai": census.by_establishment,
            "profile": census.by_profile,
            "service": census.by_service,
            "source": sources,
        }
        result = []
        for by, group_name in sorted(self._groups, key=lambda group: (GROUPS.index(group[0]), group[1])):
            of_group = live[by].get(group_name, 0 if live[by] and by != "source" else None)
            accounts, kinds = self._in_group[by, group_name], self._groups[by, group_name]
            _, *guard = nearest.get((by, group_name), (0, "", None, None))
            result.append(Impact(by, group_name, accounts, of_group, dict(kinds), *guard))
        return result

    def counted(
        self,
        census: Census,
        policy: Policy,
        as_of: date,
        *,
        held: Sequence[str] = (),
        losses: Losses = NO_LOSSES,
    ) -> dict[str, tuple[int, int]]:
        """The accounts that each kind of guard counts, and the number of all accounts; for growths the
        largest growth, and the accounts before it. `KIND per SCOPE`: those of the establishment or profile
        that is nearest to its limit."""
        counted = [*self._all(census, policy, as_of, held, losses, NO_SOURCES)]
        largest: dict[str, tuple[int, int]] = {}
        for kind, sort, _, of, count, _ in counted:
            if not sort or kind in GROWTH.values():
                largest[kind] = max(largest.get(kind, (0, 0)), (count.accounts, of))
        nearest: dict[str, tuple[float, int, int]] = {}
        for _, kind, sort, _, of, limit, count, _ in _limited(counted, guards_on(policy, as_of)):
            if sort in SCOPES and kind not in GROWTH.values() and of:
                name = f"{kind}{PER}{sort}"
                near = count.accounts / max(1, limit.most(of)), count.accounts, of
                nearest[name] = max(near, nearest.get(name, near))
        return largest | {name: (number, of) for name, (_, number, of) in nearest.items()}

    def refusals(
        self,
        census: Census,
        policy: Policy,
        as_of: date,
        *,
        held: Sequence[str] = (),
        losses: Losses = NO_LOSSES,
        sources: Mapping[str, int] = NO_SOURCES,
    ) -> list[Refusal]:
        """All broken guards. `held` are the people held, by uid or matricule; `losses` are the losses of
        earlier runs; `sources` are the people of each full feed."""
        counted = self._all(census, policy, as_of, held, losses, sources)
        broken: list[Refusal] = []
        for name, kind, sort, scope, of, limit, count, total in _limited(counted, guards_on(policy, as_of)):
            # an empty scope breaks no guard for the kinds of a first load
            everywhere = kind in GROWTH.values() or (not sort and kind not in _OF_FIRST_LOAD)
            if count.accounts > limit.most(of) and (of > 0 or everywhere):
                where = scope_words(f"{sort} {scope}".strip())
                broken.append(count.refusal(name, kind, of, limit, where, total))
        return broken

    def _all(
        self,
        census: Census,
        policy: Policy,
        as_of: date,
        held: Sequence[str],
        losses: Losses,
        sources: Mapping[str, int],
    ) -> Iterator[_Counted]:
        yield from self._counted(census, sources)
        yield from self._growth(census)
        if held:
            yield HELD, "", ALL, census.total, _Count(len(held), held[:SAMPLE]), len(held)
        yield from self._in_window(census, losses, as_of, policy.window)

    def _counted(self, census: Census, sources: Mapping[str, int]) -> Iterator[_Counted]:
        for kind, count in sorted(self._overall.items(), key=_first):
            total = self._accounts.get(kind, count.accounts)
            yield kind, "", ALL, census.total, count, total
        scopes = {"establishment": census.by_establishment, "profile": census.by_profile, "source": sources}
        for (kind, sort, scope), count in sorted(self._scoped.items(), key=_first):
            total = self._accounts.get(kind, self._overall[kind].accounts)
            yield kind, sort, scope, scopes[sort].get(scope, 0), count, total

    def _growth(self, census: Census) -> Iterator[_Counted]:
        for (sort, name), count in sorted(self._grown.items()):
            of = census.of(sort, name)
            if of is not None:
                grown = _Count(count.accounts - self._losses[sort, name], count.sample)
                yield GROWTH[sort], sort, name, of, grown, self._gaining[sort]

    def _in_window(self, census: Census, losses: Losses, as_of: date, days: int) -> Iterator[_Counted]:
        """The losses of the plan plus the losses of the days before it, for the kinds that have both."""
        earlier = losses_since(losses, as_of - timedelta(days=days - 1))
        for kind, window in WINDOW.items():
            now = self._overall.get(kind)
            if now is not None and earlier[kind]:
                together = _Count(now.accounts + earlier[kind], now.sample)
                yield window, "", f"{ALL}, {days} days", census.total, together, together.accounts


_Counted = tuple[str, str, str, int, "_Count", int]
"""Kind, type and name of the scope, its accounts, those counted, and the number that approves them."""

_Limited = tuple[str, str, str, str, int, Limit, "_Count", int]
"""The name of the guard, what was counted, and the limit for that scope."""

_GROUP = {"establishment": "uai"}
"""The scopes of guards that have another name as a group."""

_WITH_SERVICES = frozenset(
    {Kind.CREATE, Kind.ADOPT, Kind.REOPEN, Kind.SUSPEND, Kind.REVOKE, Kind.DEACTIVATE, Kind.ARCHIVE}
)
"""Kinds that give or take services without a change for each."""


def _limited(counted: Iterable[_Counted], guards: Mapping[str, tuple[str, Guard]]) -> Iterator[_Limited]:
    for kind, sort, scope, of, count, total in counted:
        name, guard = guards.get(kind, (kind, Guard()))
        limit = guard.overall if kind in GROWTH.values() else guard.limit(sort)
        if limit is not None:
            yield name, kind, sort, scope, of, limit, count, total


def _groups(change: Change) -> Iterator[tuple[str, str]]:
    """The groups in which a change counts, as pairs of one of GROUPS and a name."""
    for uai in change.establishments:
        yield "uai", uai
    for profile in change.profiles:
        yield "profile", profile
    if "service" in change.after:
        yield "service", str(change.after["service"])
    elif change.kind in _WITH_SERVICES:
        for sort, name in change.effect.gains | change.effect.losses:
            if sort == "service":
                yield sort, name
    if change.source:
        yield "source", change.source


_OF_FIRST_LOAD = (Kind.CREATE.value, HELD)


class _Count:
    """A number of accounts, and the first of them with their places."""

    __slots__ = ("accounts", "places", "sample")

    def __init__(self, accounts: int = 0, sample: Sequence[str] = ()) -> None:
        self.accounts, self.sample, self.places = accounts, [*sample], list[Place]()

    def add(self, uid: str, place: Place) -> None:
        self.accounts += 1
        if self.accounts <= SAMPLE or place < self.places[-1]:
            at = bisect(self.places, place)
            self.places.insert(at, place)
            self.sample.insert(at, uid)
            del self.places[SAMPLE:], self.sample[SAMPLE:]

    def refusal(self, guard: str, kind: str, of: int, limit: Limit, scope: str, total: int) -> Refusal:
        return Refusal(guard, kind, self.accounts, of, limit.among(of), scope, tuple(self.sample), total)


def _first(counted: tuple[object, _Count]) -> Place:
    return counted[1].places[0]


def _returned(
    effect: Effect, taken: frozenset[Holding], *, only_posts: bool
) -> tuple[frozenset[str], Belongings]:
    """The kinds of change and the belongings that only give back what was `taken` from an account.
    `only_posts`: its update changes only posts and the days of its login."""
    if taken.isdisjoint(effect.given):
        return frozenset(), frozenset()
    rights = {name for sort, name in effect.given if sort == RIGHT}
    new = {name for name in rights if (RIGHT, name) not in taken}
    kinds = set()
    if not new:
        kinds.add(Kind.GRANT.value)
    if all(holding in taken for holding in effect.given if holding[0] != PROFILE):
        kinds |= {Kind.REOPEN.value, Kind.UNLOCK.value}
    if effect.given <= taken and only_posts:
        kinds.add(Kind.UPDATE.value)
    new_services = {name.partition(":")[0] for name in new}
    belongings = {
        (sort, name)
        for sort, name in effect.gains
        if (name not in new_services if sort != PROFILE else (PROFILE, name) in taken)
    }
    return frozenset(kinds), frozenset(belongings)


def tally(changes: Iterable[Change], taken: Holdings = NO_HOLDINGS) -> Tally:
    """The tally of changes in any order; `taken` as in Tally."""
    accounts: dict[str, list[Change]] = defaultdict(list)
    for change in changes:
        accounts[change.uid].append(change)
    result = Tally(taken=taken)
    for of_account in accounts.values():
        result.add(of_account)
    return result


def operation_refusals(
    operation: str,
    uids: Sequence[str],
    earlier: tuple[int, int],
    accounts: int,
    policy: Policy,
    as_of: date,
    allowed: Mapping[str, int] | None = None,
) -> list[Refusal]:
    """The guards that one command of the help desk breaks. `earlier` are the operations of the day before
    this command: of its operator, and of all operators. `accounts` are those that are not closed; if there
    are none, there is no guard."""
    guards = guards_on(policy, as_of)
    refused = []
    for kind, scope, before in zip(OPERATIONS[operation], OF_OPERATIONS, (0, *earlier), strict=True):
        name, guard = guards.get(kind, (kind, Guard()))
        if guard.overall is None or not accounts or not uids:
            continue
        limit, count = guard.overall, _Count(before + len(uids), uids[:SAMPLE])
        if count.accounts > limit.most(accounts) and (allowed or {}).get(kind) != count.accounts:
            refused.append(count.refusal(name, kind, accounts, limit, scope, count.accounts))
    return refused
