"""Rows that cannot be read are reported, kept, corrected and fed again."""

from __future__ import annotations

import csv
import io
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from .academy import Academy
from .feeds import COLUMNS, row

GOOD = row()
WRONG_DAY = row(matricule="1002", prenom="Hugo", nom_famille="Vasseur", debut="30/02/2026")
WRONG_UAI = row(matricule="1003", prenom="Nour", nom_famille="Caron", uai="0800009B")
WRONG_BOTH = row(
    matricule="1004", prenom="Ysé", nom_famille="M. Lambert (ép.)", uai="0800009B", fonction="ZZZ"
)
DAY = "2026-09-05"


def rows_of(file: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(file.read_text(encoding="utf-8-sig").splitlines(), delimiter=";"))


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


def sheet_of(file: Path) -> list[list[Any]]:
    sheet = openpyxl.load_workbook(file).worksheets[0]
    return [[cell.value for cell in row] for row in sheet.iter_rows()]


def saved(file: Path, rows: list[list[Any]]) -> Path:
    """A workbook as an office saves it: text is text, a number is a number, a day is a day."""
    book = openpyxl.Workbook()
    for cells in rows:
        book.worksheets[0].append(cells)
    book.save(file)
    return file


def cells_of(line: str, **instead: Any) -> list[Any]:
    cells = dict(zip(COLUMNS, line.split(";"), strict=True))
    return [*(cells | instead).values()]


@pytest.fixture
def office(academy: Academy) -> Academy:
    """A source whose feeds may be workbooks."""
    academy.edit(
        "piactl.yaml",
        '{kind: full, files: ["*.csv"]}',
        '{kind: full, format: xlsx, files: ["*.csv", "*.xlsx"]}',
    )
    return academy


def test_a_feed_may_be_a_workbook_and_so_may_its_rejects(office: Academy) -> None:
    """Text cells keep their zeros, days are days; rejects are a workbook of text cells, and come back as one
    or as CSV."""
    start = date(2026, 9, 1)
    rows = [
        [*COLUMNS],
        [*cells_of(row(matricule="0001001"), debut=start)[:-1]],  # no cell for the empty `fin`
        cells_of(row(matricule="0001002", prenom="Hugo", nom_famille="Vasseur", debut="30/02/2026")),
        cells_of(row(matricule="0001003", prenom="Zoé", nom_famille="Caron", uai="0800009B"), debut=start),
        ["#FIN", "rows=3", f"date={DAY}"],
        [],
        [None] * 30,
        [None] * len(COLUMNS),
    ]
    feed = saved(office.folder / "hr-1.xlsx", rows)
    assert office.run("feed", "check", feed).code == 5
    office.twice(DAY, feed)
    assert office.names() == {"0001001": "claire.dubreuil"}
    kept, *_ = sorted((office.sandbox.folder / "state" / "rejects").iterdir())
    assert (kept.suffix, kept.stat().st_mode & 0o777) == (".xlsx", 0o600)
    header, hugo, zoe = sheet_of(kept)
    assert header == [*COLUMNS, "rejet"]
    assert (hugo[0], zoe[0], zoe[header.index("prenom")]) == ("0001002", "0001003", "Zoé")
    assert hugo[header.index("debut")] == "30/02/2026"
    assert "bad-date" in hugo[-1]
    assert "uai" in zoe[-1]

    hugo[header.index("debut")] = start
    office.night(DAY, saved(office.folder / "hr-2.xlsx", [header, hugo]))
    assert office.names()["0001002"] == "hugo.vasseur"
    zoe[header.index("uai")] = "0800009A"
    file = office.folder / "hr-3.csv"
    written = io.StringIO()
    csv.writer(written, delimiter=";", lineterminator="\n").writerows([header, zoe])
    file.write_text(written.getvalue(), encoding="utf-8")
    office.night(DAY, file)
    assert office.names()["0001003"] == "zoe.caron"
    out = office.folder / "rejects.xlsx"
    assert office.run("feed", "rejects", feed, "--out", out).code == 0
    assert len(sheet_of(out)) == 3


def test_rejects_of_a_csv_feed_as_a_workbook(academy: Academy) -> None:
    """--out FILE.xlsx; a row that is too short has its reason in the column of reasons."""
    feed = academy.feed(GOOD, WRONG_DAY, "1005;;;;Court", day=DAY)
    out = academy.folder / "rejects.xlsx"
    assert academy.run("feed", "rejects", feed, "--out", out).code == 0
    header, *rows = sheet_of(out)
    assert header[-1] == "rejet"
    assert [row[0] for row in rows] == ["1002", "1005"]
    assert all(row[header.index("rejet")] for row in rows)
    cells = [cell for row in openpyxl.load_workbook(out).worksheets[0].iter_rows() for cell in row]
    assert {cell.data_type for cell in cells if cell.value is not None} == {"s"}


def test_a_workbook_that_is_not_what_it_seems_is_refused(office: Academy) -> None:
    """A formula, a damaged file, one that unpacks to more than the source allows; lost zeros are named."""
    right = saved(office.folder / "hr-0.xlsx", [[*COLUMNS], cells_of(row(matricule="0001001"))])
    office.night(DAY, right)
    formula = cells_of(row(matricule="0001001"), prenom="=CONCATENATE(1)")
    of_formula = saved(office.folder / "hr-7.xlsx", [[*COLUMNS], formula])
    damaged = office.folder / "hr-8.xlsx"
    damaged.write_bytes(right.read_bytes()[:-40])
    bomb = saved(office.folder / "hr-9.xlsx", [[*COLUMNS], ["1" * 30_000] * 40])
    numbers = saved(office.folder / "hr-6.xlsx", [[*COLUMNS], cells_of(row(), matricule=1001)])
    with office.nothing_written():
        for file, english, french in (
            (of_formula, "row 2 has a formula", "la ligne 2 a une formule"),
            (damaged, "it is no workbook that can be read", "pas un classeur lisible"),
        ):
            ran = office.run("feed", "check", file)
            assert (ran.code, english in ran.out + ran.err) == (6, True), ran
            ran = office.run_in_french("feed", "check", file)
            assert french in ran.out + ran.err, ran
        ran = office.run("feed", "check", numbers, "--compare")
        assert "leading" in ran.out + ran.err, ran
        office.edit("piactl.yaml", "format: xlsx,", "format: xlsx, limits: {max_bytes: 20000},")
        ran = office.run("feed", "check", bomb)
        assert (ran.code, "when unpacked" in ran.out + ran.err) == (6, True), ran
