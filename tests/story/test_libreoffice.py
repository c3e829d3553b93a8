"""What LibreOffice, with the settings it comes with, makes of the files that an office opens and saves:
lists, rejects and feeds, as CSV, as workbooks and as sheets of its own."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from .academy import Academy
from .feeds import MICHELIS, row
from .test_rejects import office

SOFFICE = shutil.which("soffice")
pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        SOFFICE is None,
        reason="LibreOffice is not installed: apt install --no-install-recommends libreoffice-calc",
    ),
]
__all__ = ["office"]

AS_OPENED = "CSV:59,34,76,1,,1036,false,false"
"""What the dialog for a CSV file proposes: its separators, UTF-8, columns that are `standard`."""
WITH_DAYS = "CSV:59,34,76,1,,1036,false,true"
"""The same, with `detect special numbers`."""
DAY, NEXT = "2026-09-05", "2026-09-06"
PEOPLE = [
    row(matricule="0001001", numen="20E9500001ABC", date_naissance="14/07/1980", debut="01/09/2020"),
    row(matricule="0001002", numen="20E9500002ABC", prenom="Zoé", nom_famille="Lefèvre", debut="13/09/2021"),
    row(
        matricule="3001003",
        prenom="Gaël",
        nom_famille="N'Dour",
        uai=MICHELIS,
        debut="2022-02-01",
        fin="31/08/2030",
    ),
]


def saved(file: Path, form: str, opened: str = "") -> Path:
    """The file, opened and saved in another form."""
    assert SOFFICE is not None
    target = file.parent / "saved" / file.with_suffix(f".{form}").name
    how = [f"--infilter={opened}"] if opened else []
    profile = f"-env:UserInstallation=file://{file.parent}/libreoffice"
    subprocess.run(
        [SOFFICE, profile, "--headless", *how, "--convert-to", form, "--outdir", target.parent, file],
        check=True, capture_output=True, timeout=180,
        env={"PATH": os.environ["PATH"], "HOME": str(file.parent), "LC_ALL": "fr_FR.UTF-8"},
    )  # fmt: skip
    return target


def cells(file: Path) -> list[list[Any]]:
    if file.suffix == ".csv":
        return [*csv.reader(file.read_text(encoding="utf-8").splitlines())]
    sheet = openpyxl.load_workbook(file).worksheets[0]
    return [["" if cell.value is None else cell.value for cell in line] for line in sheet.iter_rows()]


def test_a_list_keeps_its_zeros_and_accents_and_no_formula_is_computed(academy: Academy) -> None:
    odd = row(matricule="0001004", prenom="Ida", nom_famille="Roy", civilite="=1+1")
    academy.night(DAY, academy.feed(*PEOPLE, odd, day=DAY))
    book = academy.folder / "list.xlsx"
    columns = ("--columns", "matricule,civilite,display_name,address,profiles")
    ran = academy.run("account", "list", *columns, "-o", "xlsx")
    assert ran.code == 0, ran.err
    book.write_bytes(ran.out.encode("latin-1"))
    before = cells(book)
    assert {"0001001", "0001002", "=1+1"} <= {cell for line in before for cell in line}
    for form in ("csv", "xlsx"):
        assert cells(saved(book, form)) == before
    own = saved(book, "ods")
    assert cells(saved(own, "csv")) == before


def test_rejects_come_back_from_a_workbook_and_from_csv(office: Academy) -> None:
    """Opened, saved and corrected, as what they were or as the other, they are what HR meant."""
    wrong = [line.replace("0800009A", "0800009B") for line in PEOPLE[:2]]
    feed = office.feed(PEOPLE[2], *wrong, day=DAY)
    office.night(DAY, feed)
    for suffix, opened in ((".xlsx", ""), (".csv", AS_OPENED), (".csv", WITH_DAYS)):
        rejects = office.folder / f"hr-rejects{suffix}"
        assert office.run("feed", "rejects", feed, "--out", rejects).code == 0
        back = saved(rejects, "csv", opened)
        back.write_text(back.read_text(encoding="utf-8").replace("0800009B", "0800009A"), encoding="utf-8")
        book = saved(rejects, "xlsx", opened)
        sheet = openpyxl.load_workbook(book)
        for line in sheet.worksheets[0].iter_rows():
            for cell in line:
                cell.value = "0800009A" if cell.value == "0800009B" else cell.value
        sheet.save(book)
        for file in (back, book):
            checked = office.run("feed", "check", file, "--compare")
            assert (checked.code, "nothing is rejected" in checked.out) == (0, True), (file, checked)
            plan = office.plan(file, "--as-of", DAY)
            made = {
                change["matricule"]: change["after"]
                for change in plan["changes"]
                if change["kind"] == "create"
            }
            assert {*made} == {"0001001", "0001002"}, file
    office.night(DAY, back)
    assert office.names() == {
        "0001001": "claire.dubreuil",
        "0001002": "zoe.lefevre",
        "3001003": "gael.ndour",
    }
    assert office.values("zoe.lefevre", "givenName") == ["Zoé"]


def test_a_feed_without_leading_zeros_is_the_same_when_it_was_saved(office: Academy) -> None:
    people = [line.replace("000100", "300100") for line in PEOPLE]
    feed = office.feed(*people, day=DAY)
    office.night(DAY, feed)
    for form, opened in (("csv", AS_OPENED), ("xlsx", AS_OPENED), ("xlsx", WITH_DAYS)):
        again = saved(feed, form, opened)
        office.quiet_night(DAY, again.rename(again.with_name(f"hr-{len(opened)}.{form}")))
    short = saved(feed, "csv", WITH_DAYS)
    ran = office.run_in_french("feed", "check", short)
    assert ran.code == 5
    assert (
        "debut : '01/09/20' a une année de deux chiffres : écrire l'année en quatre chiffres, 2020-09-01"
        in ran.out
    )


@pytest.mark.parametrize("form", ["csv", "xlsx"])
def test_a_feed_that_lost_its_zeros_takes_nothing_from_anybody(office: Academy, form: str) -> None:
    names = [f"Vidal{chr(97 + n)}" for n in range(20)]
    more = [row(matricule=str(3_002_000 + n), prenom="Lou", nom_famille=name) for n, name in enumerate(names)]
    more += [row(matricule="0001004", prenom="Ida", nom_famille="Roy")]
    feed = office.feed(*PEOPLE, *more, day=DAY)
    office.night(DAY, feed)
    lost = saved(office.feed(*PEOPLE, *more, day=NEXT), form, AS_OPENED)
    checked = office.run_in_french("feed", "check", lost)
    assert "un tableur a peut-être enlevé des zéros de tête" in checked.out
    for day in (NEXT, "2026-09-07"):
        with office.nothing_written():
            assert "[leading-zeros]" in office.night(day, lost, code=6).err
