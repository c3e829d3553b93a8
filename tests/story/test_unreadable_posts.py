"""A post of a supplement that cannot be read stays as it is, and keeps nothing that HR ends."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.aaf_sets import SCHOOLS, Agent, files, zipped

from . import feeds
from .academy import Academy
from .feeds import MICHELIS, MILLEVOYE, THUILLIER
from .test_aaf import ELSEWHERE, aaf, numbers, with_aaf

BIRTH = {"date_naissance": "14/07/1980"}
CLAIRE = "claire.dubreuil"
OWN = Agent("500", ("4077$ENS", "4078$ENS"))
UNREADABLE = {"structure-unknown": "9999$ENS", "profile-none": "4079$XYZ"}
CODES = sorted(UNREADABLE)


def date(day: int) -> str:
    return f"2026-09-{day:02}"


def hr(academy: Academy, day: int, *rows: dict[str, str]) -> Path:
    ida = feeds.row(matricule="1999", prenom="Ida", nom_famille="Roy")
    return academy.feed(*(feeds.row(**BIRTH, **row) for row in rows or ({},)), ida, day=date(day))


def night(academy: Academy, day: int, *agents: Agent, rows: tuple[dict[str, str], ...] = ()) -> Any:
    """The plan of a night with these rows of HR and a set of these people; the night is run."""
    return planned(academy, day, aaf(academy, date(day).replace("-", ""), *agents), rows)


def planned(academy: Academy, day: int, feed: Path, rows: tuple[dict[str, str], ...] = ()) -> Any:
    feeds = hr(academy, day, *rows), feed
    plan = academy.plan(*feeds, "--as-of", date(day))
    academy.night(date(day), *feeds)
    return plan


def with_unreadable(code: str, agent: Agent = OWN) -> Agent:
    return replace(agent, functions=(*agent.functions, UNREADABLE[code]))


def posts(academy: Academy, day: int) -> list[tuple[str, str, str | None]]:
    shown = academy.show(CLAIRE, date(day))["assignments"]
    return [(a["uai"], a["function"], a["end"]) for a in shown]


def known(academy: Academy) -> Academy:
    with_aaf(academy)
    academy.night(date(1), hr(academy, 1))
    return academy


def joined(academy: Academy) -> Academy:
    night(known(academy), 2, OWN)
    assert [post[0] for post in posts(academy, 2)] == [THUILLIER, MICHELIS]
    return academy


ENDS: dict[str, tuple[dict[str, str], ...]] = {
    "radiation": ({}, {"position": "radiation", "debut": date(3)}),
    "suspension": ({}, {"position": "suspension", "debut": date(3)}),
    "end of contract": ({"fin": date(2)},),
    "move": ({"fin": date(2)}, {"uai": MILLEVOYE, "debut": date(3)}),
}


@pytest.mark.parametrize(
    ("event", "code"),
    [
        pytest.param(event, code, marks=[pytest.mark.long] * ((n + c) % 2))
        for n, event in enumerate(ENDS)
        for c, code in enumerate(CODES)
    ],
)
def test_what_hr_ends_ends(make_academy, code: str, event: str) -> None:
    academy = make_academy(after=joined)
    plan = night(academy, 3, with_unreadable(code), rows=ENDS[event])
    assert not plan["holds"]
    assert [rejection["code"] for rejection in plan["rejections"]] == [code]
    shown = academy.show(CLAIRE, date(3))
    services = {(right["service"], right["uai"]) for right in shown["entitlements"]}
    if event == "radiation":
        assert (shown["state"], services) == ("deactivated", set())
    elif event == "suspension":
        assert (shown["locked"], services) == (True, set())
    elif event == "end of contract":
        assert shown["state"] == "grace"
        assert (MICHELIS, "ENS", date(2)) in posts(academy, 3)
        assert "iprof" not in {service for service, _ in services}
    else:
        assert (MILLEVOYE, "ENS", None) in posts(academy, 3)
        assert ("livret", MILLEVOYE) in services


@pytest.mark.parametrize("code", CODES)
def test_the_other_posts_and_the_link_go_on(make_academy, code: str) -> None:
    academy = make_academy(after=known)
    plan = night(academy, 2, with_unreadable(code))
    assert [rejection["code"] for rejection in plan["rejections"]] == [code]
    shown = academy.show(CLAIRE, date(2))
    assert shown["matricules"] == ["1001", "aaf:500"]
    assert (*ELSEWHERE[:2], None) in posts(academy, 2)
    # a person of whom no post can be read is linked, too
    academy = make_academy(after=known)
    night(academy, 2, with_unreadable(code, replace(OWN, functions=())))
    assert academy.show(CLAIRE, date(2))["matricules"] == ["1001", "aaf:500"]


def test_a_post_that_cannot_be_read_is_not_absent(make_academy) -> None:
    """Its structure leaves the set for some nights: the post stays; without the post in the set it ends."""
    academy = make_academy(after=joined)
    schools = {number: uai for number, uai in SCHOOLS.items() if uai != MICHELIS}
    other = Agent("501", ("4079$ENS",), sn="ROY", given="Ida", birth="")
    for day in (3, 4, 5):
        stem = academy.folder / f"trimmed-{next(numbers)}"
        stem.mkdir()
        named = date(day).replace("-", "")
        contents = files([OWN, other], named, schools=schools)
        trimmed = zipped(stem / f"ENT2DVA_Complet_{named}.zip", contents)
        plan = planned(academy, day, trimmed)
        assert [rejection["code"] for rejection in plan["rejections"]] == ["structure-unknown"]
        assert not plan["absents"]
        assert (MICHELIS, "ENS", None) in posts(academy, day)
    for day in (6, 7):
        night(academy, day, replace(OWN, functions=OWN.functions[:1]), other)
    assert (MICHELIS, "ENS", date(5)) in posts(academy, 7)


def test_a_known_post_without_a_profile_gives_nothing_and_holds_nobody(make_academy) -> None:
    academy = make_academy(after=known)
    agent = replace(OWN, functions=("4077$ENS", "4078$DOC"))
    night(academy, 2, agent)
    for old in ("[ENS, DOC, RPL]", "{fonction: [DOC]}"):
        academy.edit("policy.yaml", old, old.replace("DOC", "AUTRE"))
    academy.allow_up_to(9)
    plan = night(academy, 3, agent)
    assert [rejection["code"] for rejection in plan["rejections"]] == ["profile-none"]
    assert (MICHELIS, "DOC", None) in posts(academy, 3)
    night(academy, 4, agent, rows=({"fin": date(3)},))
    assert academy.show(CLAIRE, date(4))["state"] == "grace"
    assert (MICHELIS, "DOC", date(3)) in posts(academy, 4)


def test_an_unreadable_name_in_a_supplement_keeps_nothing_that_hr_ends(make_academy) -> None:
    """Nothing of such a row is read: the posts of the supplement stay as they are."""
    academy = make_academy(after=joined)
    for day in (3, 4, 5):
        plan = night(academy, day, replace(OWN, given="CLAIRE2", functions=("4077$ENS",)))
        assert [rejection["code"] for rejection in plan["rejections"]] == ["name-digit"]
        assert (MICHELIS, "ENS", None) in posts(academy, day)
    night(academy, 6, replace(OWN, given="CLAIRE2"), rows=({"fin": date(5)},))
    assert academy.show(CLAIRE, date(6))["state"] == "grace"


def test_rejects_and_the_check_show_the_row(make_academy) -> None:
    academy = make_academy(after=joined)
    feed = aaf(academy, "20260903", replace(OWN, functions=(*OWN.functions, *UNREADABLE.values())))
    checked = academy.run("feed", "check", feed)
    assert checked.code == 5
    # rows of one person have the line of their request
    assert "1 of 4 rows rejected, 0 people would be held" in checked.out
    out = academy.folder / "rejects.csv"
    assert academy.run("feed", "rejects", feed, "--out", out).code == 0
    rows = out.read_text(encoding="utf-8")
    assert all(code in rows for code in UNREADABLE), rows
    # the night shows and counts them again, whatever else is unchanged
    for day in (3, 4):
        plan = night(academy, day, replace(OWN, functions=(*OWN.functions, *UNREADABLE.values())))
        assert sorted(rejection["code"] for rejection in plan["rejections"]) == sorted(UNREADABLE)
    scores = academy.run("feed", "score", "--source", "aaf", "--as-of", date(4), "-o", "json").json["nights"]
    counts = [(score["rows"], score["rejected"], score["held"]) for score in scores]
    assert counts == [(2, 0, 0), (4, 1, 0), (4, 1, 0)]


def test_the_rows_of_hr_still_hold_their_people(make_academy) -> None:
    academy = make_academy(after=joined)
    plan = night(academy, 3, OWN, rows=({"fonction": "XYZ", "fin": date(2)},))
    assert [hold["uid"] for hold in plan["holds"]] == [CLAIRE]
    assert academy.show(CLAIRE, date(3))["state"] == "active"
