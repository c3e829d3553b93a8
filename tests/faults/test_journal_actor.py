"""Who is behind a run, tested with real processes."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.programs import ASK
from tests.remembered import installation_for_every_user

ENV = {"PYTHONPATH": str(Path(__file__).parents[2]), "PATH": os.environ["PATH"]}


PYTHON = "/usr/bin/python3"
"""For a user who may not read the Python of the tests."""


@pytest.fixture(scope="module")
def ask_here() -> str:
    """A program for a user who may not read the checkout, or whose environment sudo cleans."""
    return f'import sys; sys.path.insert(0, "{installation_for_every_user()}"); {ASK}'


def answer(command: list[str], user: int | None = None, **environment: str) -> dict:
    """What a process in its own session finds, without a terminal unless `command` makes one."""
    done = subprocess.run(
        command,
        env=ENV | environment,
        user=user,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        start_new_session=True,
        check=True,
    )
    return json.loads(done.stdout)


def test_the_user_host_and_process_of_a_run_are_found():
    actor = answer([sys.executable, "-c", ASK])
    assert actor["user"] == pwd.getpwuid(os.getuid()).pw_name
    assert actor["host"] == socket.gethostname()
    assert actor["sudo_user"] == ""
    assert actor["pid"] not in (0, os.getpid())


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("sudo") is None, reason="asks sudo of root")
@pytest.mark.parametrize(("user", "sudo_user"), [("root", ""), ("nobody", "root")])
def test_the_user_of_sudo_is_believed_where_sudo_started_the_process(user, sudo_user, ask_here):
    actor = answer(["sudo", "-n", "-u", user, PYTHON, "-c", ask_here], PATH=os.environ["PATH"])
    assert (actor["user"], actor["sudo_user"]) == (user, sudo_user)


def test_the_origin_of_a_systemd_unit_and_of_a_bare_process():
    assert answer([sys.executable, "-c", ASK], INVOCATION_ID="5f0c")["origin"] == "systemd"
    assert answer([sys.executable, "-c", ASK])["origin"] == "other"


def test_the_origin_of_a_cron_job_is_cron_also_under_systemd(tmp_path):
    cron = tmp_path / "cron"
    shutil.copy("/bin/sh", cron)
    shell = f"{sys.executable} -c '{ASK}'; true"
    assert answer([str(cron), "-c", shell], INVOCATION_ID="5f0c")["origin"] == "cron"
    assert answer([str(cron), "-c", 'sh -c "$0"; true', shell])["origin"] == "cron"


@pytest.mark.skipif(shutil.which("script") is None, reason="script makes the terminal")
def test_the_origin_is_the_terminal_even_in_a_pipe_under_systemd(tmp_path):
    result = tmp_path / "answer"
    inner = f"{sys.executable} -c '{ASK}' </dev/null 2>/dev/null | cat > {result}"
    subprocess.run(
        ["script", "-qec", inner, os.devnull],
        env=ENV | {"INVOCATION_ID": "5f0c"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=30,
        check=True,
    )
    assert json.loads(result.read_text())["origin"] == "terminal"
