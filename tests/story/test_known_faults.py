"""Promises that do not hold yet; each test moves to its place when it does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from .academy import Academy
from .feeds import MICHELIS, row

SCHEMA = Path(__file__).parents[2] / "schemas" / "json" / "account.schema.json"


def wrong(view: Any) -> list[str]:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    found = jsonschema.Draft202012Validator(schema).iter_errors(view)
    return [f"{error.json_path}: {error.message}" for error in found]


@pytest.mark.parametrize("day", ["2026-02-01", "2026-03-01", "2026-04-15", "2026-05-15", "2031-01-01"])
def test_what_account_show_prints_is_as_its_schema_says(academy: Academy, day: str) -> None:
    """It prints `lock`, which schemas/json/account.schema.json does not know."""
    rows = [
        row(debut="2026-02-01", fin="2026-03-31", fonction="DIR", modalite="principale"),
        row(debut="2026-02-10", fin="2026-02-20", fonction="DIR", position="suspension"),
        row(matricule="1002", prenom="Hugo", debut="2026-02-01", fin="2026-02-28"),
        row(matricule="1002", prenom="Hugo", debut="2026-03-01", uai=MICHELIS, corps=""),
    ]
    academy.night("2026-02-01", academy.feed(*rows, day="2026-02-01"))
    if day != "2026-02-01":
        academy.night(day)
    views = academy.run("account", "list", "--as-of", day, "-o", "json").json
    assert len(views) == 2
    assert [problem for view in views for problem in wrong(view)] == []


def test_a_retirement_forgotten_on_the_day_of_archival_does_not_reopen(academy: Academy) -> None:
    """Archival erases what was known: the very feed that archives reopens when it is fed again."""
    post = row(debut="2020-09-01")
    retired = row(debut="2026-03-01", position="retraite")
    ida = row(matricule="1999", prenom="Ida", nom_famille="Roy", debut="2020-09-01")
    academy.night("2026-02-01", academy.feed(post, retired, ida, day="2026-02-01"))
    academy.night("2026-04-29")
    forgotten = academy.feed(post, ida, day="2026-04-30")
    academy.night("2026-04-30", forgotten)
    academy.quiet_night("2026-04-30", forgotten)


def test_a_retirement_that_hr_takes_back_opens_the_account_again(academy: Academy) -> None:
    """Two feeds without the row end it; that it once was still ends every post before it."""
    post = row(debut="2020-09-01")
    retired = row(debut="2026-03-01", position="retraite")
    ida = row(matricule="1999", prenom="Ida", nom_famille="Roy", debut="2020-09-01")
    academy.night("2026-02-01", academy.feed(post, retired, ida, day="2026-02-01"))
    for day in ("2026-03-02", "2026-03-03", "2026-03-04"):
        academy.night(day, academy.feed(post, ida, day=day))
    assert academy.values("claire.dubreuil", "piactlState") == ["active"]
