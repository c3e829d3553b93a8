"""What it means if a feed does not list something, night by night."""

from __future__ import annotations

import hashlib
from typing import Any

from .academy import Academy, prepared
from .feeds import MILLEVOYE, row

CLAIRE = row()
HUGO = row(matricule="1002", prenom="Hugo", nom_famille="Vasseur", debut="2025-09-01")


def posts(academy: Academy, uid: str, day: str) -> list[tuple[str, str, Any]]:
    return [(a["uai"], a["start"], a["end"]) for a in academy.show(uid, day)["assignments"]]


def feed(academy: Academy, day: str, *rows: str, note: str = "") -> Any:
    """A feed with these rows and Ida; `note`, a part of her name, makes it differ from other feeds."""
    return academy.feed(*rows, row(matricule="1999", prenom="Ida", nom_famille=f"Roy{note}"), day=day)


def absents(ran: Any, academy: Academy, day: str, *feeds: Any) -> list[tuple[str, int, str]]:
    plan = academy.plan(*feeds, "--as-of", day)
    return [(a["uid"], a["seen"], a["since"]) for a in plan["absents"]]


@prepared
def listed(academy: Academy) -> Academy:
    """Claire and Hugo, whom a feed lists."""
    academy.night("2026-09-10", feed(academy, "2026-09-10", CLAIRE, HUGO))
    return academy


def test_an_absence_is_reported_first_and_ends_posts_at_the_second_feed(listed: Academy) -> None:
    first = feed(listed, "2026-09-11", CLAIRE)
    plan = listed.plan(first, "--as-of", "2026-09-11")
    assert [(a["uid"], a["seen"], a["needed"], a["since"]) for a in plan["absents"]] == [
        ("hugo.vasseur", 1, 2, "2026-09-11")
    ]
    assert plan["changes"] == []
    listed.twice("2026-09-11", first)
    assert posts(listed, "hugo.vasseur", "2026-09-11") == [("0800009A", "2025-09-01", None)]

    # the same feed on a third night does not count again
    listed.quiet_night("2026-09-12", first)
    assert posts(listed, "hugo.vasseur", "2026-09-12") == [("0800009A", "2025-09-01", None)]

    # a later one counts; the end is the day before the first feed without the row
    listed.twice("2026-09-14", feed(listed, "2026-09-14", CLAIRE))
    assert posts(listed, "hugo.vasseur", "2026-09-14") == [("0800009A", "2025-09-01", "2026-09-10")]
    assert listed.show("hugo.vasseur", "2026-09-14")["state"] == "grace"
    assert listed.values("hugo.vasseur", "pwdEndTime") == ["20261010220000Z"]


def test_a_feed_without_a_required_trailer_is_refused(academy: Academy) -> None:
    academy.sources(hr="kind: full, trailer: true")
    academy.night("2026-09-10", feed(academy, "2026-09-10", CLAIRE, HUGO))
    content = feed(academy, "2026-09-11", CLAIRE).read_bytes()
    cut = academy.raw_feed(content[: content.index(b"#FIN")])
    with academy.nothing_written():
        assert "no-trailer" in academy.night("2026-09-11", cut, code=6).err


def test_absence_from_one_source_leaves_posts_of_other_sources(academy: Academy) -> None:
    academy.sources(epp="kind: full", assed="kind: full")
    other = row(
        matricule="1002",
        prenom="Hugo",
        nom_famille="Vasseur",
        debut="2026-09-01",
        uai=MILLEVOYE,
        fonction="AED",
        corps="790",
    )

    def both(day: str, *rows: str) -> list[Any]:
        return [
            academy.feed(CLAIRE, *rows, day=day, source="epp"),
            academy.feed(other, day=day, source="assed"),
        ]

    academy.night("2026-09-10", *both("2026-09-10", HUGO))
    academy.night("2026-09-11", *both("2026-09-11"))
    academy.night("2026-09-12", *both("2026-09-12"))
    assert posts(academy, "hugo.vasseur", "2026-09-12") == [
        ("0800009A", "2025-09-01", "2026-09-10"),
        (MILLEVOYE, "2026-09-01", None),
    ]
    assert academy.show("hugo.vasseur", "2026-09-12")["state"] == "active"


def test_a_retirement_missing_on_the_day_of_archival_neither_archives_nor_reopens(academy: Academy) -> None:
    """One feed without the retirement does not end it, but puts off an archival, which cannot be undone."""
    post = row(debut="2020-09-01")
    retired = row(debut="2026-03-01", position="retraite")
    ida = row(matricule="1999", prenom="Ida", nom_famille="Roy", debut="2020-09-01")
    academy.night("2026-02-01", academy.feed(post, retired, ida, day="2026-02-01"))
    academy.night("2026-04-30")
    without_feed = academy.plan("--as-of", "2026-05-01")
    assert [change["kind"] for change in without_feed["changes"]] == ["archive"]
    forgotten = academy.feed(post, ida, day="2026-05-01")
    academy.quiet_night("2026-05-01", forgotten)
    assert academy.values("claire.dubreuil", "piactlState") == ["deactivated"]
    academy.quiet_night("2026-05-01", forgotten)


# Feeds whose run was undone


def undone(academy: Academy, run: str, day: str) -> None:
    ran = academy.run("undo", run, "--as-of", day, "--reason", "fichier tronqué")
    assert ran.code == 0, ran.err


def test_an_undone_feed_confirms_no_absence(listed: Academy) -> None:
    """The night of 12 September ended Hugo's post and was undone: only the corrected feed confirms it."""
    listed.quiet_night("2026-09-11", feed(listed, "2026-09-11", CLAIRE))
    wrong = feed(listed, "2026-09-12", CLAIRE.replace("Dubreuil", "Dubreuille"))
    run = listed.night("2026-09-12", wrong).json["run"]
    assert posts(listed, "hugo.vasseur", "2026-09-12") == [("0800009A", "2025-09-01", "2026-09-10")]
    undone(listed, run, "2026-09-12")
    assert posts(listed, "hugo.vasseur", "2026-09-12") == [("0800009A", "2025-09-01", None)]
    right = feed(listed, "2026-09-13", CLAIRE)
    plan = listed.plan(right, "--as-of", "2026-09-13")
    reasons = {change["reason"] for change in plan["changes"] if change["uid"] == "hugo.vasseur"}
    assert any("absent from 2 feeds of hr since 2026-09-11" in reason for reason in reasons), reasons
    listed.night("2026-09-13", right)
    assert posts(listed, "hugo.vasseur", "2026-09-13") == [("0800009A", "2025-09-01", "2026-09-10")]


def test_an_absence_of_undone_feeds_alone_starts_again(listed: Academy) -> None:
    wrong = feed(listed, "2026-09-11", CLAIRE.replace("Dubreuil", "Dubreuille"))
    undone(listed, listed.night("2026-09-11", wrong).json["run"], "2026-09-11")
    right = feed(listed, "2026-09-12", CLAIRE)
    assert absents(None, listed, "2026-09-12", right) == [("hugo.vasseur", 1, "2026-09-12")]
    listed.quiet_night("2026-09-12", right)
    assert posts(listed, "hugo.vasseur", "2026-09-12") == [("0800009A", "2025-09-01", None)]
    # a fed-again file counts again: the administrator says that it was right
    digest = hashlib.sha256(wrong.read_bytes()).hexdigest()
    ran = listed.run("nightly", wrong, "--as-of", "2026-09-13", "--accept-feed", digest, "--reason", "juste")
    assert ran.code == 0, ran.err
    assert [end for _, _, end in posts(listed, "hugo.vasseur", "2026-09-13")] == ["2026-09-11"]


def test_the_undo_of_a_night_that_only_counted_an_absence_is_recorded(listed: Academy) -> None:
    run = listed.night("2026-09-11", feed(listed, "2026-09-11", CLAIRE)).json["run"]
    undone(listed, run, "2026-09-11")
    right = feed(listed, "2026-09-12", CLAIRE)
    assert absents(None, listed, "2026-09-12", right) == [("hugo.vasseur", 1, "2026-09-12")]
    first = listed.run("runs", "list", "-o", "json").json[0]["run"]
    undone(listed, run, "2026-09-11")
    assert listed.run("runs", "list", "-o", "json").json[0]["run"] == first
    # undone in its turn, it counts again
    undone(listed, first, "2026-09-11")
    assert absents(None, listed, "2026-09-12", right) == []


def test_an_absence_counts_again_once_the_undo_is_undone(listed: Academy) -> None:
    wrong = feed(listed, "2026-09-11", CLAIRE.replace("Dubreuil", "Dubreuille"))
    undone(listed, listed.night("2026-09-11", wrong).json["run"], "2026-09-11")
    undo = listed.run("runs", "list", "-o", "json").json[0]["run"]
    undone(listed, undo, "2026-09-11")
    right = feed(listed, "2026-09-12", CLAIRE)
    listed.night("2026-09-12", right)
    assert posts(listed, "hugo.vasseur", "2026-09-12") == [("0800009A", "2025-09-01", "2026-09-10")]
