"""Only the command that is asked for is loaded."""

from __future__ import annotations

import subprocess
import sys

import pytest

from piactl.cli.framework.application import assembled
from piactl.cli.framework.commands import COMMANDS, NOUNS, asked

HEAVY = ("ldap3", "pyasn1", "pydantic", "jsonschema", "yaml", "rich", "tabulate", "socket")


def loaded_after(*words: str) -> set[str]:
    """The modules that are loaded after a command."""
    code = (
        "import sys, io, contextlib\n"
        "from piactl.cli.main import run\n"
        "with contextlib.redirect_stdout(io.StringIO()): run(sys.argv[1:])\n"
        "print(' '.join(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, check=True, timeout=60
    )
    return set(done.stdout.split())


@pytest.mark.parametrize("words", [["--version"], ["--help"], ["account", "--help"], ["nightly", "--help"]])
def test_help_loads_nothing_heavy(words: list[str]) -> None:
    loaded = loaded_after(*words)
    assert "piactl.cli" in loaded
    # typer converts values with pydantic, which loads socket
    assert not loaded.intersection(HEAVY) - {"pydantic", "socket"}
    assert "piactl.cli.commands.doctor" not in loaded


def test_the_command_tree_matches_the_table_of_commands() -> None:
    tree = assembled(whole=True)
    names = set()
    for name, command in tree.commands.items():  # type: ignore[attr-defined]
        below = getattr(command, "commands", None)
        names |= {name} if below is None else {f"{name} {verb}" for verb in below}
    assert names == set(COMMANDS)
    assert set(NOUNS) == {words.split()[0] for words in COMMANDS if " " in words}


def test_help_is_the_same_if_one_or_all_commands_are_loaded() -> None:
    tree = assembled(whole=True)
    for noun in ("", *NOUNS):
        subtree = assembled(*asked([noun, "--help"]))
        assert list(subtree.commands) == list(tree.commands)  # type: ignore[attr-defined]
        for name, command in subtree.commands.items():  # type: ignore[attr-defined]
            assert command.get_short_help_str(100) == tree.commands[name].get_short_help_str(100)  # type: ignore[attr-defined]


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


def test_a_command_assembled_alone_has_the_same_parameters() -> None:
    for words in ("account show", "why"):
        noun, _, verb = words.partition(" ")
        alone, beside = assembled(noun, verb, alone=True), assembled(noun, verb)
        assert list(alone.commands) == [noun]  # type: ignore[attr-defined]
        for part in words.split():
            alone, beside = alone.commands[part], beside.commands[part]  # type: ignore[attr-defined]
        assert [p.name for p in alone.params] == [p.name for p in beside.params]
