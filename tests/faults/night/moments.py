"""Moments of a run at which a fault can strike: by what it has written, or by its system calls."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.streams import Forked

from .world import World

AFTER_LOSSES = 140
"""A night's journal has more lines than this once the first hundred gains are in hand: two lines for each of
the 60 accounts that lose something, then the hundred intents."""
IN_FIRST_BATCH = 102
"""Its number of lines with the intents of the first hundred; each hundred has two hundred lines."""
CALLS = "sendto recvfrom write pwrite64 fsync fdatasync ftruncate rename unlink".split()
"""The system calls by which a run does anything that outlives it: it can be killed at each of them."""


def wait_for_lines(world: World, process: Forked, lines: int) -> bool:
    """Waits until the run has written `lines` lines to the journal; False if it ended before."""
    until = time.monotonic() + 60
    while world.fill() < lines:
        if process.poll() is not None:
            return False
        assert time.monotonic() < until, "the run writes nothing"
        time.sleep(0.001)
    return True


def wait_until_it_listens(process: Forked) -> None:
    """Waits until the run handles its signals itself, by what the kernel says."""
    until = time.monotonic() + 30
    while process.poll() is None:
        status = Path(f"/proc/{process.pid}/status").read_text()
        caught = next(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("SigCgt"))
        if caught >> (signal.SIGHUP - 1) & 1:
            return
        assert time.monotonic() < until, "the run never listens"
        time.sleep(0.002)


def wait_until_stopped(pid: int) -> None:
    until = time.monotonic() + 60
    while Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "T":
        assert time.monotonic() < until, "the run does not stop"
        time.sleep(0.01)


def wait_until_it_stands(world: World, process: Forked) -> None:
    """Stops the run, which the caller continues, and waits until the server has made the writes in flight: it
    answers twice with the same entries."""
    process.send_signal(signal.SIGSTOP)
    wait_until_stopped(process.pid)
    until = time.monotonic() + 30
    before, now = None, world.stamps()
    while now != before:
        assert time.monotonic() < until, "somebody else writes"
        before, now = now, world.stamps()


def killed_at(world: World, call: str, number: int, config: Path | None = None) -> bool:
    """kill -9 before the system call of that name and number; False if there are fewer of them."""
    code, _ = signalled(world, signal.SIGKILL, call, number, config=config)
    return code == -signal.SIGKILL


def signalled(
    world: World,
    sent: signal.Signals,
    call: str,
    number: int,
    *,
    path: Path | None = None,
    config: Path | None = None,
) -> tuple[int, str]:
    """Runs a night that gets a signal at the system call of that name and number, counting only those about
    the file `path` if one is given; returns its exit code and its stdout."""
    log = world.folder / "strace.log"
    word = sent.name.removeprefix("SIG")
    about = ["-P", str(path)] if path else []
    fault = [*about, "-e", f"trace={call}", "-e", f"inject={call}:signal={word}:when={number}"]
    process = world.spawn_program(["strace", "-qq", "-o", str(log), *fault, *world.night(config=config)])
    try:
        out, _ = process.communicate(timeout=world.limit)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    return process.returncode, out


def calls_of(
    world: World,
    config: Path | None = None,
    reset: Callable[[], object] | None = None,
    *,
    nights_run: int = 3,
) -> list[tuple[str, int]]:
    """Name and number of each system call of an undisturbed night, in order; leaves the world after it.

    How many pieces a long answer comes in varies (454 to 1,077 recvfrom were seen in one night). So the one
    with the fewest of these nights is used, and only the first third of them counts. How often a night asks
    at its end whether the other server has everything varies as well: if a call is not equally frequent in
    these nights, its last ones are left out too.
    """
    log = world.folder / "strace.log"
    trace = ["strace", "-qq", "-o", str(log), "-e", f"trace={','.join(CALLS)}"]
    nights: list[list[str]] = []
    for number in range(nights_run):
        if number:
            (reset or world.reset)()
        done = world.run([*trace, *world.night(config=config)])
        assert done.code == 0, done.said
        nights.append([line.partition("(")[0] for line in log.read_text().splitlines()])
    names = min(nights, key=lambda names: names.count("recvfrom"))
    counts = {name: {night.count(name) for night in nights} for name in CALLS}
    most = {name: min(per_night) - (2 if len(per_night) > 1 else 0) for name, per_night in counts.items()}
    numbers: Counter[str] = Counter()
    calls = []
    for name in names:
        numbers[name] += 1
        if numbers[name] <= (names.count(name) // 3 if name == "recvfrom" else most[name]):
            calls.append((name, numbers[name]))
    return calls


def some_moment(world: World, process: Forked, rng: random.Random) -> str:
    """Waits for a random moment of the run and describes it; a fifth are before it writes, the others while.

    It is found by what the run has written, so that it is within the run on a busy machine too.
    """
    if rng.random() < 0.2:
        seconds = rng.uniform(0, 0.4) * world.seconds
        time.sleep(seconds)
        return f"{seconds:.3f} s after it began"
    # the line that begins the run, or the intents or the outcomes of one batch of a hundred
    lines = rng.choice([1, 2, 102, 102, 202, 302, 302, 402, 502, 502, 602, len(world.changed) * 2 + 2])
    return f"{wait_into_batch(world, process, lines, rng):.3f} s after line {lines}"


def wait_into_batch(world: World, process: Forked, lines: int, rng: random.Random) -> float:
    """Waits until the run, started just now, has written `lines` lines, then for a random part of a batch;
    returns the seconds of that part."""
    share, began = rng.uniform(0, 0.12), time.monotonic()
    # at the pace of this run: on a busy machine the pace of another run says little
    scale = 1.0
    if lines > IN_FIRST_BATCH:
        # the pace of the writes alone: the part before them takes longer than all the writes that follow
        wait_for_lines(world, process, IN_FIRST_BATCH)
        began, scale = time.monotonic(), 5 * 200 / (lines - IN_FIRST_BATCH)
    if not wait_for_lines(world, process, lines):
        return 0.0
    seconds = share * scale * (time.monotonic() - began)
    time.sleep(seconds)
    return seconds


def need_strace(*, of_paths: bool = False) -> None:
    """Skips a test that needs strace; `of_paths`: it follows the calls about some files."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed: apt install strace")
    if of_paths and os.geteuid():
        pytest.skip("piactl hides its memory, so only root's strace sees which files it names")
