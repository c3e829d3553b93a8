"""Limits of the caller's shell: raised where that is possible, else refused before anything is read."""

from __future__ import annotations

import shlex
import subprocess

from tests.outside import Exit
from tests.story.academy import Academy
from tests.story.test_proof_changes import MAIL, hooked, notified, staff

from .test_password import CLAIRE, NUMEN

__all__ = ["staff"]


def limited(
    academy: Academy, limit: str, *words: str, language: str = "en"
) -> subprocess.CompletedProcess[str]:
    command = f"ulimit {limit}; exec {shlex.join(academy.words(*words))}"
    return subprocess.run(
        ["sh", "-c", command],
        input=f"{NUMEN}\n",
        env=academy.environment() | {"LC_ALL": language},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_limits_that_would_stop_a_command_half_way_are_raised_or_refused(staff: Academy) -> None:
    """With few open files a password was handed out, and its owner never told."""
    heard = hooked(staff, "cat >>{heard}")
    reset = ("password", "reset", CLAIRE, "--numen-file", "-", "--out", str(staff.folder / "new.csv"))
    with staff.nothing_written():
        for limit, missing in (
            ("-n 9", "at least 256 open files (ulimit -n)"),
            ("-n 5", "at least 256 open files (ulimit -n)"),
            ("-f 4", "files of any size (ulimit -f)"),
            ("-t 60", "CPU time without a limit (ulimit -t)"),
            ("-v 400000", "memory without a limit (ulimit -v)"),
            ("-d 400000", "memory without a limit (ulimit -d)"),
        ):
            done = limited(staff, limit, *reset)
            assert (done.returncode, missing in done.stderr) == (Exit.CONFIGURATION, True), (limit, done)
            assert "bug" not in done.stderr
        for limit, missing in (
            ("-n 9; ulimit -t 60", "du temps de calcul sans limite (ulimit -t) ; au moins 256 fichiers"),
            ("-f 4; ulimit -v 400000", "des fichiers de toute taille (ulimit -f) ; de la mémoire"),
        ):
            assert missing in limited(staff, limit, *reset, language="fr_FR.UTF-8").stderr
    assert not heard.exists()
    done = limited(staff, "-S -n 9; ulimit -S -f 4; ulimit -S -t 60", *reset)
    assert done.returncode == Exit.DONE, done.stderr
    assert notified(heard) == [{"uid": CLAIRE, "private_mail": MAIL, "changed": ["password"]}]
