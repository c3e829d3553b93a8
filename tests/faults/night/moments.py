"""Moments of a run at which something can be done to it: by what it has written, by its system calls."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from .world import World

CALLS = "sendto recvfrom write pwrite64 fsync fdatasync ftruncate rename unlink".split()
"""The system calls by which a run does anything that outlives it: each is a moment to die at."""


def wait_for_lines(world: World, process: subprocess.Popen[str], lines: int) -> bool:
    """Waits until the run has written so many lines to the journal; False where it ended before."""
    until = time.monotonic() + 60
    while world.fill() < lines:
        if process.poll() is not None:
            return False
        assert time.monotonic() < until, "the run writes nothing"
        time.sleep(0.001)
    return True


def wait_until_it_listens(process: subprocess.Popen[str]) -> None:
    """Until the run has taken the signals into its own hands, as the kernel tells it."""
    until = time.monotonic() + 30
    while process.poll() is None:
        status = Path(f"/proc/{process.pid}/status").read_text()
        caught = next(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("SigCgt"))
        if caught >> (signal.SIGHUP - 1) & 1:
            return
        assert time.monotonic() < until, "the run never listens"
        time.sleep(0.002)


def killed_at(world: World, call: str, number: int) -> bool:
    """kill -9 before the system call of that name and number; False where there are fewer of them."""
    log = world.folder / "strace.log"
    fault = ["-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={number}"]
    process = world.spawn(["strace", "-qq", "-o", str(log), *fault, *world.night()], start_new_session=True)
    try:
        process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    return process.returncode == -signal.SIGKILL


def calls_of(world: World) -> list[str]:
    """The names of the system calls of an undisturbed night, in order; on the morning after it."""
    log = world.folder / "strace.log"
    trace = ["strace", "-qq", "-o", str(log), "-e", f"trace={','.join(CALLS)}"]
    done = world.run([*trace, *world.night()])
    assert done.code == 0, done.said
    return [line.partition("(")[0] for line in log.read_text().splitlines()]


def need_strace() -> None:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed: apt install strace")
