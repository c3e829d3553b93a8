"""Twelve months of ordinary nights, the rentrée among them: no guard and no limit stops one of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from piactl.core.model.guard_limits import Guard, Limit
from piactl.core.plan.change import GUARD_KINDS, Kind
from piactl.core.plan.check_guards import tally
from piactl.core.plan.state_between_runs import LastRun

from .population import Night, write_feeds
from .rehearsal import Rehearsal

YEAR = date(2026, 10, 12), date(2027, 10, 16)
TWO_RENTREES = date(2026, 8, 24), date(2027, 10, 31)
NO_ROOM = Guard(Limit(0, 0.0))
SHARE = 0.003
"""The share of the people whom HR changes from one night to the next."""
COINCIDENCE = re.compile(r"assignment-contradicts|\(same identity\)")


def nights(every: int, first: date, last: date) -> Iterator[Night]:
    """A first load, then a night every `every` working days, with the changes since the last night, of at
    most a week. The nights near the rentrée are included whatever `every` is."""
    yield Night(1, first, first, "first")
    number, day, waited = 1, first, 0
    while day < last:
        day += timedelta(days=1)
        waited += day.weekday() != 6
        september = date(day.year, 9, 1)
        near = -1 <= (day - september).days <= 8
        if day.weekday() == 6 or (waited < every and not near):
            continue
        number += 1
        kind, share, arrivals = "ordinary", SHARE * 0.85 * min(waited, 6), SHARE * 0.15 * min(waited, 6)
        if day == september:
            kind, share, arrivals = "rentree", 0.095, 0.025
        yield Night(number, day, day, kind, share, arrivals)
        waited = 0


@pytest.mark.parametrize(
    ("people", "every", "seed"),
    [
        pytest.param(200, 26, 1, id="200-monthly", marks=pytest.mark.long),
        pytest.param(300, 26, 1, id="300-monthly", marks=pytest.mark.long),
        pytest.param(450, 12, 1, id="450-fortnightly", marks=pytest.mark.long),
        pytest.param(5_000, 26, 1, id="5000-monthly", marks=pytest.mark.long),
        *[pytest.param(450, 1, n, id=f"450-every-night-{n}", marks=pytest.mark.long) for n in (1, 2, 3)],
        pytest.param(5_000, 1, 1, id="5000-every-night", marks=pytest.mark.long),
        pytest.param(36_000, 26, 1, id="36000-monthly", marks=pytest.mark.long),
    ],
)
def test_no_night_is_stopped(tmp_path: Path, people: int, every: int, seed: int) -> None:
    """With -s the test prints the numbers on which docs/guards.md is based."""
    days = TWO_RENTREES if every == 1 else YEAR
    feeds = write_feeds(tmp_path, people, seed, list(nights(every, *days)), None)
    rehearsal = Rehearsal(tmp_path, tmp_path / "establishments.csv")
    counting = replace(rehearsal.site.policy, guards=dict.fromkeys(GUARD_KINDS, NO_ROOM), periods=())
    most: dict[tuple[str, str], tuple[float, int, date]] = {}
    before: LastRun | None = None
    for feed in feeds:
        day = feed.night.day
        ready = rehearsal.plan(feed.path, day)
        plan, last = ready.plan, ready.last
        assert last is not None
        assert plan.refusals == (), (day, plan.refusals)
        # among many people the generator makes one or two people with contradicting rows, and a pair
        # of people born on one day with one family name and first given name
        assert len(plan.holds) <= max(people // 10_000, people // 5_000 > 0), (day, plan.holds)
        assert all(COINCIDENCE.search(hold.why) for hold in plan.holds), (day, plan.holds)
        if before is not None:
            matricules = [hold.matricule or "" for hold in plan.holds]
            counted = tally(plan.changes).refusals(
                before.census, counting, day, held=matricules, losses=before.losses
            )
            for refusal in counted:
                time = rehearsal.period(day)
                seen = (refusal.found / max(refusal.of, 1), refusal.found, day)
                # if few people have something, its growth as a number says more than as a share
                kind = (
                    f"{refusal.kind} of few"
                    if refusal.of < 200 and "growth" in refusal.kind
                    else refusal.kind
                )
                most[time, kind] = max(most.get((time, kind), seen), seen)
        before = last
        rehearsal.make(ready, day)
    assert most["rentree", Kind.UPDATE.value][1] > 0.05 * people
    print(f"\n{people} people, {len(feeds)} nights; the most of each kind in one night:")
    for (time, kind), (share, number, day) in sorted(most.items()):
        print(f"  {time:<14}{kind:<24}{number:>6} {share:6.1%}  {day}")
