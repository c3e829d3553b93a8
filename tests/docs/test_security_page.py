"""SECURITY.md: the tests that replay an attack are there."""

from __future__ import annotations

import re
from pathlib import Path

TOP = Path(__file__).parents[2]


def test_each_attack_has_its_test() -> None:
    table = (TOP / "SECURITY.md").read_text(encoding="utf-8").partition("## What was tried")[2]
    rows = [line for line in table.splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 20
    for row in rows:
        named = re.findall(r"`([a-z]+/test_\w+\.py)`", row.split("|")[3])
        assert named, row
        for name in named:
            assert (TOP / "tests" / name).exists(), name
