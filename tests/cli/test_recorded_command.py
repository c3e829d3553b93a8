"""The command line in the journal and in the record of a run contains no personal data."""

from __future__ import annotations

import json
import sys
from datetime import date
from unittest.mock import patch

import pytest

from piactl.cli.framework.writing_command import recorded_words
from piactl.clock import civil_today
from tests.story.academy import Academy
from tests.story.feeds import row


@pytest.mark.parametrize(
    ("words", "recorded"),
    [
        ("account create --family-name Roy --corps 1", "account create --family-name [redacted] --corps 1"),
        ("account create --given-name=Ida --corps 553", "account create --given-name=[redacted] --corps 553"),
        ("account create --private-mail --usage-name", "account create --private-mail [redacted]"),
        ("--config x account rename i --usage-name R", "--config x account rename i --usage-name [redacted]"),
        ("password activate --private-mail ida.roy", "password activate --private-mail ida.roy"),
        # so that a command given again after a restore, or read in a year, means the same
        ("account lock i --until tomorrow", "account lock i --until 2027-01-01"),
        ("account lock i --until=+30d --reason today", "account lock i --until=2027-01-30 --reason today"),
    ],
)  # fmt: skip
def test_a_command_is_recorded_with_days_and_without_personal_values(words: str, recorded: str) -> None:
    assert recorded_words(words.split(), date(2026, 12, 31)) == recorded.split()


def test_a_create_leaves_no_name_in_the_journal_or_the_run(academy: Academy) -> None:
    academy.night(
        civil_today("Europe/Paris").isoformat(),
        academy.feed(row(), day=civil_today("Europe/Paris").isoformat()),
    )
    words = [
        "account", "create", "--family-name", "Noirfontaine", "--given-name", "Gaspard", "--private-mail",
        "secret@example.org", "--uai", "0800009A", "--function", "ENS", "--until", "2099-08-31",
        "--sponsor", "claire.dubreuil", "--reason", "remplacement",
    ]  # fmt: skip
    with patch.object(sys, "argv", ["piactl", "--config", str(academy.sandbox.config), *words]):
        ran = academy.run(*words)
    assert ran.code == 0, ran.err
    run = academy.run("runs", "list", "-o", "json").json[0]
    shown = academy.run("runs", "show", run["run"], "-o", "json").out
    journal = academy.run("journal", "show", "-o", "json").out
    files = (academy.sandbox.folder / "journal" / "piactl.jsonl").read_text()
    for text in (shown, journal, files):
        assert "secret@example.org" not in text
        assert "Noirfontaine" not in text
    assert "[redacted]" in json.loads(shown)["command"]
