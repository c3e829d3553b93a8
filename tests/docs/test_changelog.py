"""CHANGELOG.md has the form of Keep a Changelog, and a section for the version of the program."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

from piactl import __version__

LOG = (Path(__file__).resolve().parents[2] / "CHANGELOG.md").read_text(encoding="utf-8")


def test_unreleased_comes_first_and_releases_are_newest_first() -> None:
    first, *releases = re.findall(r"^## (.*)$", LOG, re.MULTILINE)
    assert first == "[Unreleased]"
    matches = [re.fullmatch(r"\[(\d+)\.(\d+)\.(\d+)\] - (\d{4}-\d\d-\d\d)", release) for release in releases]
    numbers = [tuple(int(number) for number in match.groups()[:3]) for match in matches if match]
    days = [date.fromisoformat(match[4]) for match in matches if match]
    assert len(numbers) == len(releases) > 0
    assert numbers == sorted(numbers, reverse=True)
    assert days == sorted(days, reverse=True)
    assert ".".join(str(number) for number in numbers[0]) == __version__
