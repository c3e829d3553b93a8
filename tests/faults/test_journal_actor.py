"""Who is behind a run, asked of real processes."""

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

ASK = "import dataclasses, json; from piactl.journal import who; print(json.dumps(dataclasses.asdict(who())))"
ENV = {"PYTHONPATH": str(Path(__file__).parents[2]), "PATH": os.environ["PATH"]}


def answer(command: list[str], **environment: str) -> dict:
    """What a process of a session of its own says, without a terminal unless `command` makes one."""
    done = subprocess.run(
        command,
        env=ENV | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        start_new_session=True,
        check=True,
    )
    return json.loads(done.stdout)


def test_user_host_and_process():
    found = answer([sys.executable, "-c", ASK], SUDO_USER="lea.petit")
    assert found["user"] == pwd.getpwuid(os.getuid()).pw_name
    assert found["host"] == socket.gethostname()
    assert found["sudo_user"] == "lea.petit"
    assert found["pid"] not in (0, os.getpid())
    assert answer([sys.executable, "-c", ASK])["sudo_user"] == ""


def test_a_unit_of_systemd_and_a_bare_process():
    assert answer([sys.executable, "-c", ASK], INVOCATION_ID="5f0c")["origin"] == "systemd"
    assert answer([sys.executable, "-c", ASK])["origin"] == "other"


def test_a_job_of_cron_whose_daemon_is_a_unit_of_systemd(tmp_path):
    cron = tmp_path / "cron"
    shutil.copy("/bin/sh", cron)
    shell = f"{sys.executable} -c '{ASK}'; true"
    assert answer([str(cron), "-c", shell], INVOCATION_ID="5f0c")["origin"] == "cron"
    assert answer([str(cron), "-c", 'sh -c "$0"; true', shell])["origin"] == "cron"


@pytest.mark.skipif(shutil.which("script") is None, reason="script makes the terminal")
def test_a_terminal_even_in_a_pipe_and_under_systemd(tmp_path):
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
