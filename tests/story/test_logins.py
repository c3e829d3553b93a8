"""Logging in to slapd itself, which uses the real clock: what was written long ago still counts today."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from .academy import Academy
from .feeds import row

PASSWORD = "Correct-Horse-7"
TODAY = datetime.now(ZoneInfo("Europe/Paris")).date()


def day(offset: int) -> date:
    return TODAY + timedelta(days=offset)


def post(start: int, end: int | None = None, **values: str) -> str:
    fin = day(end).isoformat() if end is not None else ""
    return row(debut=day(start).isoformat(), fin=fin, **values)


def written(academy: Academy, as_of: int, *rows: str) -> None:
    """Runs a night of some days ago and one before it, and gives the account a password."""
    for offset in (as_of - 10, as_of):
        academy.night(day(offset).isoformat(), academy.feed(*rows, day=day(offset).isoformat()))
    academy.change("claire.dubreuil", userPassword=[PASSWORD])


def lets_in(academy: Academy) -> bool:
    return academy.sandbox.accepts(academy.dn("claire.dubreuil"), PASSWORD)


CASES: dict[str, tuple[int, list[str], bool, str]] = {
    # name: (days from today to the night, rows, whether it logs in today, state that was written)
    "the start lies ahead": (0, [post(5)], False, "anticipated"),
    "the start is tomorrow": (0, [post(1)], False, "anticipated"),
    "the start was today, written before": (-7, [post(0)], True, "anticipated"),
    "active": (0, [post(-100)], True, "active"),
    "the last day is today": (0, [post(-100, 0)], True, "active"),
    "in grace, written while active": (-20, [post(-100, -10)], True, "active"),
    "the last day of grace": (-40, [post(-100, -30)], True, "active"),
    "grace over since yesterday, no night run": (-40, [post(-100, -31)], False, "active"),
    "grace over long ago, written in grace": (-70, [post(-100, -75)], False, "grace"),
    "contractual, grace of 60 days": (-70, [post(-200, -60, corps="776")], True, "active"),
    "contractual, grace over": (-70, [post(-200, -61, corps="776")], False, "active"),
    "radiation, no grace": (-9, [post(-200), post(0, position="radiation")], False, "active"),
    "retired yesterday, in grace": (-9, [post(-200), post(-1, position="retraite")], True, "active"),
    "dead since yesterday, known before": (-9, [post(-200), post(-1, position="deces")], False, "active"),
    "on leave that keeps nothing": (
        0,
        [post(-200), post(-2, 30, position="disponibilite")],
        False,
        "on-leave",
    ),
    "on leave that keeps a service": (
        0,
        [post(-200), post(-2, 30, position="conge_parental")],
        True,
        "on-leave",
    ),
    "suspended today, known before": (-5, [post(-200), post(0, 30, position="suspension")], False, "active"),
    "suspended": (0, [post(-200), post(-2, 30, position="suspension")], False, "on-leave"),
}


@pytest.mark.parametrize("name", CASES)
def test_log_in_today_follows_the_dates_written_earlier(academy: Academy, name: str) -> None:
    as_of, rows, expected, state = CASES[name]
    written(academy, as_of, *rows)
    assert academy.values("claire.dubreuil", "piactlState") == [state]
    assert lets_in(academy) is expected
    assert not academy.sandbox.accepts(academy.dn("claire.dubreuil"), "wrong")
    # what is shown for today is what the server does
    today = TODAY.isoformat()
    shown = academy.show("claire.dubreuil", today)
    assert ((shown["login_from"] or today) <= today <= (shown["login_until"] or today)) is expected
    # a new password opens only what is open
    academy.change("claire.dubreuil", userPassword=["Other-Horse-8"])
    assert academy.sandbox.accepts(academy.dn("claire.dubreuil"), "Other-Horse-8") is expected


def test_after_a_return_from_the_archive_log_in_waits_for_the_post(academy: Academy) -> None:
    """After a return from the archive log in is refused until the new post has begun."""
    old = post(-300, -190)
    written(academy, -200, old)
    academy.nights(day(-90).isoformat())
    assert academy.values("claire.dubreuil", "piactlState") == ["archived"]
    academy.night(day(-10).isoformat(), academy.feed(old, post(3), day=day(-10).isoformat()))
    academy.change("claire.dubreuil", userPassword=[PASSWORD])
    assert not lets_in(academy)
    academy.night(day(-9).isoformat(), academy.feed(old, post(-1), day=day(-9).isoformat()))
    assert lets_in(academy)
