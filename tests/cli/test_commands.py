"""The command as a process: pipes, closed streams, bare environments, hostile text; and what it prints."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests.story.academy import Academy, prepared
from tests.story.feeds import MICHELIS, crowd, row

from .streams import CLOSED, TOP, command, shared_forks

DAY = "2026-09-05"
NUMEN = "20E9512345XYZ"
TABLE = ("account", "list", "-o", "table")


@prepared
def loaded(academy: Academy) -> Academy:
    rows = [
        row(numen=NUMEN),
        row(matricule="1002", prenom="Hugo", nom_famille="Vasseur", fonction="DIR", uai=MICHELIS),
        row(matricule="1003", prenom="Nour", nom_famille="Caron", debut="2026-09-12"),
    ]
    academy.night(DAY, academy.feed(*rows, day=DAY))
    return academy


def test_a_reader_that_closes_the_pipe_causes_no_traceback(academy: Academy) -> None:
    """The reader closes the pipe: no message, no traceback, exit 0."""
    academy.night(DAY, academy.feed(*crowd(300), day=DAY))
    for words in (["account", "list", "-o", "ndjson"], ["plan", "--as-of", "2027-12-01", "-o", "json"]):
        process = subprocess.Popen(
            academy.words(*words),
            env=academy.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        error = process.stderr.read().decode()
        process.stderr.close()
        code = process.wait(60)
        assert "Traceback" not in error
        assert "Broken" not in error
        if words[0] == "account":
            assert (code, error) == (0, "")


@pytest.mark.parametrize("closed", [(CLOSED, "", ""), ("", CLOSED, ""), ("", "", CLOSED)], ids=str)
def test_a_night_with_a_closed_stream_leaves_the_journal_intact(
    academy: Academy, closed: tuple[str, str, str]
) -> None:
    """It runs, and no output gets into the journal, whose file could get the number of a closed stream."""
    feed = str(academy.feed(row(), row(matricule="1002", debut="demain"), day=DAY))
    stdin, stdout, stderr = closed
    words = ("nightly", feed, "--as-of", DAY)
    ran = shared_forks().run(academy, *words, stdin=stdin, stdout=stdout, stderr=stderr)
    assert ran.code == 0, ran.err
    assert academy.names() == {"1001": "claire.dubreuil"}
    assert academy.run("journal", "verify").code == 0
    if stderr == CLOSED:
        assert "rejected or held; correct them" not in ran.out, "talk among the data"


def test_a_night_without_any_stream_and_environment_leaves_the_journal_intact(loaded: Academy) -> None:
    """A process of its own: no stream is open when the interpreter starts; no HOME, locale or terminal."""
    feed = loaded.feed(row(nom_famille="Lœuvre"), day="2026-09-06")
    night = ("--config", loaded.sandbox.config, "nightly", feed, "--as-of", "2026-09-06")
    bare = ["env", "-i", "LANG=C", f"PYTHONPATH={TOP}"]
    for words, closed in ((night, "<&- >&- 2>&-"), (("--config", *night[1:2], *TABLE), "")):
        ran = subprocess.run(
            ["sh", "-c", f'exec "$@" {closed}', "sh", *bare, *loaded.words(*words)],
            stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False,
        )  # fmt: skip
        assert (ran.returncode, ran.stderr) == (0, b"")
    assert "Lœuvre".encode() in ran.stdout
    assert b"\x1b" not in ran.stdout
    assert loaded.run("journal", "verify").code == 0


def by_uid(ndjson: str) -> list[dict[str, Any]]:
    """The accounts of a list in ndjson, sorted by uid; the list has them in the order of the directory."""
    return sorted((json.loads(line) for line in ndjson.splitlines()), key=lambda view: str(view["uid"]))


def test_list_in_every_layout(loaded: Academy) -> None:
    run = loaded.run
    rows = run("account", "list", "--as-of", DAY, "-o", "json").json
    assert [r["uid"] for r in rows] == ["claire.dubreuil", "hugo.vasseur", "nour.caron"]
    assert by_uid(run("account", "list", "--as-of", DAY, "-o", "ndjson").out) == rows
    table = list(csv.DictReader(run("account", "list", "--as-of", DAY, "-o", "csv").out.splitlines()))
    assert [r["state"] for r in table] == ["active", "active", "anticipated"]
    tsv = run("account", "list", "--as-of", DAY, "-o", "tsv").out
    assert tsv == run("account", "list", "--as-of", DAY).out, "not a terminal: tsv"
    assert [line.split("\t")[0] for line in tsv.splitlines()] == ["uid", *(r["uid"] for r in rows)]
    assert "Nour Caron" in run("account", "list", "--as-of", DAY, "-o", "table").out


def test_account_list_shows_which_accounts_another_program_changed(loaded: Academy) -> None:
    loaded.change("hugo.vasseur", displayName=["Autre Main"])
    listed = loaded.run("account", "list", "--as-of", DAY, "-o", "json").json
    assert [view["drift"] != [] for view in listed] == [False, True, False]


def test_list_filters(loaded: Academy) -> None:
    def uids(*words: str) -> list[str]:
        return [r["uid"] for r in loaded.run("account", "list", *words, "-o", "json").json]

    assert uids("--as-of", DAY, "--state", "anticipated") == ["nour.caron"]
    assert uids("--as-of", "2026-09-12", "--state", "anticipated") == []
    assert uids("--as-of", DAY, "--profile", "direction") == ["hugo.vasseur"]
    assert uids("--as-of", DAY, "--uai", MICHELIS.lower()) == ["hugo.vasseur"]


def test_an_account_is_found_by_uid_address_or_matricule(loaded: Academy) -> None:
    for name in ("claire.dubreuil", "Claire.Dubreuil@ac-amiens.fr", "1001", " claire.dubreuil "):
        assert loaded.show(name, DAY)["uid"] == "claire.dubreuil", name


def test_accounts_named_on_stdin_are_shown_in_order(loaded: Academy) -> None:
    names = "nour.caron\n\n1001\nnobody\nhugo.vasseur@ac-amiens.fr\n"
    ran = loaded.run("account", "show", "-", "-o", "ndjson", stdin=names)
    assert [json.loads(line)["uid"] for line in ran.out.splitlines()] == [
        "nour.caron",
        "claire.dubreuil",
        "hugo.vasseur",
    ]
    assert ran.code == 5
    assert "nobody" in ran.err


@pytest.mark.parametrize(
    "prenom",
    ["\x1b[31mClaire", "[/x]", "Cl\u202eaire", "=cmd()", "Claire\u200b", "Cla\x00ire", "<b>Claire</b>"],
)
def test_hostile_text_in_feeds_is_rejected_or_escaped(academy: Academy, prenom: str) -> None:
    academy.night(DAY, academy.feed(row(matricule="1002"), day=DAY))
    feed = academy.feed(row(prenom=prenom), row(matricule="1002"), day="2026-09-06")
    outputs = [
        academy.run("feed", "check", feed),
        academy.run("plan", feed, "--as-of", "2026-09-06", "--all"),
        academy.run("nightly", feed, "--as-of", "2026-09-06"),
        academy.run("account", "list", "-o", "table"),
        academy.run("account", "list", "-o", "csv"),
        academy.run("account", "show", "1002"),
    ]
    for ran in outputs:
        assert ran.code in (0, 5, 6), ran.err
        for raw in ("\x1b", "\x00", "\u202e"):
            assert raw not in ran.out + ran.err
    for ran in (outputs[0], outputs[1], outputs[3]):
        assert "\u200b" not in ran.out + ran.err, "what people read; csv and json are exact"
    assert all(
        set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789.-") for name in academy.names().values()
    )


def test_messages_go_to_stderr_and_data_to_stdout(loaded: Academy) -> None:
    feed = loaded.feed(row(numen=NUMEN), row(matricule="1004", debut="demain"), day="2026-09-06")
    ran = loaded.spawn("nightly", feed, "--as-of", "2026-09-06", "-o", "json")
    assert ran.json["status"] == "done"
    assert "1 row was rejected" in ran.err


def test_version_and_help_need_no_configuration(tmp_path: Path) -> None:
    env = {"PYTHONPATH": str(TOP), "PATH": os.environ["PATH"]}
    for words in (["--version"], ["plan", "--help"]):
        ran = subprocess.run(
            [sys.executable, "-m", "piactl", *words],
            capture_output=True, text=True, env=env, cwd=tmp_path, timeout=60, check=False,
        )  # fmt: skip
        assert (ran.returncode, ran.stderr) == (0, "")
        assert ran.stdout


def test_sandbox_start_status_and_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    """One step makes a directory, a policy and a configuration; the data stay when it is stopped."""
    monkeypatch.delenv("PIACTL_CONFIG", raising=False)
    # a socket's path may not be long
    with tempfile.TemporaryDirectory(prefix="piactl-test-") as folder:
        monkeypatch.chdir(folder)
        accounts = ("--config", "s/piactl.yaml", "account", "list", "-o", "json")
        try:
            started = command("sandbox", "start", "--dir", "s")
            assert started.code == 0, started.err
            assert "PIACTL_CONFIG=" in started.err
            assert command(*accounts).out == "[]\n"
            assert "running" in command("sandbox", "status", "--dir", "s").out
        finally:
            stopped = command("sandbox", "stop", "--dir", "s")
        assert "stopped" in stopped.err
        assert command(*accounts).code == 8
        monkeypatch.undo()
