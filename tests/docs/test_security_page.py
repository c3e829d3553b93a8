"""Each attack of SECURITY.md names the test that replays it; test_architecture_page.py checks the files."""

from __future__ import annotations

import re
from pathlib import Path


def test_each_attack_has_its_test() -> None:
    text = (Path(__file__).parents[2] / "SECURITY.md").read_text(encoding="utf-8")
    rows = [line for line in text.partition("## What was tried")[2].splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 20
    for row in rows:
        assert re.search(r"`tests/[a-z]+/test_\w+\.py`", row.split("|")[3]), row
