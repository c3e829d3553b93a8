"""The pages in French: their commands and codes exist, and a card stays one page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from piactl.cli.framework.application import load_command
from piactl.cli.framework.command_table import COMMANDS, asked
from piactl.core.plan.check_feed_limits import LIMIT_CODES
from piactl.feed.error_codes import REFUSALS, REJECTIONS
from piactl.feed.header import COLUMNS

FRENCH = Path(__file__).resolve().parents[2] / "docs" / "fr"
PAGES = {page.name: page.read_text(encoding="utf-8") for page in FRENCH.glob("*.md")}
CARDS = [name for name in PAGES if name.endswith("-card.md")]
_INLINE, _BLOCK = re.compile(r"`(piactl [^`]+)`"), re.compile(r"^(?:\s*)(piactl [^#\n]+)", re.MULTILINE)
TYPED = sorted(
    {
        (name, typed.strip())
        for name, page in PAGES.items()
        for typed in _INLINE.findall(page) + _BLOCK.findall(page)
    }
)
POLICY_CODES = {"profile-none", "position-unknown", "uai-unregistered"}


@pytest.mark.parametrize("name", CARDS)
def test_a_card_is_one_page(name: str) -> None:
    """Some 50 lines of 110 characters are a page of A4 in small print."""
    lines = sum(-(-len(line) // 110) for line in PAGES[name].splitlines())
    assert lines <= 50, lines


def test_the_card_of_the_help_desk_has_the_commands_of_calls() -> None:
    assert len({typed for name, typed in TYPED if name == "help-desk-card.md"}) >= 15


@pytest.mark.parametrize(("page", "typed"), TYPED)
def test_each_command_exists_with_its_options(page: str, typed: str) -> None:
    words = typed.removeprefix("piactl ").removeprefix("--config piactl.yaml ").split()
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


def test_the_example_of_a_feed_is_that_of_the_page_in_english() -> None:
    english = (FRENCH.parent / "feed.md").read_text(encoding="utf-8")
    assert re.search(r"```csv\n.*?```", english, re.S)[0] in PAGES["feed.md"]  # type: ignore[index]


def test_the_page_on_feeds_has_the_columns_and_codes_of_the_code() -> None:
    page = PAGES["feed.md"]
    columns = page.partition("## Les colonnes")[2].partition("\n## ")[0]
    named = {
        name for row in re.findall(r"^\| (`[^|]+) \|", columns, re.M) for name in re.findall("`(.+?)`", row)
    }
    assert named == set(COLUMNS)
    codes = set(
        re.findall(r"`([a-z]+(?:-[a-z]+)+|cut|empty|older|size|held)`", page.partition("## Ce qui refuse")[2])
    )
    names = {code for code in codes if code.startswith("name-")}
    assert len(codes) > 25
    assert codes - names - POLICY_CODES <= {*REFUSALS, *REJECTIONS, *LIMIT_CODES}
