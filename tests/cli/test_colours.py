"""Colours: only on a terminal."""

from __future__ import annotations

import pytest

from piactl.report.escaping import coloured
from tests.cli.terminal import at_terminal
from tests.story.academy import Academy, prepared
from tests.story.feeds import crowd

DAY = "2026-09-05"
ESCAPE = "\x1b["


@prepared
def staffed(academy: Academy) -> Academy:
    academy.night(DAY, academy.feed(*crowd(12), day=DAY))
    return academy


def test_colours_are_shown_only_on_a_terminal(staffed: Academy) -> None:
    lock = ("account", "lock", "louise.vaubanaaa", "--reason", "trial", "--as-of", DAY, "--yes")
    assert staffed.run(*lock).code == 0
    words = ("account", "show", "louise.vaubanaaa", "--as-of", DAY)
    plain = staffed.run(*words).out
    assert ESCAPE not in plain
    code, text = at_terminal(staffed, *words, TERM="xterm", LINES="60")
    assert code == 0
    assert f"{ESCAPE}31mLOCKED{ESCAPE}0m" in text
    assert text.replace(f"{ESCAPE}31m", "").replace(f"{ESCAPE}0m", "") == plain
    for quiet in ({"TERM": "xterm", "NO_COLOR": "1"}, {"TERM": "dumb"}):
        assert at_terminal(staffed, *words, LINES="60", **quiet) == (0, plain)


def test_errors_have_colours_too(staffed: Academy) -> None:
    """On stderr, if it is a terminal, whatever stdout is."""
    staffed.edit("policy.yaml", "  lock:       {floor: 5,", "  lock:       {max: 0,")
    lock = ("account", "lock", "louise.vaubanaaa", "--reason", "trial", "--as-of", DAY)
    _, text = at_terminal(staffed, *lock, "--yes", "-o", "json", TERM="xterm", LINES="60")
    assert f"{ESCAPE}31mREFUSED{ESCAPE}0m by the guard lock" in text
    _, text = at_terminal(staffed, *lock, "--yes", "-o", "json", TERM="xterm", LINES="60", NO_COLOR="1")
    assert "REFUSED by the guard lock" in text
    assert ESCAPE not in text


@pytest.mark.parametrize(
    ("line", "colour"),
    [
        ("D09  error    journal chain: cut", "31"),
        ("D12  warning  mail", "33"),
        ("D12  ok       mail", "32"),
        ("     12  revoke     lose services", "33"),
        ("      1  create     accounts made", "32"),
        ("  NO, since 2026-09-01", "31"),
        ("Plan df41a28ba168 as of 2026-08-03", "1"),
        ("  NON, depuis le 2026-09-01", "31"),
        ("Plan df41a28ba168 au 2026-08-03", "1"),
        ("claire.dubreuil  Claire Dubreuil", ""),
        ("D20  error    WARNING: REFUSED by the server, and more", "31"),
    ],
)
def test_lines_are_coloured_by_their_meaning(line: str, colour: str) -> None:
    assert coloured(line).startswith(f"{ESCAPE}{colour}m") is bool(colour)
    assert len(coloured(line)) == len(line) + (len(f"{ESCAPE}{colour}m{ESCAPE}0m") if colour else 0)
