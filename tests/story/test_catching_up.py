"""Missed nights: one late run has the same result as the nights one by one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta

import pytest

from .academy import Academy
from .feeds import MARESCHAL, MICHELIS, MILLEVOYE, row

Make = Callable[..., Academy]


def people(around: date) -> list[str]:
    """People with starts, ends, leaves, mutations, graces and archivals on the days around `around`, one of
    each kind, known to HR long before."""

    def day(offset: int) -> str:
        return (around + timedelta(days=offset)).isoformat()

    def one(number: int, name: str, **values: str) -> str:
        return row(matricule=str(2000 + number), prenom="Alix", nom_famille=name, **values)

    return [
        one(1, "Debut", debut=day(-1)),
        one(2, "Plusloin", debut=day(14), numen="20E9500002AAA"),
        one(3, "Fin", debut=day(-300), fin=day(-1)),
        one(4, "Sursis", debut=day(-300), fin=day(-31)),
        one(5, "Archive", debut=day(-300), fin=day(-61)),
        one(6, "Mute", debut=day(-300), fin=day(-2), fonction="DIR"),
        one(6, "Mute", debut=day(-1), uai=MICHELIS, fonction="DIR"),
        one(7, "Conge", debut=day(-300)),
        one(7, "Conge", debut=day(-2), fin=day(1), position="conge_parental"),
        one(8, "Verrou", debut=day(-300)),
        one(8, "Verrou", debut=day(-1), fin=day(0), position="suspension"),
        one(9, "Retour", debut=day(-300), fin=day(-40)),
        one(9, "Retour", debut=day(2), uai=MARESCHAL),
        one(10, "Retraite", debut=day(-3000)),
        one(10, "Retraite", debut=day(0), position="retraite"),
        one(11, "Deces", debut=day(-3000)),
        one(11, "Deces", debut=day(1), position="deces"),
        one(12, "Contrat", debut=day(-200), fin=day(-59), corps="776"),
        one(12, "Contrat", debut=day(1), fin=day(8), corps="776", uai=MILLEVOYE),
        one(13, "Delai", debut=day(-2), fonction="ADM", uai="0809901C"),
    ]


AROUND = {
    "29 February 2028": date(2028, 2, 29),
    "the clocks go forward": date(2027, 3, 28),
    "the clocks go back": date(2027, 10, 31),
    "the year ends": date(2026, 12, 31),
}


def loaded(make: Make, around: date) -> Academy:
    academy = make()
    for before in (100, 5):
        first = (around - timedelta(days=before)).isoformat()
        academy.night(first, academy.feed(*people(around), day=first))
    return academy


@pytest.mark.parametrize(
    "around",
    [
        pytest.param(day, id=name, marks=[] if name == "the clocks go back" else pytest.mark.long)
        for name, day in AROUND.items()
    ],
)
def test_one_late_run_equals_the_nights_one_by_one(make_academy: Make, around: date) -> None:
    nightly, late, full = (loaded(make_academy, around) for _ in range(3))
    reached = {0, 3, 17}
    for offset in range(-4, 18):
        day = (around + timedelta(days=offset)).isoformat()
        nightly.night(day)
        if offset not in reached:
            continue
        # feeding the same feed again makes a night look at everything
        full.night(day, full.feed(*people(around), day=day))
        late.night(day)
        assert nightly.managed() == late.managed(), day
        assert nightly.managed() == full.managed(), day
    assert len(nightly.managed()) == 13


@pytest.mark.parametrize("around", [AROUND["29 February 2028"]])
def test_a_night_without_a_feed_leaves_nothing_for_a_full_one(make_academy: Make, around: date) -> None:
    """Day by day, after the night for what is due, a look at everything finds nothing more to do."""
    academy = loaded(make_academy, around)
    moved = 0
    for offset in (*range(-4, 4), *range(8, 18, 3), *range(29, 33), 61, 62):
        day = (around + timedelta(days=offset)).isoformat()
        before = academy.stamps()
        ran = academy.night(day).json
        moved += len(ran["summary"])
        changed = {dn for dn, stamp in academy.stamps().items() if before.get(dn) != stamp}
        assert len(changed) == sum(ran["outcomes"].values()), day
        plan = academy.plan(academy.feed(*people(around), day=day), "--as-of", day)
        assert plan["changes"] == [], day
    assert moved > 20


def test_an_assignment_wholly_inside_missed_nights_makes_no_account(academy: Academy) -> None:
    academy.night("2026-09-05", academy.feed(row(), day="2026-09-05"))
    short = row(matricule="1002", prenom="Hugo", nom_famille="Vasseur", debut="2026-09-10", fin="2026-09-12")
    academy.twice("2026-09-20", academy.feed(row(), short, day="2026-09-20"))
    assert academy.names() == {"1001": "claire.dubreuil"}


def test_a_night_of_another_day_needs_any_date(academy: Academy) -> None:
    academy.edit("piactl.yaml", "any_date: true", "any_date: false")
    feed = academy.feed(row(), day="2026-09-05")
    with academy.nothing_written():
        ran = academy.night("2026-09-05", feed, code=4)
    assert "any_date" in ran.err
    # reading commands may still ask about any day
    assert academy.plan(feed, "--as-of", "2026-09-05")["summary"] == {"create": 1}


def test_a_night_long_after_the_last_one_needs_a_confirmed_date(academy: Academy) -> None:
    """By the clock the last run was long ago: without a date on the command line nothing is done."""
    feed = academy.feed(row(), day="2020-09-05")
    academy.night("2020-09-05", feed)
    with academy.nothing_written():
        ran = academy.run("nightly", feed)
    assert ran.code == 4
    assert "--as-of" in ran.err
