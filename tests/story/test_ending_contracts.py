"""The calendar of contracts that end, which the office and the schools get as a file."""

from __future__ import annotations

import io

import openpyxl

from .academy import Academy, prepared
from .feeds import MICHELIS, THUILLIER, row

DAY = "2026-09-05"
COLUMNS = ["uai", "establishment", "end", "access_until", "display_name", "uid", "function"]


@prepared
def contracts(academy: Academy) -> Academy:
    """Anne's contract ends. Bea's is renewed, Chloe's by another school, Dora's at one of two schools, Elsa
    has a leave, Flo no end."""
    posts = [
        {"matricule": "2001", "prenom": "Anne", "fin": "2027-08-31"},
        {"matricule": "2002", "prenom": "Bea", "fin": "2027-08-31"},
        {"matricule": "2002", "prenom": "Bea", "debut": "2027-09-01", "fin": "2028-08-31"},
        {"matricule": "2003", "prenom": "Chloe", "fin": "2027-08-31"},
        {"matricule": "2003", "prenom": "Chloe", "debut": "2027-09-01", "uai": MICHELIS},
        {"matricule": "2004", "prenom": "Dora"},
        {"matricule": "2004", "prenom": "Dora", "uai": MICHELIS, "fin": "2027-07-31"},
        {"matricule": "2005", "prenom": "Elsa"},
        {"matricule": "2005", "prenom": "Elsa", "position": "conge_parental", "debut": "2027-01-01",
         "fin": "2027-03-31"},
        {"matricule": "2006", "prenom": "Flo"},
    ]  # fmt: skip
    fixed = {"nom_famille": "Hugo", "debut": "2020-09-01"}
    rows = [row(**{**fixed, "date_naissance": f"1980-03-0{post['matricule'][-1]}", **post}) for post in posts]
    academy.night(DAY, academy.feed(*rows, day=DAY))
    return academy


def listed(academy: Academy, *words: str) -> list[tuple[str, str, str | None]]:
    ran = academy.run("assignment", "list", *words, "--as-of", DAY, "-o", "json")
    assert ran.code == 0, ran.err
    assert all(list(row) == COLUMNS for row in ran.json)
    return [(row["uid"], row["end"], row["access_until"]) for row in ran.json]


def test_contracts_that_end_by_establishment(contracts: Academy) -> None:
    """With the end of access, which is the end of grace, or none where another post goes on."""
    found = listed(contracts, "--ending-to", "2027-12-31")
    assert [(uid, end) for uid, end, _ in found] == [
        ("anne.hugo", "2027-08-31"),
        ("chloe.hugo", "2027-08-31"),
        ("dora.hugo", "2027-07-31"),
    ]
    access = {uid: until for uid, _, until in found}
    assert access["anne.hugo"] == contracts.show("anne.hugo", DAY)["login_until"] > "2027-08-31"
    assert (access["chloe.hugo"], access["dora.hugo"]) == (None, None)
    assert [uid for uid, _, _ in listed(contracts, "--uai", "michelis")] == ["dora.hugo"]
    later = listed(contracts, "--ending-from", "2028-01-01")
    assert [(uid, end) for uid, end, _ in later] == [("bea.hugo", "2028-08-31")]
    assert listed(contracts, "--ending-to", "2027-06-30") == []


def test_the_calendar_by_hand_and_as_a_workbook(contracts: Academy) -> None:
    why = ("--reason", "démission", "--as-of", DAY)
    end = ("assignment", "end", "flo.hugo", "--on", "2026-12-31", "--until", "2027-12-31")
    assert contracts.run(*end, *why).code == 0
    words = ("assignment", "list", "--ending-to", "2027-08-31", "--as-of", DAY)
    printed = contracts.run_in_french(*words, "-o", "xlsx").out.encode("latin-1")
    head, *rows = openpyxl.load_workbook(io.BytesIO(printed)).worksheets[0].iter_rows(values_only=True)
    assert head == ("uai", "établissement", "fin", "accès jusqu'au", "nom affiché", "uid", "fonction")
    assert rows[0][:3] == (THUILLIER, "Lycée Louis Thuillier", "31/12/2026")
    assert rows[0][4:] == ("Flo Hugo", "flo.hugo", "ENS")
    assert [row[0] for row in rows] == [THUILLIER] * 3 + [MICHELIS]
    columns = ("--columns", "end,civilite,given_name,uid")
    assert contracts.run(*words, *columns, "-o", "csv").out.splitlines()[1] == "2026-12-31,,Flo,flo.hugo"
