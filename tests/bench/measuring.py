"""Runs one command and measures what it cost, including the server's part.

The kernel counts the memory of the parent at the start of a command as memory of that command. So the bench
stays small, and no peak is below some 30 MiB.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Timer

from bench.servers import Server

_LONGEST = 4 * 3600
_TICKS = os.sysconf("SC_CLK_TCK")


class CommandFailed(Exception):
    """A command of a bench did not do its work: its figures mean nothing."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What one command cost: seconds of wall clock, seconds of CPU in the client and in what it started, and
    in slapd; MiB of memory at the peak; the number of entries written below the accounts; and, with two
    providers, the seconds after the end until the second one had everything."""

    wall: float
    cpu: float
    slapd: float
    peak: float
    writes: int = 0
    lag: float = 0.0


def measure(command: Sequence[str], log: Path, server: Server) -> Sample:
    """Runs the command with its output in `log`. Raises CommandFailed if its exit code is not 0, nor 5 of a
    night for a case that nobody decides here."""
    since, before = datetime.now(UTC), {pid: _ticks(pid) for pid in server.pids}
    begun = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=server.environment,
        )
        alarm = Timer(_LONGEST, process.kill)
        alarm.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
        finally:
            alarm.cancel()
    wall = time.monotonic() - begun
    process.returncode = os.waitstatus_to_exitcode(status)
    end = log.read_text(encoding="utf-8", errors="replace")[-2000:] if process.returncode else ""
    if process.returncode and not (process.returncode == 5 and "undecided for more than" in end):
        raise CommandFailed(f"{' '.join(command)}\nexit code {process.returncode}:\n{end}")
    if not all(Path(f"/proc/{pid}").exists() for pid in server.pids):
        server.find()  # the command has restarted it
    lag = server.settle()
    slapd = sum(_ticks(pid) - before.get(pid, 0) for pid in server.pids) / _TICKS
    writes = server.written_since(since)
    return Sample(wall, usage.ru_utime + usage.ru_stime, slapd, usage.ru_maxrss / 1024, writes, lag)


def _ticks(pid: int) -> int:
    """The CPU that a process has used so far, in 1/_TICKS of a second."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
