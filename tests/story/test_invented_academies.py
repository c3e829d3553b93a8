"""Nights of invented académies with slips, compared with a record of who is who: nobody is merged or doubled,
who works keeps access, and a careful administrator has few cases to answer."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .academy import Academy
from .world_nights import Figures, Nights, with_joined_people, with_swapped_people
from .worlds import CLEAN, NASTY, ORDINARY, Setting, World

MOST_CASES = 7
"""Among 1,000 people, from 24 August to the autumn or over a year."""


def live(
    academy: Academy,
    setting: Setting,
    people: int,
    seed: int,
    days: int,
    *,
    sources: tuple[str, ...] = ("epp", "assed", "agape", "renoirh"),
    own_numbers: bool = True,
    busy: bool = False,
    nightly: int = 66,
    calm: int = 16,
) -> tuple[Nights, Figures]:
    world = World(setting, people, seed, days, sources=sources, own_numbers=own_numbers, busy=busy)
    nights = Nights(academy, world, seed)
    figures = nights.live(days, nightly=nightly, every=7, calm=calm)
    print(figures.text())
    return nights, figures


def test_an_ordinary_rentree_mixes_up_nobody(academy: Academy) -> None:
    nights, figures = live(academy, ORDINARY, 150, 1, 16, sources=("epp", "assed", "agape"), calm=10)
    assert figures.faults == []
    assert figures.per_thousand <= MOST_CASES
    assert figures.late["applied"] + figures.late["refused"] > 0
    assert academy.run("journal", "verify").code == 0
    _shows_what_is_wrong(nights, academy)


def _shows_what_is_wrong(nights: Nights, academy: Academy) -> None:
    """The comparison finds faults: of the directory, and of a record that mixes up people."""
    faults = nights.figures
    uid = next(entry.uid for entry in nights.entries if any(e[0] is entry.human for e in nights.served))
    words = ("account", "lock", uid, "--reason", "trial", "--yes", "--as-of", f"{nights.world.day}")
    assert academy.run(*words).code == 0
    nights.entries = list(nights.read())
    nights.check()
    assert faults.kinds.keys() == {"loses"}
    with_joined_people(nights).check()
    assert faults.kinds["person with two accounts"] == 1
    with_swapped_people(nights).check()
    assert faults.kinds["number of another person"] >= 2


def test_a_rentree_without_slips_makes_no_case(academy: Academy) -> None:
    """Nobody corrects or answers anything, so the calm nights at the end are few."""
    _, figures = live(academy, CLEAN, 60, 1, 12, calm=3)
    assert figures.faults == []
    assert figures.asked == 0


@pytest.mark.long
@pytest.mark.parametrize("own_numbers", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_ordinary_nights_need_few_cases(academy: Academy, seed: int, own_numbers: bool) -> None:
    _, figures = live(academy, ORDINARY, 1000, seed, 63, own_numbers=own_numbers)
    assert figures.faults == []
    assert figures.per_thousand <= MOST_CASES


@pytest.mark.long
@pytest.mark.parametrize("own_numbers", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_nasty_nights_mix_up_nobody(academy: Academy, seed: int, own_numbers: bool) -> None:
    _, figures = live(academy, NASTY, 300, seed, 63, own_numbers=own_numbers)
    assert figures.faults == []


@pytest.mark.long
def test_an_ordinary_year_needs_few_cases(make_academy: Callable[..., Academy]) -> None:
    """Of two populations together: slips are few, and their number in one of them is a matter of chance."""
    years = [live(make_academy(), ORDINARY, 1000, seed, 365)[1] for seed in (0, 1)]
    assert [fault for year in years for fault in year.faults] == []
    assert sum(year.per_thousand for year in years) / len(years) <= MOST_CASES


@pytest.mark.long
def test_a_year_as_busy_as_a_rentree_mixes_up_nobody(academy: Academy) -> None:
    _, figures = live(academy, ORDINARY, 1000, 0, 365, busy=True)
    assert figures.faults == []


@pytest.mark.long
def test_a_year_without_slips_makes_no_case(academy: Academy) -> None:
    _, figures = live(academy, CLEAN, 300, 1, 365)
    assert figures.faults == []
    assert figures.asked == 0
