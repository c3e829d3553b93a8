"""Ctrl-C while piactl starts: nothing has begun, and an interrupt inside an import would be a traceback."""

from __future__ import annotations

import os
import signal
from typing import NoReturn


def leave_at_once() -> None:
    """From now on Ctrl-C ends the process without a traceback, unless the caller has it ignored."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)


def _leave(_number: int, _frame: object) -> NoReturn:
    # in English, because the French may not be there yet
    os.write(2, b"piactl: interrupted; nothing was changed\n")
    os._exit(130)


def reach_the_command() -> None:
    """From now on Ctrl-C is an exception for the command, which knows what it has begun."""
    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)
