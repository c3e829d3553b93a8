"""Limits stop a plan: overall, per establishment, per profile, with periods of the year."""

from datetime import date

import pytest

from piactl.core.model.policy import Guard, GuardPeriod, Limit, Policy
from piactl.core.plan.change import Change, Kind
from piactl.core.plan.guards import Census, counts_by_kind, in_period, refusals

CENSUS = Census(1000, {"0800009A": 20, "0800010B": 500}, {"enseignant": 900})
TODAY = date(2026, 11, 24)


def closing(count: int, uai: str = "0800010B", kind: Kind = Kind.DEACTIVATE) -> list[Change]:
    return [
        Change(kind, f"u{n}", str(n), {}, {}, "why", TODAY, establishments=(uai,), profiles=("enseignant",))
        for n in range(count)
    ]


def policy(guard: Guard, *periods: GuardPeriod) -> Policy:
    return Policy(guards={"deactivate": guard}, periods=periods)


def test_broken_only_above_both_the_number_and_the_share() -> None:
    guarded = policy(Guard(Limit(10, 0.01)))
    assert refusals(closing(10), CENSUS, guarded, TODAY) == []
    (one,) = refusals(closing(11), CENSUS, guarded, TODAY)
    assert (one.kind, one.found, one.of, one.scope, one.total) == ("deactivate", 11, 1000, "all accounts", 11)
    assert len(one.sample) == 5
    wide = policy(Guard(Limit(10, 0.02)))
    assert refusals(closing(20), CENSUS, wide, TODAY) == []
    assert len(refusals(closing(21), CENSUS, wide, TODAY)) == 1


def test_an_account_counts_once_per_kind() -> None:
    guarded = policy(Guard(Limit(10, 0.001)))
    assert refusals([*closing(10), *closing(10)], CENSUS, guarded, TODAY) == []


def test_per_establishment_and_per_profile() -> None:
    guarded = policy(Guard(Limit(100, 0.5), per_establishment=Limit(5, 0.2), per_profile=Limit(4, 0.005)))
    found = refusals(closing(6, "0800009A"), CENSUS, guarded, TODAY)
    assert {r.scope for r in found} == {"establishment 0800009A", "profile enseignant"}
    assert {r.of for r in found} == {20, 900}
    assert [r.scope for r in refusals(closing(6), CENSUS, guarded, TODAY)] == ["profile enseignant"]


def test_an_approval_names_the_exact_number() -> None:
    guarded = policy(Guard(Limit(1, 0.001), per_profile=Limit(1, 0.001)))
    assert refusals(closing(3), CENSUS, guarded, TODAY, {"deactivate": 3}) == []
    for wrong in ({"deactivate": 2}, {"deactivate": 4}, {"revoke": 3}):
        assert len(refusals(closing(3), CENSUS, guarded, TODAY, wrong)) == 2


def test_kinds_without_a_guard_and_empty_scopes_pass() -> None:
    guarded = policy(Guard(Limit(0, 0.0), Limit(0, 0.0), Limit(0, 0.0)))
    assert refusals(closing(50, kind=Kind.CREATE), CENSUS, guarded, TODAY) == []
    assert refusals(closing(50, kind=Kind.CREATE), Census(), guarded, TODAY) == []
    # nobody is live: that so many change all the same is not a first load
    assert [r.scope for r in refusals(closing(50), Census(), guarded, TODAY)] == ["all accounts"]


def test_a_period_overrides() -> None:
    rentree = GuardPeriod("rentree", (8, 20), (9, 30), {"deactivate": Guard(Limit(100, 0.1))})
    guarded = policy(Guard(Limit(1, 0.001)), rentree)
    assert refusals(closing(50), CENSUS, guarded, date(2026, 9, 30)) == []
    (found,) = refusals(closing(50), CENSUS, guarded, date(2026, 10, 1))
    assert found.guard == "deactivate"
    (found,) = refusals(closing(101), CENSUS, guarded, date(2026, 8, 20))
    assert found.guard == "deactivate (rentree)"


@pytest.mark.parametrize(
    ("day", "inside"),
    [(date(2026, 12, 20), True), (date(2027, 1, 5), True), (date(2027, 1, 6), False), (TODAY, False)],
)
def test_a_period_over_new_year(day: date, inside: bool) -> None:
    assert in_period(day, (12, 20), (1, 5)) is inside


def test_updates_that_give_and_take_nothing_are_not_counted() -> None:
    """They are in the number that an approval names, which is that of the summary."""
    guarded = Policy(guards={"update": Guard(Limit(2, 0.001))})

    def update(number: int, **after: object) -> Change:
        return Change(Kind.UPDATE, f"u{number}", str(number), {}, after, "why", TODAY)

    moved = [update(n, digest_key="k2") for n in range(900)] + [update(900 + n, device="d") for n in range(9)]
    assert refusals(moved, CENSUS, guarded, TODAY) == []
    assert counts_by_kind(moved) == {"update": 909}
    others = [update(950 + n, device="d", usage_name="Aubry") for n in range(3)]
    (found,) = refusals([*moved, *others], CENSUS, guarded, TODAY)
    assert (found.found, found.of, found.total, found.sample) == (3, 1000, 912, ("u950", "u951", "u952"))
    assert refusals([*moved, *others], CENSUS, guarded, TODAY, {"update": 912}) == []
