"""The page on personal data has a row for each attribute and each column that piactl keeps or reads."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from piactl.core.model.settings import Settings
from piactl.directory.store.base_digest import MANAGED
from piactl.feed.header import COLUMNS

TOP = Path(__file__).parents[2]
PAGE = (TOP / "docs" / "personal-data.md").read_text(encoding="utf-8")
SCHEMA = (TOP / "schemas" / "ldap" / "piactl.schema").read_text(encoding="utf-8")
ATTRIBUTES = {*MANAGED, *re.findall(r"attributetype .*? NAME '(\w+)'", SCHEMA)}


def rows(heading: str) -> dict[str, list[str]]:
    """The cells of each row of a section, by the name in its first cell."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = re.findall(r"^\| `(\w+)` \|(.*)\|$", section, re.MULTILINE)
    return {name: [cell.strip() for cell in rest.split("|")] for name, rest in lines}


@pytest.mark.parametrize(
    ("heading", "names", "cells"), [("On the entry", ATTRIBUTES, 3), ("From the feed", set(COLUMNS), 2)]
)
def test_each_attribute_and_each_column_has_a_complete_row(heading: str, names: set[str], cells: int) -> None:
    table = rows(heading)
    assert table.keys() == names
    assert all(len(row) == cells and all(row) for row in table.values())


def test_the_days_are_those_of_the_settings() -> None:
    for name in ("keep_undo_days", "keep_runs_days", "keep_rejects_days"):
        assert f"`{name}` ({Settings.__dataclass_fields__[name].default})" in PAGE
