"""Interrupting a command at its question, and names and reasons that contain a secret."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.story.academy import Academy, prepared
from tests.story.feeds import row
from tests.story.test_logins import day

from .terminal import at_terminal, begun_at_terminal

TOP = Path(__file__).parents[2]
CLAIRE, NUMEN = "claire.dubreuil", "20E9512345XYZ"


@prepared
def staffed(academy: Academy) -> Academy:
    first = day(-3).isoformat()
    academy.night(first, academy.feed(row(numen=NUMEN, debut="2020-09-01"), day=first))
    return academy


@pytest.mark.parametrize(
    "words",
    [
        ("account", "lock", CLAIRE, "--reason", "x"),
        ("password", "activate", CLAIRE, "--administrator"),
        ("otp", "enroll", CLAIRE),
    ],
)
def test_ctrl_c_at_a_question_ends_the_command_without_changes(
    staffed: Academy, words: tuple[str, ...]
) -> None:
    with staffed.nothing_written(), begun_at_terminal(staffed, *words) as (process, terminal):
        screen = b""
        while b"[y/N] " not in screen:
            screen += os.read(terminal, 65536)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 130
        while b"\r\npiactl: interrupted; nothing was changed\r\n" not in screen:
            screen += os.read(terminal, 65536)


INTERRUPTED_AT = """
import os, signal, sys
class Hook:
    def find_spec(self, name, path=None, target=None):
        if name.endswith(os.environ["AT"]):
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Hook())
"""


ENGLISH, FRENCH = "interrupted; nothing was changed", "interrompu ; rien n'a été changé"


@pytest.mark.parametrize(
    ("module", "language", "words"),
    [
        ("framework.terminal", "C", ENGLISH),
        (".translation", "fr_FR", ENGLISH),  # which is not there yet
        ("framework.terminal", "fr_FR", FRENCH),
        ("yaml._yaml", "C", ENGLISH),
        ("typer", "C", ENGLISH),
        ("typer", "fr_FR", FRENCH),
        ("commands.account", "fr_FR", FRENCH),
    ],
)
def test_ctrl_c_while_piactl_starts_shows_no_traceback(
    tmp_path: Path, module: str, language: str, words: str
) -> None:
    """Before, an interrupt inside an import ended with the traceback of the interpreter."""
    (tmp_path / "sitecustomize.py").write_text(INTERRUPTED_AT, encoding="utf-8")
    ran = subprocess.run(
        [sys.executable, "-m", "piactl", "account", "list"],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{TOP}", "AT": module, "LC_ALL": f"{language}.UTF-8"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (130, "")
    assert ran.stderr == f"piactl: {words}\n"


def test_declining_otp_enroll_shows_no_device_secret(staffed: Academy) -> None:
    with staffed.nothing_written():
        code, screen = at_terminal(staffed, "otp", "enroll", CLAIRE, answers={"[y/N]": "n"}, TERM="xterm")
    assert code == 12
    assert "nothing was changed" in screen
    assert "otpauth" not in screen


@pytest.mark.parametrize("layout", [(), ("-o", "json"), ("-o", "csv")])
def test_a_numen_given_as_a_name_is_never_printed(staffed: Academy, layout: tuple[str, ...]) -> None:
    for text in (f"{NUMEN}\n{CLAIRE}\n", "20e 95 12345 xyz\n", NUMEN):
        ran = staffed.run("account", "lock", "-", "--reason", "x", *layout, stdin=text)
        assert ran.code in (5, 9)
    for words in (("account", "show"), ("why",), ("account", "history"), ("password", "unblock")):
        ran = staffed.run(*words, NUMEN)
        assert ran.code == 9
        assert "NUMEN" in ran.err
    output = "".join(staffed.said).lower().replace(" ", "")
    assert NUMEN.lower() not in output


def test_a_numen_in_a_reason_is_masked(staffed: Academy) -> None:
    why = ("--reason", f"said {NUMEN} on the telephone")
    staffed.run("account", "lock", CLAIRE, *why)
    staffed.run("exception", "grant", CLAIRE, "--service", "iprof", "--until", day(30).isoformat(), *why)
    staffed.run("account", "close", CLAIRE, "--until", day(30).isoformat(), *why)
    entry = staffed.entry(CLAIRE)
    stored = b"".join(v for name in ("piactlLock", "piactlException", "piactlOverride") for v in entry[name])
    assert stored.count(b"said 20E********** on the telephone") == 3
    assert NUMEN not in stored.decode() + "".join(staffed.said)
