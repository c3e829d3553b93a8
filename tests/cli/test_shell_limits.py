"""Limits of the caller's shell: raised where that is possible, else refused before anything is read."""

from __future__ import annotations

import resource
import shlex
import subprocess

from tests.outside import Exit
from tests.story.academy import Academy, Ran
from tests.story.test_proof_changes import MAIL, hooked, notified, staff

from .streams import shared_forks
from .test_password import CLAIRE, NUMEN

__all__ = ["staff"]


LIMITS = {
    "-n": (resource.RLIMIT_NOFILE, 1),
    "-f": (resource.RLIMIT_FSIZE, 512),
    "-t": (resource.RLIMIT_CPU, 1),
    "-v": (resource.RLIMIT_AS, 1024),
    "-d": (resource.RLIMIT_DATA, 1024),
}
"""Option of ulimit -> the limit, and its unit."""


def refused(academy: Academy, limits: str, *words: str, language: str = "en") -> Ran:
    """What a command says whose process has these limits, as options of ulimit, when it starts."""
    pairs = [pair.split() for pair in limits.split("; ")]
    numbers = {LIMITS[option][0]: int(number) * LIMITS[option][1] for option, number in pairs}
    program = f"import resource\nfor which, number in {numbers}.items():\n"
    program += "    resource.setrlimit(which, (number, number))\n"
    environment = academy.environment() | {"LC_ALL": language}
    return shared_forks().run(academy, *words, stdin=f"{NUMEN}\n", program=program, environment=environment)


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
            ("-n 5", "at least 256 open files (ulimit -n)"),
            ("-f 4", "files of any size (ulimit -f)"),
            ("-t 60", "CPU time without a limit (ulimit -t)"),
            ("-v 400000", "memory without a limit (ulimit -v)"),
            ("-d 400000", "memory without a limit (ulimit -d)"),
        ):
            ran = refused(staff, limit, *reset)
            assert (ran.code, missing in ran.err) == (Exit.CONFIGURATION, True), (limit, ran)
            assert "bug" not in ran.err
        done = limited(staff, "-n 9", *reset)
        assert done.returncode == Exit.CONFIGURATION, done
        assert "at least 256 open files (ulimit -n)" in done.stderr
        for limit, missing in (
            ("-n 9; -t 60", "du temps de calcul sans limite (ulimit -t) ; au moins 256 fichiers"),
            ("-f 4; -v 400000", "des fichiers de toute taille (ulimit -f) ; de la mémoire"),
        ):
            assert missing in refused(staff, limit, *reset, language="fr_FR.UTF-8").err
    assert not heard.exists()
    done = limited(staff, "-S -n 9; ulimit -S -f 4; ulimit -S -t 60", *reset)
    assert done.returncode == Exit.DONE, done.stderr
    assert notified(heard) == [{"uid": CLAIRE, "private_mail": MAIL, "changed": ["password"]}]
