"""The card beside the telephone: its commands exist, and it stays one page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from piactl.cli.framework.application import load_command
from piactl.cli.framework.command_table import COMMANDS, asked

CARD = (Path(__file__).resolve().parents[2] / "docs" / "fr" / "help-desk-card.md").read_text(encoding="utf-8")
TYPED = sorted(set(re.findall(r"`(piactl [^`]+)`", CARD)))


def test_the_card_is_one_page() -> None:
    """Some 50 lines of 110 characters are a page of A4 in small print."""
    lines = sum(-(-len(line) // 110) for line in CARD.splitlines())
    assert lines <= 50, lines
    assert len(TYPED) >= 15


@pytest.mark.parametrize("typed", TYPED)
def test_each_command_exists_with_its_options(typed: str) -> None:
    words = typed.split()[1:]
    name = " ".join(asked(words)).strip()
    name = name if name in COMMANDS else name.split()[0]
    assert name in COMMANDS, typed
    command = load_command(name)
    options = {
        option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)
    }
    given = {word for word in words if word.startswith("-")}
    assert given <= options, (typed, given - options)
