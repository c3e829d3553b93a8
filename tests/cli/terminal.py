"""A command at a terminal: a pseudo-terminal on all three streams, with answers to what it asks."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import time
from collections.abc import Mapping

from tests.story.academy import Academy

_OF_THE_CALLER = ("NO_COLOR", "PAGER", "LESS", "SUDO_UID", "LINES", "COLUMNS")


def at_terminal(
    academy: Academy,
    *words: str,
    answers: Mapping[str, str] | None = None,
    seconds: float = 30,
    **environment: str,
) -> tuple[int, str]:
    """The exit code, and all that was on the screen. Each answer is typed as soon as its question appears."""
    master, slave = pty.openpty()
    usual = {n: v for n, v in academy.environment().items() if n not in _OF_THE_CALLER}
    environment = {**usual, "TERM": "dumb", **environment}
    process = subprocess.Popen(
        academy.words(*words),
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=environment,
        start_new_session=True,
    )
    os.close(slave)
    screen, waiting = b"", dict(answers or {})
    end = time.monotonic() + seconds
    try:
        while time.monotonic() < end:
            if select.select([master], [], [], 0.1)[0]:
                try:
                    piece = os.read(master, 4096)
                except OSError:
                    break
                if not piece:
                    break
                screen += piece
            for question in [q for q in waiting if q.encode() in screen]:
                os.write(master, waiting.pop(question).encode() + b"\n")
        else:
            process.kill()
            raise AssertionError(f"no end after {seconds} s: {screen!r}")
        code = process.wait(timeout=seconds)
    finally:
        os.close(master)
        if process.poll() is None:
            process.kill()
            process.wait()
    assert not waiting, f"never asked: {list(waiting)}; {screen!r}"
    text = screen.decode("utf-8", "replace").replace("\r\n", "\n")
    academy.said.append(text)
    assert "Traceback" not in text, text
    return code, text
