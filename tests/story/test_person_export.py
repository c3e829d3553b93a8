"""`account export` has everything kept about one person, and no secret; reading private data is recorded."""

from __future__ import annotations

import json
import re
import stat
from datetime import timedelta
from pathlib import Path
from typing import Any

import jsonschema

from tests.outside import civil_today

from .academy import Academy, prepared
from .feeds import row

SCHEMA = Path(__file__).parents[2] / "schemas" / "json" / "account-export.schema.json"
DAY, NUMEN = "2026-03-01", "20E9512345XYZ"
CLAIRE = row(numen=NUMEN, courriel_prive="claire@example.org", debut="2026-01-01")
ENDING = row(numen=NUMEN, courriel_prive="claire@example.org", debut="2026-01-01", fin="2026-06-30")
IDA = row(
    matricule="1002", prenom="Ida", nom_famille="Roy", debut="2026-05-01", courriel_prive="ida@example.org",
    date_naissance="1970-01-02",
)  # fmt: skip
WHY = ("--reason", "essai", "--as-of", DAY)


@prepared
def loaded(academy: Academy) -> Academy:
    academy.night(DAY, academy.feed(CLAIRE, IDA, day=DAY))
    return academy


def export(academy: Academy, name: str) -> Any:
    ran = academy.run("account", "export", name, "-o", "json")
    assert ran.code == 0, ran.err
    jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8"))).validate(ran.json)
    return ran.json


def reads(academy: Academy) -> list[dict[str, Any]]:
    """The lines of the journal about reading."""
    lines = academy.run("journal", "export").out.splitlines()
    return [line for line in map(json.loads, lines) if line["type"] == "read"]


def test_everything_of_an_account_and_no_secret(loaded: Academy) -> None:
    until = (civil_today("Europe/Paris") + timedelta(days=100)).isoformat()
    assert loaded.run("account", "lock", "claire.dubreuil", *WHY).code == 0
    where = ("--service", "siecle", "--uai", "0800009A", "--until", until)
    assert loaded.run("exception", "grant", "claire.dubreuil", *where, *WHY).code == 0
    uri = loaded.folder / "uri"
    assert loaded.run("account", "unlock", "claire.dubreuil", *WHY).code == 0
    loaded.night(civil_today("Europe/Paris").isoformat())
    assert loaded.run("otp", "enroll", "claire.dubreuil", "--uri-file", uri, "--reason", "essai").code == 0
    secret = uri.read_text().partition("secret=")[2].partition("&")[0]
    assert loaded.run("account", "lock", "claire.dubreuil", "--reason", "essai").code == 0
    view = export(loaded, "1001")
    assert view["uid"] == "claire.dubreuil"
    assert view["entry"]["supannMailPrive"] == ["{PERSO}claire@example.org"]
    assert view["entry"]["piactlNumenDigest"] == ["keyed digest of the NUMEN"]
    assert view["entry"]["piactlMatriculeDigest"] == ["keyed digest of the matricule"]
    assert [device["state"] for device in view["devices"]] == ["pending"]
    assert "grant of siecle" in view["exceptions"][0]
    assert view["lock"]["reason"] == "essai"
    assert {kind for line in view["journal"] for kind in line.get("kinds", ())} >= {
        "create",
        "lock",
        "unlock",
    }
    assert len(view["runs"]) >= 4
    assert view["runs"][0]["status"] == "done"
    managed = {
        name
        for name, values in loaded.entry("claire.dubreuil").items()
        if values and name.startswith("piactl")
    }
    assert managed <= view["entry"].keys(), "each attribute that the entry has"
    for hidden in (NUMEN, secret):
        assert hidden not in json.dumps(view)


def test_the_export_includes_undo_records_plans_and_rejects(loaded: Academy) -> None:
    moved = row(numen=NUMEN, courriel_prive="claire@example.net", debut="2026-01-01")
    wrong = row(numen=NUMEN, debut="2026-13-01")
    loaded.night("2026-03-02", loaded.feed(moved, IDA, day="2026-03-02"))
    loaded.night("2026-03-03", loaded.feed(wrong, IDA, day="2026-03-03"))
    view = export(loaded, "1001")
    former = [record for record in view["undo"] if record["kinds"] == ["identity"]]
    assert [record["delete"]["supannMailPrive"] for record in former] == [["{PERSO}claire@example.org"]]
    assert ["create"] in [record["kinds"] for record in view["undo"]]
    kinds = [change["kind"] for plan in view["plans"] for change in plan["changes"]]
    assert {"create", "identity"} <= set(kinds)
    assert all(change["uid"] == "claire.dubreuil" for plan in view["plans"] for change in plan["changes"])
    assert any("2026-13-01" in rejection["row"] for rejection in view["rejects"])
    assert "Roy" not in json.dumps(view)
    assert NUMEN not in json.dumps(view)
    # an identity with neither password says what is left out
    for name in ("administrator", "nightly"):
        (loaded.sandbox.folder / "secrets" / name).unlink()
    ran = loaded.run("account", "export", "1001", "-o", "json")
    assert (ran.json["undo"], "undo records are left out" in ran.err) == (None, True), ran.err
    assert "non lisibles ici" in loaded.run("account", "export", "1001").out


def test_a_person_in_waiting_and_a_name_that_nobody_has(loaded: Academy) -> None:
    view = export(loaded, "1002")
    assert (view["uid"], view["entry"], view["waiting"]["private_mail"]) == (None, None, "ida@example.org")
    assert loaded.run("account", "export", "1003").code == 9
    assert [line["first"] for line in reads(loaded)] == ["1002"]


def test_failed_identity_checks(loaded: Academy) -> None:
    words = ("password", "reset", "claire.dubreuil", "--numen-file", "-", "--out", loaded.folder / "new.csv")
    assert "is not that of this account" in loaded.run(*words, stdin="20E9500000AAA\n").err
    assert export(loaded, "claire.dubreuil")["attempts"]["failures"] == 1


def test_the_page_is_in_french_and_private(loaded: Academy) -> None:
    page = loaded.folder / "page.md"
    ran = loaded.run("account", "export", "claire.dubreuil", "--page", page)
    assert (ran.code, ran.out) == (0, ""), ran.err
    text = page.read_text(encoding="utf-8")
    assert stat.S_IMODE(page.stat().st_mode) == 0o600
    assert text.startswith("# Données détenues sur claire.dubreuil\n")
    assert "- adresse privée (supannMailPrive) : {PERSO}claire@example.org" in text
    assert "- NUMEN (piactlNumenDigest) : empreinte du NUMEN" in text
    assert "## Verrou d'un administrateur\n\nAucune donnée." in text
    assert loaded.run("account", "export", "claire.dubreuil", "--page", page).code == 1, "no file is replaced"
    assert loaded.run("account", "export", "claire.dubreuil").out.startswith("# Données détenues")


def test_values_are_text_in_the_page(loaded: Academy) -> None:
    """The page is Markdown, which lets HTML and links pass."""
    live = "<img src=x onerror=a()>", "[x](javascript:)", "\\\\<script>a()</script>", "\\[x]: javascript:"
    for text in live:
        lock = ("account", "lock", "claire.dubreuil", "--reason", text, "--as-of", DAY)
        assert loaded.run(*lock).code == 0
        assert loaded.run("account", "unlock", *lock[2:]).code == 0
    page = loaded.folder / "live.md"
    assert loaded.run("account", "export", "claire.dubreuil", "--page", page).code == 0
    text = page.read_text(encoding="utf-8")
    assert "<" not in text
    assert not re.search(r"(?<!\\)(\\\\)*\[", text)
    assert "&lt;img src=x onerror=a()>" in text


def test_each_reading_is_one_line_of_the_journal(loaded: Academy) -> None:
    assert reads(loaded) == []
    export(loaded, "claire.dubreuil")
    later = export(loaded, "claire.dubreuil")
    (line,) = [line for line in later["journal"] if line["type"] == "read"]
    assert (line["identity"], line["accounts"], line["first"]) == ("administrator", 1, "claire.dubreuil")
    leavers = ("forecast", "--leavers", "300", "-o", "json", "--as-of", DAY)
    assert loaded.run(*leavers).code == 0
    assert len(reads(loaded)) == 2
    loaded.night("2026-03-02", loaded.feed(ENDING, IDA, day="2026-03-02"))
    ran = loaded.run(*leavers[:-1], "2026-03-02", "--private-mail")
    assert ran.json[0]["uid"] == "claire.dubreuil"
    last = reads(loaded)[-1]
    assert (last["data"], last["accounts"], last["first"]) == (
        "private addresses",
        len(ran.json),
        "claire.dubreuil",
    )
    assert loaded.run("journal", "verify").code == 0


def test_no_journal_no_private_data(loaded: Academy) -> None:
    journal = loaded.sandbox.folder / "journal" / "piactl.jsonl"
    journal.rename(journal.with_suffix(".away"))
    journal.mkdir()
    page = loaded.folder / "page.md"
    ran = loaded.run("account", "export", "claire.dubreuil", "--page", page)
    assert (ran.code, ran.out, page.exists()) == (1, "", False)
    journal.rmdir()
    journal.with_suffix(".away").rename(journal)
    loaded.night("2026-03-02", loaded.feed(ENDING, IDA, day="2026-03-02"))
    journal.rename(journal.with_suffix(".new"))
    journal.mkdir()
    leavers = ("forecast", "--leavers", "300", "-o", "json", "--as-of", "2026-03-02")
    assert "claire.dubreuil" in loaded.run(*leavers).out
    ran = loaded.run(*leavers, "--private-mail")
    assert (ran.code, [*ran.json]) == (1, ["error"])
    assert "Private data are shown only where the journal can record it" in ran.err


def test_the_cases_of_a_person(loaded: Academy) -> None:
    """By the matricule of a case, it has what HR states; by the account, only the evidence."""
    again = row(matricule="2001", numen=NUMEN, nom_famille="Roy", courriel_prive="autre@example.org")
    loaded.night("2026-03-02", loaded.feed(CLAIRE, IDA, again, day="2026-03-02"))
    (case,) = export(loaded, "claire.dubreuil")["cases"]
    assert (case["doubt"], case["source"], case["since"], case["stated"]) == (
        "same-person?", "hr", "2026-03-02", None
    )  # fmt: skip
    assert "same NUMEN" in case["evidence"]
    assert "autre" not in json.dumps(case)
    words = (case["case"], "--reason", "vu", "--as-of", "2026-03-02")
    assert loaded.run("match", "different", *words).code == 0
    loaded.night("2026-09-03", loaded.feed(CLAIRE, IDA, again, day="2026-09-03"))
    (case,) = export(loaded, "2001")["cases"]
    assert (case["stated"]["matricule"], case["stated"]["private_mail"]) == ("2001", "autre@example.org")
    assert (case["decision"], case["reason"]) == ("different", "vu")
    assert "Cas" in loaded.run("account", "export", "2001").out
