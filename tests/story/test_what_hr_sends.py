"""Files and rows as people send them: each fault is one sentence that says what it is and what to do."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest

from tests.outside import civil_today

from .academy import Academy
from .feeds import HEADER, row, text

DAY, NEXT = "2026-09-05", "2026-09-06"
GOOD = row(courriel_prive="claire@example.org")


def french(academy: Academy) -> None:
    config = academy.sandbox.config
    config.write_text(f"{config.read_text()}language: fr\n", encoding="utf-8")


REJECTED = (
    ({"matricule": "NULL"}, "bad-matricule",
     "'NULL' is not a matricule: expected 1 to 20 letters and digits"),
    ({"matricule": "None"}, "bad-matricule", "'None' is not a matricule"),
    ({"nom_famille": "à compléter"}, "name-placeholder", "nom_famille 'à compléter' is not a name"),
    ({"nom_famille": "TEST"}, "name-placeholder", "nom_famille 'TEST' is not a name"),
    ({"nom_famille": "N.C."}, "name-placeholder", "nom_famille 'N.C.' is not a name"),
    ({"nom_famille": "poste vacant"}, "name-placeholder", "nom_famille 'poste vacant' is not a name"),
    ({"nom_famille": "vacataire"}, "name-placeholder", "nom_famille 'vacataire' is not a name"),
    ({"nom_famille": "M. Bréhat"}, "name-honorific",
     "nom_famille 'M. Bréhat' begins with m.; HR: write the name alone"),
    ({"nom_famille": "Bréhat - congé"}, "name-status", "'Bréhat - congé' has 'conge' beside the name"),
    ({"nom_famille": "Bréhat suspendu"}, "name-status",
     "'Bréhat suspendu' has 'suspendu' beside the name"),
    ({"nom_usage": "Bréhat en retraite"}, "name-status",
     "nom_usage 'Bréhat en retraite' has 'en retraite'"),
    ({"prenom": "Anne (congé)"}, "name-status", "prenom 'Anne (congé)' has 'conge' beside the name"),
    ({"nom_famille": "Bré\u2028hat"}, "control-character",
     r"'Bré\u2028hat' contains the control character"),
    ({"courriel_prive": "<a@example.org>"}, "bad-mail", "expected the address alone, such as"),
    ({"courriel_prive": "a@mail.ac-amiens.fr"}, "bad-mail",
     "a subdomain of ac-amiens.fr: expected an address"),
    ({"courriel_prive": "a@ac-amien.fr"}, "bad-mail", "which is not ac-amiens.fr but looks like it"),
    ({"date_naissance": "2020-03-01"}, "too-young",
     "makes a person of 6 on debut 2026-09-01: expected at least"),
    ({"date_naissance": "01/01/1900"}, "date-out-of-range", "what a spreadsheet makes of an empty date"),
)  # fmt: skip
"""Wrong values of a row, the code of its rejection, and what the message says."""


def test_a_row_is_rejected_with_its_value_and_the_form_expected(academy: Academy) -> None:
    wrong = [
        row(**{"matricule": str(2002 + n), "prenom": "Anne", "nom_famille": "Bréhat", **values})
        for n, (values, _, _) in enumerate(REJECTED)
    ]
    feed = academy.feed(GOOD, *wrong, day=DAY)
    checked = academy.run("feed", "check", feed)
    assert checked.code == 5
    for number, (_, code, says) in enumerate(REJECTED, start=3):
        (line,) = [line for line in checked.out.splitlines() if line.startswith(f"{feed.name}:{number}: ")]
        assert (says in line, line.endswith(f"[{code}]")) == (True, True), line
    academy.night(DAY, feed)
    assert academy.names() == {"1001": "claire.dubreuil"}, "nobody got an address from it"
    shown = academy.run("feed", "check", feed, "-o", "json").json["rejections"]
    assert [(r["code"], r["line"]) for r in shown] == [
        (code, number) for number, (_, code, _) in enumerate(REJECTED, start=3)
    ]


def test_a_status_in_a_name_does_not_rename_an_account(academy: Academy) -> None:
    academy.night(DAY, academy.feed(GOOD, day=DAY))
    with academy.nothing_written():
        academy.night(NEXT, academy.feed(row(nom_famille="Dubreuil - congé"), day=NEXT))
    academy.night("2026-09-07", academy.feed(row(nom_famille="Dubreuil-Congé"), day="2026-09-07"))
    assert academy.values("claire.dubreuil", "sn") == ["Dubreuil-Congé"]


def test_somebody_who_is_really_called_so_gets_an_account_by_the_policy(academy: Academy) -> None:
    feed = academy.feed(GOOD, row(matricule="2002", prenom="Anne", nom_famille="TEST"), day=DAY)
    create = (
        "account", "create", "--family-name", "Test", "--given-name", "Lou", "--uai", "0800009A",
        "--function",
        "ENS", "--until", "2026-12-31", "--sponsor", "claire.dubreuil", "--reason", "remplacement",
        "--as-of", DAY,
    )  # fmt: skip
    academy.night(DAY, feed)
    refused = academy.run(*create)
    assert (refused.code, "add it to `real_names` in the policy" in refused.err) == (1, True), refused.err
    academy.edit(
        "policy.yaml", "  name_case: as-written ", '  real_names: ["Test"]\n  name_case: as-written '
    )
    assert academy.run("feed", "check", feed).code == 0
    academy.night(
        NEXT, academy.feed(GOOD, row(matricule="2002", prenom="Anne", nom_famille="TEST"), day=NEXT)
    )
    assert academy.names()["2002"] == "anne.test"
    assert academy.run(*create[:-1], NEXT).code == 0


def test_an_address_that_only_looks_private_is_not_taken_by_hand_either(academy: Academy) -> None:
    academy.night(DAY, academy.feed(GOOD, day=DAY))
    ran = academy.run(
        "account", "create", "--family-name", "Roy", "--given-name", "Ida", "--uai", "0800009A", "--function",
        "ENS", "--until", "2026-12-31", "--sponsor", "claire.dubreuil", "--reason", "remplacement",
        "--as-of", DAY,
        "--private-mail", "ida@ac-amiens.com",
    )  # fmt: skip
    assert (ran.code, "--private-mail: the private address is in ac-amiens.com" in ran.err) == (1, True), (
        ran.err
    )


def test_a_blank_row_is_one_message_and_a_total_names_no_function(academy: Academy) -> None:
    blank = ";" * HEADER.count(";")
    total = f"TOTAL{blank}"
    feed = academy.feed(GOOD, blank, total, day=DAY)
    out = academy.run("feed", "check", feed).out
    blank_lines = [line for line in out.splitlines() if line.startswith(f"{feed.name}:3: ")]
    (line,) = blank_lines
    assert line.startswith(f"{feed.name}:3: row: the row is blank; the file may go, but no absence counts")
    assert f"{feed.name}:4: matricule: 'TOTAL' is not a matricule" in out
    assert "'x'" not in out
    plan = academy.plan(feed, "--as-of", DAY)
    assert {r["code"] for r in plan["rejections"]} == {"empty-row", "bad-matricule", "missing-value"}


def workbook(academy: Academy, name: str) -> None:
    with zipfile.ZipFile(academy.folder / name, "w") as archive:
        archive.writestr("[Content_Types].xml", "x")
        archive.writestr("xl/workbook.xml", "x")


def test_a_workbook_is_said_to_be_one(academy: Academy) -> None:
    says = "not read: the file is an Excel workbook, not CSV; HR: open it, then File > Save as > CSV UTF-8"
    workbook(academy, "export.xlsx")
    book = academy.folder / "export.xlsx"
    checked = academy.run("feed", "check", book)
    assert (checked.code, checked.err) == (2, f"piactl: {book}: {says}\n")
    ran = academy.night(DAY, academy.feed(GOOD, day=DAY), book)
    assert f"{book}: {says}" in ran.err
    workbook(academy, "hr-export.csv")
    renamed = academy.run("feed", "check", academy.folder / "hr-export.csv")
    assert renamed.code == 6
    assert says.removeprefix("not read: ") in renamed.err
    # one that is nearly named like the feed may be it
    workbook(academy, "hr-002.xlsx")
    near = academy.run("nightly", academy.feed(GOOD, day=DAY), academy.folder / "hr-002.xlsx", "--as-of", DAY)
    assert near.code == 2
    assert says in near.err
    assert "Its name is nearly that of a feed of hr" in near.err


def test_a_feed_dated_in_2062_is_refused_by_feed_check(academy: Academy) -> None:
    feed = academy.feed(GOOD, day="2062-09-05")
    ran = academy.run("feed", "check", feed)
    assert ran.code == 6
    assert f"{feed}: feed refused: it is dated 2062-09-05, after today" in ran.err
    document = academy.run("feed", "check", feed, "-o", "json").json
    assert (document["status"], [r["code"] for r in document["refusals"]]) == ("refused", ["another-day"])
    today = civil_today("Europe/Paris").isoformat()
    assert academy.run("feed", "check", academy.feed(GOOD, day=today)).code == 0


@pytest.mark.parametrize("command", ["nightly", "plan"])
def test_a_file_whose_name_is_not_utf8_is_named_and_passed_over(academy: Academy, command: str) -> None:
    strange = os.fsencode(academy.folder) + b"/export-d\xe9cembre.csv"
    Path(os.fsdecode(strange)).write_bytes(text([row(nom_usage="Autre")], DAY).encode())
    feed = academy.feed(GOOD, day=DAY)
    ran = academy.spawn(command, os.fsdecode(strange), str(feed), "--as-of", DAY)
    assert ran.code == 0, ran.err
    assert "cembre.csv: not read: its name is not UTF-8; give it another name" in ran.err
    if command == "nightly":
        assert academy.names() == {"1001": "claire.dubreuil"}
        assert academy.run("runs", "show", "last").code == 0
        assert academy.run("journal", "verify").code == 0
    # alone, it may be the feed of tonight
    alone = academy.spawn(command, os.fsdecode(strange), "--as-of", DAY)
    assert alone.code == 2
    assert "its name is not UTF-8" in alone.err


def test_a_rehearsal_names_such_files_and_goes_on(academy: Academy) -> None:
    folder = academy.folder / "autumn"
    folder.mkdir()
    (folder / "hr-2026-09-05.csv").write_text(text([GOOD], DAY), encoding="utf-8")
    (folder / os.fsdecode(b"d\xe9cembre-2026-09-06.csv")).touch()
    workbook(academy, "autumn/export-2026-09-06.xlsx")
    out = academy.folder / "rehearsed"
    ran = academy.spawn("rehearse", "--feeds", folder, "--days", f"{DAY}..{NEXT}", "--out", out)
    assert ran.code == 0, ran.err
    said = ran.out + ran.err
    assert "cembre-2026-09-06.csv: not read: its name is not UTF-8; give it another name" in said
    assert "export-2026-09-06.xlsx: not read: the file is an Excel workbook, not CSV; HR: open it" in said


def test_values_of_options_must_be_utf8(academy: Academy) -> None:
    feed = academy.feed(GOOD, day=DAY)
    strange = os.fsencode(academy.folder) + b"/page-d\xe9cembre.html"
    Path(os.fsdecode(strange)).touch()
    for value in (os.fsdecode(strange), os.fsdecode(b"d\xe9cembre")):
        ran = academy.spawn("nightly", str(feed), "--html", value, "--as-of", DAY)
        assert (ran.code, "not valid UTF-8" in ran.err) == (2, True), ran.err
    assert academy.names() == {}
