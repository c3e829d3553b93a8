"""`status` is one screen: what happened, what waits, what ends, and what will come."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from tests.outside import civil_today

from .academy import Academy
from .feeds import row

TODAY = civil_today("Europe/Paris")
YESTERDAY = TODAY - timedelta(days=1)


def day(number: int) -> str:
    return (TODAY + timedelta(days=number)).isoformat()


def people(end: str) -> list[str]:
    return [
        row(matricule="1001", date_naissance="1980-03-04"),
        row(matricule="1002", prenom="Ida", nom_famille="Roy", date_naissance="1981-04-05", fin=end),
    ]


def test_before_the_first_run(academy: Academy) -> None:
    ran = academy.run("status")
    assert (ran.code, ran.err) == (0, "")
    assert "0 accounts in use" in ran.out
    assert "last runs   none has written yet" in ran.out


def test_one_screen(academy: Academy) -> None:
    academy.night(YESTERDAY.isoformat(), academy.feed(*people(day(3)), day=YESTERDAY.isoformat()))
    why = ("--reason", "appel du proviseur", "--yes")
    assert academy.run("account", "lock", "claire.dubreuil", "--until", day(5), *why).code == 0
    granted = ("exception", "grant", "ida.roy", "--service", "colibris", "--until", day(2), *why)
    assert academy.run(*granted).code == 0
    academy.change("claire.dubreuil", title=["Proviseur"])
    assert academy.spawn("nightly", "--as-of", TODAY.isoformat()).code == 0

    view = academy.run("status", "-o", "json").json
    assert view["accounts"] == 2
    assert view["running"] is None
    assert [run["status"] for run in view["runs"]] == ["done"] * 4
    source = view["feeds"][0]
    assert (source["date"], source["days"], source["old"]) == (YESTERDAY.isoformat(), 1, False)
    assert [exception["uid"] for exception in view["exceptions_ending"]] == ["ida.roy"]
    coming = {night["date"]: night for night in view["coming"]}
    assert coming[day(4)]["accounts"] == 1  # the end of her contract

    screen = academy.run("status").out
    assert "  nightly  done" in screen
    last = datetime.fromisoformat(view["runs"][0]["started"]).astimezone(ZoneInfo("Europe/Paris"))
    assert f"{last:%Y-%m-%d %H:%M}  nightly" in screen, "in the time zone of the policy"
    assert "1 day ago" in screen
    assert "grant of colibris" in screen
    assert len(screen.splitlines()) < 40
    assert max(map(len, screen.splitlines())) < 140
