"""Limits stop a plan: overall, per establishment, per profile, with periods of the year."""

from dataclasses import replace
from datetime import date, timedelta

import pytest

from piactl.core.model.guard_limits import Guard, GuardPeriod, Limit
from piactl.core.model.periods import in_period
from piactl.core.model.policy import Policy
from piactl.core.plan.change import Change, Effect, Kind
from piactl.core.plan.check_guards import Census, Refusal, tally
from piactl.core.plan.recent_losses import (
    losses_before,
    losses_beyond,
    losses_since,
    losses_until,
    losses_with,
    losses_without,
    taken_after,
    taken_in_either,
    taken_lately,
    taken_until,
)
from piactl.runs.apply_plan import refused

CENSUS = Census(1000, {"0800009A": 20, "0800010B": 500}, {"enseignant": 900})
TODAY = date(2026, 11, 24)


def refusals(
    changes: list[Change], census: Census, policy: Policy, day: date, allowed: dict[str, int] | None = None
) -> list[Refusal]:
    """The broken guards that are not allowed."""
    return refused(tally(changes).refusals(census, policy, day), allowed or {})


def closing(count: int, uai: str = "0800010B", kind: Kind = Kind.DEACTIVATE) -> list[Change]:
    return [
        Change(kind, f"u{n}", str(n), {}, {}, "why", TODAY, establishments=(uai,), profiles=("enseignant",))
        for n in range(count)
    ]


def policy(guard: Guard, *periods: GuardPeriod) -> Policy:
    return Policy(guards={"deactivate": guard}, periods=periods)


@pytest.mark.parametrize(
    ("day", "inside"),
    [(date(2026, 12, 20), True), (date(2027, 1, 5), True), (date(2027, 1, 6), False), (TODAY, False)],
)
def test_a_period_over_new_year(day: date, inside: bool) -> None:
    assert in_period(day, (12, 20), (1, 5)) is inside


def test_updates_of_digests_and_devices_alone_are_not_counted() -> None:
    """They do count in the number that an approval names, which is the number of the summary."""
    guarded = Policy(guards={"update": Guard(Limit(2, 0.001))})

    def update(number: int, **after: object) -> Change:
        return Change(Kind.UPDATE, f"u{number}", str(number), {}, after, "why", TODAY)

    moved = [update(n, digest_key="k2") for n in range(900)] + [update(900 + n, device="d") for n in range(9)]
    assert refusals(moved, CENSUS, guarded, TODAY) == []
    assert tally(moved).by_kind() == {"update": 909}
    others = [update(950 + n, device="d", usage_name="Aubry") for n in range(3)]
    (refusal,) = refusals([*moved, *others], CENSUS, guarded, TODAY)
    assert (refusal.found, refusal.of, refusal.total, refusal.sample) == (
        3,
        1000,
        912,
        ("u950", "u951", "u952"),
    )
    assert refusals([*moved, *others], CENSUS, guarded, TODAY, {"update": 912}) == []


@pytest.mark.parametrize(
    ("accounts", "floor"), [(36_000, 120), (5_000, 44), (1_000, 20), (450, 13), (250, 10), (3, 10), (0, 10)]
)
def test_a_floor_follows_the_root_of_the_accounts_in_scope(accounts: int, floor: int) -> None:
    assert Limit(20, 0.02, scales=True).among(accounts) == Limit(floor, 0.02)


def test_a_small_floor_does_not_grow_below_its_reference() -> None:
    assert [Limit(5, 0.1, scales=True).among(n).max for n in (3, 1_000, 36_000)] == [5, 5, 30]
    assert Limit(20, 0.02).among(36_000) == Limit(20, 0.02)


def test_a_refusal_reports_the_floor_of_its_scope() -> None:
    guarded = policy(Guard(Limit(20, 0.01, scales=True)))
    assert refusals(closing(13), replace(CENSUS, total=450), guarded, TODAY) == []
    (refusal,) = refusals(closing(14), replace(CENSUS, total=450), guarded, TODAY)
    assert refusal.limit == Limit(13, 0.01)


HEADS = Census(1000, {}, {"direction": 20, "enseignant": 900}, {"siecle": 20, "messagerie": 1000})


def becoming(
    count: int, first: int = 0, gains: str = "direction", losses: str = "enseignant"
) -> list[Change]:
    """The changes of `count` accounts, two each, that gain one profile and lose another."""
    effect = Effect(frozenset({("profile", gains)}), frozenset({("profile", losses)}))
    return [
        Change(kind, f"u{n}", str(n), {}, {"assignments": []}, "why", TODAY, effect=effect)
        for n in range(first, first + count)
        for kind in (Kind.UPDATE, Kind.GRANT)
    ]


GROWING = Policy(guards={"profile_growth": Guard(Limit(5, 0.5)), "service_growth": Guard(Limit(5, 0.5))})


def test_a_guard_limits_the_net_growth_of_a_profile() -> None:
    assert refusals(becoming(10), HEADS, GROWING, TODAY) == []
    (refusal,) = refusals(becoming(11), HEADS, GROWING, TODAY)
    assert (refusal.guard, refusal.found, refusal.of, refusal.scope, refusal.total) == (
        "profile_growth", 11, 20, "profile direction", 11,
    )  # fmt: skip
    assert refusal.sample == ("u0", "u1", "u2", "u3", "u4")
    # people who lose the profile make room, and the approval names all who gain any profile
    both = [*becoming(11), *becoming(1, 11, "enseignant", "direction")]
    assert refusals(both, HEADS, GROWING, TODAY) == []
    changes = [*becoming(13), *becoming(2, 13, "enseignant", "direction")]
    (refusal,) = refusals(changes, HEADS, GROWING, TODAY)
    assert (refusal.found, refusal.total) == (11, 15)
    assert refusals(changes, HEADS, GROWING, TODAY, {"profile_growth": 15}) == []
    assert len(refusals(changes, HEADS, GROWING, TODAY, {"profile_growth": 11})) == 1


def test_a_profile_that_nobody_has_grows_from_nothing() -> None:
    assert refusals(becoming(5, gains="cpe"), HEADS, GROWING, TODAY) == []
    (refusal,) = refusals(becoming(6, gains="cpe"), HEADS, GROWING, TODAY)
    assert (refusal.found, refusal.of) == (6, 0)
    # a first load makes everything anew
    assert refusals(becoming(500), Census(), GROWING, TODAY) == []


@pytest.mark.parametrize("name", ["establishment", "function", "details", "name"])
def test_a_guard_limits_changed_values_without_a_new_assignment(name: str) -> None:
    guarded = Policy(guards={f"other_{name}": Guard(Limit(3, 0.001))})
    changes = [replace(change, effect=Effect(other=(name,))) for change in becoming(3)]
    assert refusals(changes, CENSUS, guarded, TODAY) == []
    changes = [replace(change, effect=Effect(other=(name,))) for change in becoming(4)]
    (refusal,) = refusals(changes, CENSUS, guarded, TODAY)
    assert (refusal.guard, refusal.found, refusal.of, refusal.total) == (f"other_{name}", 4, 1000, 4)
    assert refusals(changes, CENSUS, guarded, TODAY, {f"other_{name}": 4}) == []


def test_losses_are_kept_for_a_month_and_an_approval_clears_them() -> None:
    day = timedelta(days=1)
    losses = losses_with({TODAY - 31 * day: {"lock": 1}, TODAY - 30 * day: {"lock": 2}}, {"grant": 9}, TODAY)
    assert losses == {TODAY - 30 * day: {"lock": 2}}
    losses = losses_with(losses, {"lock": 3, "revoke": 4, "grant": 5}, TODAY)
    losses = losses_with(losses, {"revoke": 1}, TODAY)
    assert losses == {TODAY - 30 * day: {"lock": 2}, TODAY: {"lock": 3, "revoke": 5}}
    assert losses_since(losses, TODAY) == {"lock": 3, "revoke": 5}
    assert losses_without(losses, ["lock_window"]) == {TODAY: {"revoke": 5}}
    assert losses_without(losses, ["revoke", "grant"]) == {TODAY - 30 * day: {"lock": 2}, TODAY: {"lock": 3}}


def test_losses_of_a_run_that_did_not_end_count_once() -> None:
    day, next_day = date(2026, 9, 2), date(2026, 9, 3)
    planned = {day: {"revoke": 60, "suspend": 7}}
    recorded = {day: {"suspend": 2}}
    assert losses_beyond(planned, recorded) == {day: {"revoke": 60, "suspend": 5}}
    # the rest of the run on the same day: 45 were made
    before = losses_before({}, planned, {"revoke": 15}, day)
    assert before == {day: {"revoke": 45, "suspend": 7}}
    assert losses_with(before, {"revoke": 15}, day) == planned
    # on another day it is not known what was made
    assert losses_before({}, planned, {"revoke": 15}, next_day) == planned


def test_losses_of_later_days_count_on_the_day_of_the_run() -> None:
    day = timedelta(days=1)
    losses = {TODAY - day: {"lock": 1}, TODAY: {"lock": 2}, TODAY + 87 * day: {"lock": 3, "revoke": 4}}
    assert losses_until(losses, TODAY) == {TODAY - day: {"lock": 1}, TODAY: {"lock": 5, "revoke": 4}}


# What comes back

IPROF, LIVRET_A, LIVRET_B = ("right", "iprof"), ("right", "livret:0800009A"), ("right", "livret:0800010B")
TEACHER, ACTIVE = ("profile", "enseignant"), ("state", "active")
GUARDED = Policy(
    guards=dict.fromkeys(
        ("create", "grant", "reopen", "unlock", "update", "revoke", "profile_growth", "service_growth"),
        Guard(Limit(0, 0.0), per_establishment=Limit(0, 0.0)),
    )
)


def returning(
    kinds: list[Kind], given: set[tuple[str, str]], after: dict[str, object], number: int = 1
) -> list[Change]:
    """Accounts that get these holdings, and had none of them."""
    names = {name.partition(":")[0] for sort, name in given if sort == "right"}
    gains = {("service", name) for name in names} | {holding for holding in given if holding[0] == "profile"}
    effect = Effect(gains=frozenset(gains), given=frozenset(given))
    return [
        Change(kind, f"u{n}", str(n), {}, after, "why", TODAY, establishments=("0800010B",), effect=effect)
        for n in range(number)
        for kind in kinds
    ]


@pytest.mark.parametrize(
    ("kinds", "given", "taken", "counted"),
    [
        # exactly what was taken
        ([Kind.GRANT], {IPROF}, {IPROF}, set()),
        ([Kind.GRANT, Kind.UPDATE], {IPROF, LIVRET_A}, {IPROF, LIVRET_A, TEACHER}, set()),
        ([Kind.REOPEN, Kind.GRANT, Kind.UPDATE], {IPROF, ACTIVE, TEACHER}, {IPROF, ACTIVE, TEACHER}, set()),
        ([Kind.UNLOCK, Kind.GRANT], {IPROF, ("login", "")}, {IPROF, ("login", "")}, set()),
        # less than what is given
        ([Kind.GRANT, Kind.UPDATE], {IPROF, LIVRET_A}, {IPROF}, {"grant", "update", "service_growth"}),
        ([Kind.GRANT], {IPROF, LIVRET_B}, {IPROF, LIVRET_A}, {"grant", "service_growth"}),
        ([Kind.REOPEN, Kind.GRANT], {IPROF, ACTIVE}, {IPROF}, {"reopen"}),
        ([Kind.REOPEN, Kind.GRANT], {IPROF, ACTIVE}, {ACTIVE}, {"reopen", "grant", "service_growth"}),
        ([Kind.UNLOCK], {("login", "")}, {IPROF}, {"unlock"}),
        ([Kind.UPDATE], {TEACHER, IPROF}, {IPROF}, {"update", "profile_growth"}),
        # taken from nobody, or something else
        ([Kind.GRANT], {IPROF}, {LIVRET_A}, {"grant", "service_growth"}),
        ([Kind.GRANT], {IPROF}, set(), {"grant", "service_growth"}),
        # other kinds count
        ([Kind.REVOKE, Kind.GRANT], {IPROF}, {IPROF}, {"revoke"}),
    ],
)
def test_guards_count_what_was_not_taken_from_the_account(
    kinds: list[Kind], given: set[tuple[str, str]], taken: set[tuple[str, str]], counted: set[str]
) -> None:
    changes = returning(kinds, given, {"assignments": [], "login_until": None})
    census = replace(CENSUS, by_service={"iprof": 500, "livret": 500})
    lately = {"u0": frozenset(taken), "u9": frozenset({IPROF, LIVRET_A, LIVRET_B, TEACHER, ACTIVE})}
    plan = tally(changes, taken=lately)
    assert {refusal.kind for refusal in plan.refusals(census, GUARDED, TODAY)} == counted
    # the plan says everything all the same
    assert plan.by_kind() == {kind.value: 1 for kind in kinds}
    names = {name.partition(":")[0] for sort, name in given if sort == "right"}
    assert plan.totals().get("services", {}) == {name: {"gain": 1, "lose": 0} for name in names}


def test_an_update_of_more_than_posts_counts() -> None:
    lately = {"u0": frozenset({IPROF})}
    for after, counted in (
        ({"assignments": []}, set()),
        ({"assignments": [], "usage_name": "X"}, {"update"}),
    ):
        plan = tally(returning([Kind.UPDATE], {IPROF}, after), taken=lately)
        census = replace(CENSUS, by_service={"iprof": 500})
        assert {refusal.kind for refusal in plan.refusals(census, GUARDED, TODAY)} == counted


def test_what_is_taken_is_remembered_for_two_weeks_until_it_is_given_back() -> None:
    first, later = TODAY - timedelta(days=13), TODAY - timedelta(days=14)
    taken = {first: {"u0": frozenset({IPROF}), "u1": frozenset({IPROF})}, later: {"u2": frozenset({IPROF})}}
    assert taken_lately(taken, TODAY) == {"u0": {IPROF}, "u1": {IPROF}}
    after = taken_after(taken, {"u0": frozenset({LIVRET_A})}, {"u1": frozenset({IPROF, LIVRET_A})}, TODAY)
    assert after == {first: {"u0": {IPROF}}, TODAY: {"u0": {LIVRET_A}}}
    assert taken_lately(after, TODAY) == {"u0": {IPROF, LIVRET_A}}
    # what is given back and taken again in one run is taken
    again = taken_after(after, {"u0": frozenset({IPROF})}, {"u0": frozenset({IPROF})}, TODAY)
    assert again == {TODAY: {"u0": {IPROF, LIVRET_A}}}
    assert taken_in_either(taken, after)[first] == {"u0": {IPROF}, "u1": {IPROF}}
    assert taken_until(after, first) == {first: {"u0": {IPROF, LIVRET_A}}}
