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


@pytest.mark.parametrize("as_of", sorted({as_of for as_of, *_ in CASES.values()}))
def test_log_in_today_follows_the_dates_written_earlier(academy: Academy, as_of: int) -> None:
    """The people of the cases whose last night was on one day."""
    academy.allow_up_to(20)
    cases = {name: case for name, case in CASES.items() if case[0] == as_of}
    people = {
        name: [
            line.replace("1001", str(2000 + n), 1).replace("Dubreuil", f"Dubreuil{chr(97 + n)}")
            for line in rows
        ]
        for n, (name, (_, rows, _, _)) in enumerate(cases.items())
    }
    for offset in (as_of - 10, as_of):
        on = day(offset).isoformat()
        academy.night(on, academy.feed(*(line for rows in people.values() for line in rows), day=on))
    today = TODAY.isoformat()
    for n, (name, (_, _, expected, state)) in enumerate(cases.items()):
        uid = f"claire.dubreuil{chr(97 + n)}"
        dn = academy.dn(uid)
        academy.change(uid, userPassword=[PASSWORD])
        assert academy.values(uid, "piactlState") == [state], name
        assert academy.sandbox.accepts(dn, PASSWORD) is expected, name
        assert not academy.sandbox.accepts(dn, "wrong")
        # what is shown for today is what the server does
        shown = academy.show(uid, today)
        is_shown = (shown["login_from"] or today) <= today <= (shown["login_until"] or today)
        assert is_shown is expected, name
        # a new password opens only what is open
        academy.change(uid, userPassword=["Other-Horse-8"])
        assert academy.sandbox.accepts(dn, "Other-Horse-8") is expected, name


def test_after_a_return_from_the_archive_log_in_waits_for_the_post(academy: Academy) -> None:
    """After a return from the archive log in is refused until the new post has begun."""
    old = post(-300, -190)
    academy.night(day(-200).isoformat(), academy.feed(old, day=day(-200).isoformat()))
    academy.nights(day(-90).isoformat())
    assert academy.values("claire.dubreuil", "piactlState") == ["archived"]
    academy.night(day(-10).isoformat(), academy.feed(old, post(3), day=day(-10).isoformat()))
    academy.change("claire.dubreuil", userPassword=[PASSWORD])
    assert not academy.sandbox.accepts(academy.dn("claire.dubreuil"), PASSWORD)
    academy.night(day(-9).isoformat(), academy.feed(old, post(-1), day=day(-9).isoformat()))
    assert academy.sandbox.accepts(academy.dn("claire.dubreuil"), PASSWORD)
