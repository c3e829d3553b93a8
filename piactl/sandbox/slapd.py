"""Starts slapd in its own session, and identifies it later so that no other process is ended."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from piactl.errors import SandboxUnavailable

_STOP_SECONDS = 15.0
_KILL_SECONDS = 5.0

# An anonymous simple bind, message 1: the shortest question that every LDAP server answers.
_ANONYMOUS_BIND = bytes.fromhex("300c020101600702010304008000")


@dataclass(frozen=True, slots=True)
class Process:
    """One process of this boot: a pid that was given to another process since has other ticks."""

    pid: int
    started_ticks: int
    boot: str

    def alive(self) -> bool:
        return _observe(self.pid) == self


def _observe(pid: int) -> Process | None:
    """The process that has `pid` now; None where there is none, or only the remains of one."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return None
    # the second field is the program's name in parentheses, and may hold anything
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else Process(pid, int(fields[19]), boot)


def remember(process: Process, file: Path) -> None:
    """Writes down which process it is."""
    fresh = file.with_suffix(".new")
    fresh.write_text(json.dumps(asdict(process)) + "\n", encoding="ascii")
    fresh.replace(file)


def recall(file: Path) -> Process | None:
    """The process that `remember` wrote down, if it is still that one. Raises OSError."""
    try:
        process = Process(**json.loads(file.read_text(encoding="ascii")))
    except (FileNotFoundError, ValueError, TypeError):
        return None
    return process if process.alive() else None


def launch(command: list[str], log: Path) -> Process:
    """Starts `command` in a session of its own, so that it outlives this one; output goes to `log`."""
    with log.open("ab") as output:
        # The shell leaves at once, so that the server is nobody's child and needs nobody to wait for it
        shell = subprocess.run(
            ["/bin/sh", "-c", '"$@" </dev/null >&2 & echo $!', "sh", *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=output,
            start_new_session=True,
            check=True,
        )
    process = _observe(int(shell.stdout))
    if process is None:
        raise SandboxUnavailable(f"slapd ended at once\n{last_lines(log)}")
    return process


def wait_until_answering(process: Process, path: Path, log: Path, *, seconds: float = 10.0) -> None:
    """Returns when the server on the Unix socket `path` answers a bind.

    Raises SandboxUnavailable with the end of its log when it dies or is silent for `seconds`.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if _answers(path):
            return
        if not process.alive():
            raise SandboxUnavailable(f"slapd ended while it started\n{last_lines(log)}")
        time.sleep(0.01)
    raise SandboxUnavailable(f"slapd did not answer within {seconds:.0f} seconds\n{last_lines(log)}")


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(1.0)
        try:
            connection.connect(str(path))
            connection.sendall(_ANONYMOUS_BIND)
            return connection.recv(1) == b"0"
        except OSError:
            return False


def end(process: Process) -> None:
    """Ends exactly this process and waits for it: asked first, then, after 15 seconds, by force.

    Raises SandboxUnavailable when it is still there.
    """
    for wanted, seconds in ((signal.SIGTERM, _STOP_SECONDS), (signal.SIGKILL, _KILL_SECONDS)):
        if not process.alive():
            return
        try:
            os.kill(process.pid, wanted)
        except ProcessLookupError:
            return
        deadline = time.monotonic() + seconds
        while process.alive() and time.monotonic() < deadline:
            time.sleep(0.01)
    if process.alive():
        raise SandboxUnavailable(f"slapd (pid {process.pid}) does not end")


def last_lines(log: Path, count: int = 8) -> str:
    """The end of a log, for a message; where nothing is written there, that."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-count:]
    except OSError:
        lines = []
    shown = "\n".join(f"  {line}" for line in lines)
    return f"The end of {log}:\n{shown}" if lines else f"{log} is empty."
