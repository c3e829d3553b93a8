"""Which night came nearest to a guard, in which part of the year, and which number stops no night."""

from __future__ import annotations

from datetime import date

from piactl.core.model.policy import Guard, GuardPeriod, Limit, Policy
from piactl.core.plan.guard_suggestions import LEAST, suggestions

SEPTEMBER = GuardPeriod("rentree", (8, 20), (9, 30), {"revoke": Guard(Limit(100, 0.06))})
POLICY = Policy(
    guards={"revoke": Guard(Limit(20, 0.02)), "lock": Guard(Limit(0, 0.0)), "grant": Guard()},
    periods=(SEPTEMBER,),
)
TERM, RENTREE = date(2026, 11, 3), date(2026, 9, 1)


def test_the_night_nearest_to_its_limit_counts_and_the_largest_number_is_suggested() -> None:
    small, large = (TERM, {"revoke": (19, 500)}), (date(2026, 11, 4), {"revoke": (30, 5000)})
    (one,) = suggestions([small, large], POLICY, 1.5)
    assert (one.kind, one.period, one.nights, one.most, one.of, one.day) == ("revoke", "", 2, 19, 500, TERM)
    assert (one.limit, one.suggested) == (20, 45)


def test_each_period_has_its_own_row_if_it_names_the_kind() -> None:
    nights = [(RENTREE, {"revoke": (90, 1000), "grant": (3, 1000)}), (TERM, {"revoke": (21, 1000)})]
    rows = {(one.kind, one.period): one for one in suggestions(nights, POLICY, 1)}
    assert rows["revoke", "rentree"].limit == 100
    assert rows["revoke", ""].most == 21, "beyond today's limit of 20"
    assert rows["grant", ""].limit is None, "without a limit, and in no period of its own"
    assert rows["grant", ""].suggested == LEAST
    assert [one.kind for one in suggestions(nights, POLICY, 1)] == ["revoke", "revoke", "grant"]


def test_a_first_load_is_no_measure_and_a_limit_of_zero_is_used_up_at_once() -> None:
    nights = [(TERM, {"create": (900, 0), "lock": (1, 900), "revoke": (20, 900), "held": (2, 900)})]
    rows = suggestions(nights, POLICY, 2)
    assert [one.kind for one in rows] == ["lock", "revoke", "held"]
    assert rows[-1].limit is None
