"""The pages in French for who answers the telephone: their commands exist, and the card stays one page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from piactl.cli.framework.application import load_command
from piactl.cli.framework.command_table import COMMANDS, asked

PAGES = {
    page.name: page.read_text(encoding="utf-8")
    for page in sorted((Path(__file__).resolve().parents[2] / "docs" / "fr").glob("*.md"))
}
CARD = PAGES["help-desk-card.md"]
_INLINE, _BLOCK = re.compile(r"`(piactl [^`]+)`"), re.compile(r"^(?:\s*)(piactl [^#\n]+)", re.MULTILINE)
TYPED = sorted(
    {
        (name, typed.strip())
        for name, page in PAGES.items()
        for typed in _INLINE.findall(page) + _BLOCK.findall(page)
    }
)


def test_the_card_is_one_page() -> None:
    """Some 50 lines of 110 characters are a page of A4 in small print."""
    lines = sum(-(-len(line) // 110) for line in CARD.splitlines())
    assert lines <= 50, lines
    assert len({typed for name, typed in TYPED if name == "help-desk-card.md"}) >= 15


@pytest.mark.parametrize(("page", "typed"), TYPED)
def test_each_command_exists_with_its_options(page: str, typed: str) -> None:
    words = typed.split()[1:]
    given = {word for word in words if word.startswith("-")} - {"--help", "-"}
    name = " ".join(asked(words)).strip()
    if not name:
        assert not given, (page, typed)
        return
    name = name if name in COMMANDS else name.split()[0]
    assert name in COMMANDS, (page, typed)
    command = load_command(name)
    options = {
        option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)
    }
    assert given <= options, (page, typed, given - options)
