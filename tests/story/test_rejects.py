"""Rows that cannot be read are reported, kept, corrected and fed again."""

from __future__ import annotations

import csv
from datetime import date, timedelta
from pathlib import Path

from .academy import Academy
from .feeds import row

GOOD = row()
WRONG_DAY = row(matricule="1002", prenom="Hugo", nom_famille="Vasseur", debut="30/02/2026")
WRONG_UAI = row(matricule="1003", prenom="Nour", nom_famille="Caron", uai="0800009B")
WRONG_BOTH = row(
    matricule="1004", prenom="Ysé", nom_famille="M. Lambert (ép.)", uai="0800009B", fonction="ZZZ"
)
DAY = "2026-09-05"


def rows_of(file: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(file.read_text(encoding="utf-8").splitlines(), delimiter=";"))


def corrected(file: Path, target: Path) -> Path:
    text = file.read_text(encoding="utf-8")
    for wrong, right in (
        ("30/02/2026", "01/02/2026"),
        ("0800009B", "0800009A"),
        ("M. Lambert (ép.)", "Lambert"),
        ("ZZZ", "ENS"),
    ):
        text = text.replace(wrong, right)
    target.write_text(text, encoding="utf-8")
    return target


def test_corrected_and_fed_again(academy: Academy) -> None:
    feed = academy.feed(GOOD, WRONG_DAY, WRONG_UAI, WRONG_BOTH, day=DAY)
    ran = academy.twice(DAY, feed)
    assert academy.names() == {"1001": "claire.dubreuil"}
    assert "3 rows were rejected or held" in ran.err

    files = sorted((academy.sandbox.folder / "state" / "rejects").iterdir())
    assert len(files) == 2
    assert files[0].stat().st_mode & 0o777 == 0o600
    rows = rows_of(files[0])
    assert [r["matricule"] for r in rows] == ["1002", "1003", "1004"]
    assert all(r["rejet"] for r in rows)
    assert rows[0]["debut"] == "30/02/2026"

    again = corrected(files[0], academy.folder / "hr-corrected.csv")
    academy.twice(DAY, again)
    assert academy.names() == {
        "1001": "claire.dubreuil",
        "1002": "hugo.vasseur",
        "1003": "nour.caron",
        "1004": "yse.lambert",
    }
    # such a file lists only rejected rows: nobody is absent because of it
    assert academy.plan(again, "--as-of", DAY)["absents"] == []
    # it did not replace the feed, whose next copy adds nothing
    assert "absents" in academy.plan(feed, "--as-of", DAY)
    academy.quiet_night(DAY, feed)


def test_strict(academy: Academy) -> None:
    feed = academy.feed(GOOD, WRONG_DAY, day=DAY)
    ran = academy.run("nightly", feed, "--as-of", DAY, "--strict")
    assert ran.code == 5
    assert "1 row was rejected, and --strict is set" in ran.err
    assert academy.names() == {"1001": "claire.dubreuil"}, "the others went on"
    assert academy.run("nightly", feed, "--as-of", DAY).code == 0


def test_people_who_are_newly_held_or_for_long_end_a_night_with_5(academy: Academy) -> None:
    """By default; a sandbox says otherwise. The feed counts as applied, and the night as a success."""
    academy.edit("piactl.yaml", "strict: false ", f"metrics: {academy.folder}/metrics.prom ")
    feed, applied = academy.feed(GOOD, WRONG_DAY, WRONG_UAI, day=DAY), academy.folder / "applied"
    applied.mkdir()
    ran = academy.run("nightly", feed, "--as-of", DAY, "--move-applied", applied)
    assert (ran.code, [*applied.iterdir()]) == (5, [applied / feed.name]), ran.err
    assert "2 people are held since this night: 1002, 1003; see: piactl runs show " in ran.err
    metrics = (academy.folder / "metrics.prom").read_text()
    assert "piactl_last_run_exit_code 5" in metrics
    assert "piactl_last_success_timestamp_seconds 0" not in metrics
    first = date.fromisoformat(DAY)
    days = [(first + timedelta(days=number)).isoformat() for number in (1, 10, 11)]
    for day in days[:2]:
        assert academy.night(day, academy.feed(GOOD, WRONG_DAY, WRONG_UAI, day=day)).err.count(" held ") == 0
    ran = academy.night(days[2], academy.feed(GOOD, WRONG_DAY, day=days[2]), code=5)
    assert "1 person is held for more than 10 days: 1002; see: piactl runs show " in ran.err


def test_feed_check(academy: Academy) -> None:
    """It needs no directory, and shows every reason of every row."""
    feed = academy.feed(GOOD, WRONG_DAY, WRONG_UAI, WRONG_BOTH, day=DAY)
    academy.sandbox.stop()
    ran = academy.run("feed", "check", feed, "-o", "json")
    assert ran.code == 5, ran.err
    rejections = {(r["line"], r["column"]) for r in ran.json["rejections"]}
    assert {(3, "debut"), (4, "uai"), (5, "uai")} <= rejections
    assert set(ran.json["held"]) == {"1002", "1003", "1004"}
    assert (ran.json["rows"], ran.json["people"]) == (4, 4)
    assert academy.run("feed", "check", feed).code == 5
    text = academy.run("feed", "check", feed).out
    assert f"{feed.name}:3: debut:" in text
    assert f"{feed.name}:4: uai:" in text
    assert "0800009A would be right" in text.partition(f"{feed.name}:4: uai:")[2].split("\n")[0]


def test_feed_rejects(academy: Academy) -> None:
    feed = academy.feed(GOOD, WRONG_DAY, row(matricule="1005", fonction="QQQ", prenom="Ida"), day=DAY)
    out = academy.folder / "out.csv"
    ran = academy.run("feed", "rejects", feed, "--out", out)
    assert ran.code == 0, ran.err
    rows = rows_of(out)
    assert [(r["matricule"], bool(r["rejet"])) for r in rows] == [("1002", True), ("1005", True)]
    assert academy.spawn("feed", "rejects", feed, "--out", "-").out == out.read_text(encoding="utf-8")
    assert academy.run("feed", "check", academy.raw_feed(b"")).code == 6
