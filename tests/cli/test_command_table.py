"""The table of commands, of which only the command that is asked for is loaded."""

from __future__ import annotations

import pytest

from piactl.cli.framework.application import load_command
from piactl.cli.framework.command_table import COMMANDS, NOUNS, asked


def test_the_command_tree_matches_the_table_of_commands() -> None:
    names = set()
    for name, command in load_command().commands.items():
        below = getattr(command, "commands", None)
        names |= {name} if below is None else {f"{name} {verb}" for verb in below}
    assert names == set(COMMANDS)
    assert set(NOUNS) == {words.split()[0] for words in COMMANDS if " " in words}


def test_short_helps_fit_a_line() -> None:
    for words, (_, _, short, _) in COMMANDS.items():
        assert short.endswith("."), words
        assert len(short) <= 62, words
    for noun, short in NOUNS.items():
        assert len(short) <= 62, noun


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["account", "show", "x"], ("account", "show")),
        (["--config", "file", "account", "--help"], ("account", "")),
        (["--config=file", "plan", "-o", "json"], ("plan", "")),
        (["account", "-h", "lock"], ("account", "lock")),
        ([], ("", "")),
    ],
)
def test_the_command_is_found_among_the_arguments(arguments: list[str], words: tuple[str, str]) -> None:
    assert asked(arguments) == words
