"""A command at a terminal: a pseudo-terminal on all three streams, with answers to what it asks."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import termios
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from tests.story.academy import Academy

from .streams import Forked, shared_forks

_OF_THE_CALLER = ("NO_COLOR", "SUDO_UID", "LINES", "COLUMNS")


@contextmanager
def begun_at_terminal(
    academy: Academy, *words: str, columns: int = 0, **environment: str
) -> Iterator[tuple[Forked, int]]:
    """Starts a command; yields its process and the terminal, to read the screen and to type."""
    master, slave = pty.openpty()
    if columns:
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 60, columns, 0, 0))
    usual = {n: v for n, v in academy.environment().items() if n not in _OF_THE_CALLER}
    process = shared_forks().start(
        words,
        academy.sandbox.config,
        academy.folder,
        terminal=os.ttyname(slave),
        environment={**usual, "TERM": "dumb", **environment},
    )
    os.close(slave)
    try:
        yield process, master
    finally:
        os.close(master)
        process.kill()
        process.wait(30)


def at_terminal(
    academy: Academy,
    *words: str,
    answers: Mapping[str, str] | None = None,
    typed: str = "",
    seconds: float = 30,
    columns: int = 0,
    **environment: str,
) -> tuple[int, str]:
    """The exit code, and all that was on the screen. Each answer is typed as soon as its question appears,
    and `typed` at once."""
    screen, waiting = b"", dict(answers or {})
    end = time.monotonic() + seconds
    with begun_at_terminal(academy, *words, columns=columns, **environment) as (process, master):
        os.write(master, typed.encode())
        while piece := _piece(master, end):
            screen += piece
            for question in [q for q in waiting if q.encode() in screen]:
                os.write(master, waiting.pop(question).encode() + b"\n")
        code = process.wait(seconds)
    assert not waiting, f"never asked: {list(waiting)}; {screen!r}"
    text = screen.decode("utf-8", "replace").replace("\r\n", "\n")
    academy.said.append(text)
    assert "Traceback" not in text, text
    return code, text


def _piece(master: int, end: float) -> bytes:
    """The next piece of the screen; b"" when the command has left the terminal."""
    assert select.select([master], [], [], max(0.0, end - time.monotonic()))[0], "no end in time"
    try:
        return os.read(master, 4096)
    except OSError:
        return b""
