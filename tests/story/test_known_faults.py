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
