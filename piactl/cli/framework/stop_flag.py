"""Handles signals during a run: the run finishes and records the current write, then stops."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class StopFlag:
    """Calling it returns the name of the received signal, "" if there was none."""

    def __init__(self) -> None:
        self.name = ""

    def __call__(self) -> str:
        return self.name


@contextmanager
def stop_on_signals() -> Iterator[StopFlag]:
    flag = StopFlag()

    def note(number: int, _frame: FrameType | None) -> None:
        flag.name = signal.Signals(number).name

    before = {number: signal.signal(number, note) for number in _SIGNALS}
    try:
        yield flag
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
