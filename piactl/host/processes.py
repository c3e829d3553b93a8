"""Processes of this host, as the kernel shows them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Process:
    """`name` is the beginning of the name of its program, `terminal` whether it has a controlling terminal.
    `began` is its start in clock ticks since boot, which tells it from a later one with the same number.
    `ended`: only its exit code is left."""

    name: str
    parent: int
    terminal: bool
    began: int
    ended: bool


def read_process(pid: int) -> Process | None:
    """The process with this number; None if there is none, or if /proc hides it."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    # the name is in parentheses, and may hold anything
    before, _, after = text.rpartition(")")
    state, parent, _group, _session, terminal, *others = after.split()
    return Process(before.partition("(")[2], int(parent), terminal != "0", int(others[14]), state in "ZX")


def process_began(pid: int) -> int:
    """`began` of a process; 0 if there is none, or if /proc hides it."""
    process = read_process(pid)
    return process.began if process is not None else 0


def is_alive(pid: int, began: int) -> bool:
    """Whether the process of this boot with that number and start still runs. One that exists and that /proc
    hides counts as it."""
    process = read_process(pid)
    if process is not None:
        return process.began == began and not process.ended
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def this_boot() -> str:
    """The boot of this machine; "" if the system does not show it."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def this_place() -> str:
    """The boot of this machine and its process namespace; "" if the system does not show them."""
    try:
        namespace = Path("/proc/self/ns/pid").readlink()
    except OSError:
        return ""
    return f"{boot} {namespace}" if (boot := this_boot()) else ""
