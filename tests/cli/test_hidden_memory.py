"""Passwords and keys stay in memory: no core file holds them, no other process of the user reads them."""

from __future__ import annotations

import os
import pty
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.story.academy import Academy

OTHER = 65534
HIDDEN = """
import ctypes, os, resource, sys
import piactl.cli.main as entry
if os.geteuid() == 0:
    os.setresuid({other}, {other}, {other})
ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # as a process is that another user starts
print(os.stat("/proc/self/environ").st_uid, flush=True)
entry.hide_memory()
print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), os.stat("/proc/self/environ").st_uid, flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="reads as another user")
def test_another_process_of_the_user_reads_neither_environment_nor_memory() -> None:
    program = HIDDEN.format(other=OTHER)
    words = [sys.executable, "-c", program]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().split() == [str(OTHER)]
        assert process.stdout.readline().split() == ["0", "0"]
        for name in ("environ", "mem"):
            read = subprocess.run(
                ["cat", f"/proc/{process.pid}/{name}"], user=OTHER, capture_output=True, check=False
            )
            assert read.returncode == 1
            assert b"ermission denied" in read.stderr
        process.communicate("")


def test_a_command_that_is_killed_leaves_no_core(academy: Academy) -> None:
    """`password check` asks for the password; its parent allows core files."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        academy.words("password", "check"),
        env=academy.environment(),
        cwd=academy.folder,
        stdin=follower,
        stdout=follower,
        stderr=follower,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (1 << 20, 1 << 20)),
    )
    os.close(follower)
    try:
        screen = b""
        while b": " not in screen:
            screen += os.read(leader, 65536)
        limits = Path(f"/proc/{process.pid}/limits").read_text().splitlines()
        assert next(line for line in limits if "core file" in line).split()[4:6] == ["0", "0"]
        process.send_signal(signal.SIGABRT)
        assert process.wait(timeout=20) == -signal.SIGABRT
    finally:
        process.kill()
        process.wait()
        os.close(leader)
    assert not list(academy.folder.glob("core*"))
