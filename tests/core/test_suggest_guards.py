"""Which night came nearest to a guard, in which part of the year, and which limit stops no night."""

from __future__ import annotations

from datetime import date

from piactl.ask.suggest_guards import LEAST, LEAST_OF_SCOPE, suggestions
from piactl.core.model.guard_limits import Guard, GuardPeriod, Limit
from piactl.core.model.policy import Policy
from piactl.core.plan.change import Change, Kind
from piactl.core.plan.check_guards import Census, Tally

SEPTEMBER = GuardPeriod("rentree", (8, 20), (9, 30), {"revoke": Guard(Limit(100, 0.06))})
POLICY = Policy(
    guards={"revoke": Guard(Limit(20, 0.02)), "lock": Guard(Limit(0, 0.0)), "grant": Guard()},
    periods=(SEPTEMBER,),
)
TERM, RENTREE = date(2026, 11, 3), date(2026, 9, 1)


def test_a_row_shows_the_night_nearest_its_limit_and_covers_the_largest() -> None:
    small, large = (TERM, {"revoke": (19, 500)}), (date(2026, 11, 4), {"revoke": (30, 5000)})
    (suggestion,) = suggestions([small, large], POLICY, 1.5)
    assert (
        suggestion.kind,
        suggestion.period,
        suggestion.nights,
        suggestion.most,
        suggestion.of,
        suggestion.day,
    ) == ("revoke", "", 2, 19, 500, TERM)
    assert (suggestion.limit, suggestion.suggested) == (20, 45)


def test_each_period_has_its_own_row_if_it_names_the_kind() -> None:
    nights = [(RENTREE, {"revoke": (90, 1000), "grant": (3, 1000)}), (TERM, {"revoke": (21, 1000)})]
    rows = {(suggestion.kind, suggestion.period): suggestion for suggestion in suggestions(nights, POLICY, 1)}
    assert rows["revoke", "rentree"].limit == 100
    assert rows["revoke", ""].most == 21, "beyond today's limit of 20"
    assert rows["grant", ""].limit is None, "without a limit, and in no period of its own"
    assert rows["grant", ""].suggested == LEAST
    assert [suggestion.kind for suggestion in suggestions(nights, POLICY, 1)] == ["revoke", "revoke", "grant"]


def test_first_loads_are_left_out_and_a_broken_limit_of_zero_ranks_first() -> None:
    nights = [(TERM, {"create": (900, 0), "lock": (1, 900), "revoke": (20, 900), "held": (2, 900)})]
    rows = suggestions(nights, POLICY, 2)
    assert [row.kind for row in rows] == ["lock", "revoke", "held"]
    assert rows[-1].limit is None


def test_limits_of_establishments_have_rows_of_their_own() -> None:
    """From the changes of a night to the row: it is of the establishment nearest to its limit."""
    guard = Guard(Limit(20, 0.02), Limit(5, 0.2), Limit(50, 0.5))
    policy = Policy(guards={"deactivate": guard, "revoke": Guard(Limit(20, 0.02))})
    tally = Tally()
    for number, uai in enumerate(["0800009A"] * 4 + ["0800010B"] * 6):
        change = Change(Kind.DEACTIVATE, f"u{number}", None, {}, {}, "", TERM, establishments=(uai,))
        revoke = Change(Kind.REVOKE, f"u{number}", None, {}, {}, "", TERM, establishments=(uai,))
        tally.add([change, revoke])
    counted = tally.counted(Census(900, {"0800009A": 10, "0800010B": 100}), policy, TERM)
    assert counted["deactivate per establishment"] == (4, 10), "4 of 5 is nearer than 6 of 20"
    assert counted["deactivate"] == (10, 900)
    assert "revoke per establishment" not in counted, "it has no such limit"
    rows = {suggestion.kind: suggestion for suggestion in suggestions([(TERM, counted)], policy, 1)}
    row = rows["deactivate per establishment"]
    assert (row.most, row.of, row.limit, row.suggested) == (4, 10, 5, LEAST_OF_SCOPE)
