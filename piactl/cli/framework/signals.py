"""Signals that ask a writing run to stop: it ends the write in hand, records it, and stops cleanly."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class StopFlag:
    """Called, it gives the name of the signal that came, "" while none did."""

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
