"""What becomes of a change by hand when HR confirms it, or says something else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .academy import Academy
from .both_ways import same
from .feeds import MARESCHAL, MICHELIS, THUILLIER, row

DAY = "2026-09-05"
NAMES = {"2001": "Anne", "2002": "Bruno", "2003": "Carla", "2004": "Denis", "2005": "Emma", "2006": "Fanny"}
BY_HAND = (
    ("move", "anne.hugo", "--to", MICHELIS, "--from", "2026-09-10", "--until", "2027-08-31"),
    ("add", "bruno.hugo", "--uai", THUILLIER, "--function", "ENS", "--from", "2026-10-01",
     "--until", "2026-12-31"),
    ("end", "carla.hugo", "--on", "2026-09-20", "--until", "2026-12-31"),
    ("add", "denis.hugo", "--uai", THUILLIER, "--function", "ENS", "--position", "disponibilite",
     "--from", "2026-09-10", "--until", "2026-09-30"),
    ("move", "emma.hugo", "--to", MICHELIS, "--from", "2026-09-10", "--until", "2026-10-20"),
    ("move", "fanny.hugo", "--to", MICHELIS, "--from", "2026-09-10", "--until", "2026-10-20"),
)  # fmt: skip


def feed(academy: Academy, day: str, further_rows: tuple[str, ...] = (), **fields: dict[str, str]) -> Path:
    """A feed of everybody, with other values for some, by matricule, and with further rows."""
    usual = {"2002": {"fin": "2026-09-30"}}
    rows = [person(m, **{**usual.get(m, {}), **fields.get(f"m{m}", {})}) for m in NAMES]
    return academy.feed(*rows, *further_rows, day=day)


def person(matricule: str, **values: str) -> str:
    fixed = {"nom_famille": "Hugo", "debut": "2025-09-01", "date_naissance": f"1970-01-{matricule[2:]}"}
    return row(matricule=matricule, prenom=NAMES[matricule], **{**fixed, **values})


def contradicted(plan: Any) -> dict[str, list[str]]:
    contradictions: dict[str, list[str]] = {}
    for contradiction in plan["contradictions"]:
        assert NAMES[contradiction["matricule"]].lower() in contradiction["uid"]
        contradictions.setdefault(contradiction["uid"].partition(".")[0], []).append(
            f"{contradiction['what']}: {contradiction['why']}"
        )
    return contradictions


def overrides(academy: Academy, day: str) -> list[tuple[str, str]]:
    listed = academy.run("override", "list", "-o", "json", "--as-of", day).json
    return sorted((override["uid"].partition(".")[0], override["kind"]) for override in listed)


def posts(academy: Academy) -> list[tuple[str, str, str, str]]:
    """Establishment, start, end and source of the stored posts of one person."""
    assignments = (value.split("$") for value in academy.values("anne.hugo", "piactlAssignment"))
    return sorted(((v[0], v[2], v[3], v[9]) for v in assignments), key=lambda post: post[1])


def test_overrides_end_when_hr_confirms_and_are_listed_if_it_differs(academy: Academy) -> None:
    academy.night(DAY, feed(academy, DAY))
    for verb, uid, *words in BY_HAND:
        ran = academy.run("assignment", verb, uid, *words, "--reason", "vu", "--as-of", DAY)
        assert ran.code == 0, ran.out + ran.err

    # HR does not know it yet: each plan says so, with a feed, with the next one, and without
    old = feed(academy, "2026-09-11")
    plan = same(academy, "2026-09-11", old)
    listed = contradicted(plan)
    assert set(listed) == {"anne", "bruno", "carla", "emma", "fanny"}
    (beyond,) = listed["bruno"]
    for word in ("ENS at 0800009A from 2026-10-01 was added, by hand until 2026-12-31", "beyond",
                 "to 2026-09-30", "[hr-001.csv:3]"):  # fmt: skip
        assert word in beyond
    (ended,) = listed["carla"]
    assert "ends on 2026-09-20" in ended
    assert "[hr-001.csv:4]" in ended
    academy.twice("2026-09-11", old)
    expected = [("anne", "add"), ("anne", "end"), ("bruno", "add"), ("carla", "end"), ("denis", "add"),
                ("emma", "add"), ("emma", "end"), ("fanny", "add"), ("fanny", "end")]  # fmt: skip
    assert overrides(academy, "2026-09-11") == expected
    assert contradicted(academy.plan("--as-of", "2026-09-12")) == listed
    assert academy.values("denis.hugo", "piactlState") == ["on-leave"]

    # HR confirms three, ends one person before the move made by hand, and moves another one elsewhere
    day = "2026-09-12"
    news = feed(
        academy,
        day,
        (
            person("2001", uai=MICHELIS, debut="2026-09-10"),
            person("2006", uai=MARESCHAL, debut="2026-09-11"),
        ),
        m2001={"fin": "2026-09-09"},
        m2002={"fin": "2026-12-31"},
        m2003={"fin": "2026-09-20"},
        m2005={"fin": "2026-09-09"},
        m2006={"fin": "2026-09-09"},
    )
    plan = same(academy, day, news)
    reasons = {c["uid"]: c["reason"] for c in plan["changes"] if "HR confirms" in c["reason"]}
    assert set(reasons) == {"anne.hugo", "bruno.hugo", "carla.hugo", "emma.hugo", "fanny.hugo"}
    assert "ENS at 0800010B from 2026-09-10 was added" in reasons["anne.hugo"]
    assert "vu" in reasons["anne.hugo"]
    listed = contradicted(plan)
    assert set(listed) == {"emma", "fanny"}
    assert all("ENS at 0800010B from 2026-09-10 was added" in listed[who][0] for who in listed)
    assert "beyond" in listed["emma"][0]
    assert f"ENS at {MARESCHAL} from 2026-09-11 [{news.name}:9]" in listed["fanny"][0]
    academy.twice(day, news)
    assert overrides(academy, day) == [("denis", "add"), ("emma", "add"), ("fanny", "add")]
    assert [post for post in posts(academy) if post[3] == "manual"] == []
    assert academy.values("anne.hugo", "supannEntiteAffectation") == [MICHELIS]
    out = academy.run("plan", news, "--as-of", "2026-09-13").out
    assert "changes by hand that HR contradicts" in out

    # no change by hand outlasts its last day
    academy.night("2026-10-21")
    assert overrides(academy, "2026-10-21") == []
    assert academy.values("emma.hugo", "piactlState") == ["grace"]
    assert academy.plan("--as-of", "2026-10-22")["contradictions"] == []


def test_an_override_confirmed_for_another_day_leaves_no_gap(academy: Academy) -> None:
    """HR has another day: what is over stays as it was, and nothing is lost in between."""
    academy.night(DAY, feed(academy, DAY))
    for verb, uid, *words in BY_HAND[:2]:
        assert academy.run("assignment", verb, uid, *words, "--reason", "vu", "--as-of", DAY).code == 0
    later = person("2001", uai=MICHELIS, debut="2026-09-15")
    changed = {"m2001": {"fin": "2026-09-14"}, "m2002": {"fin": "2026-11-30"}}
    academy.night("2026-09-12", feed(academy, "2026-09-12", (later,), **changed))
    assert overrides(academy, "2026-09-12") == [("anne", "add"), ("anne", "end"), ("bruno", "add")]
    assert academy.values("anne.hugo", "supannEntiteAffectation") == [MICHELIS]
    # HR ends the extension before the day that was given by hand
    plan = academy.plan("--as-of", "2026-09-13")
    (beyond,) = contradicted(plan)["bruno"]
    assert "to 2026-11-30" in beyond
    academy.twice("2026-09-16", feed(academy, "2026-09-16", (later,), **changed))
    assert ("anne", "add") not in overrides(academy, "2026-09-16")
    assert posts(academy) == [
        (THUILLIER, "2025-09-01", "2026-09-14", "hr"),
        (MICHELIS, "2026-09-10", "2026-09-14", "manual"),
        (MICHELIS, "2026-09-15", "", "hr"),
    ]
