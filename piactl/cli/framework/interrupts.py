"""Ctrl-C while piactl starts: nothing has begun, and an interrupt inside an import would be a traceback."""

from __future__ import annotations

import os
import signal
from typing import NoReturn

from piactl.phrase import Phrase

NOTHING_BEGUN = Phrase("interrupted; nothing was changed")
_words: str = NOTHING_BEGUN


def leave_at_once() -> None:
    """From now on Ctrl-C ends the process without a traceback, unless the caller has it ignored."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)


def _leave(_number: int, _frame: object) -> NoReturn:
    os.write(2, f"piactl: {_words}\n".encode())
    os._exit(130)


def speak(words: str) -> None:
    """From now on it says this; in English until the language is known."""
    global _words
    _words = words


def reach_the_command() -> None:
    """From now on Ctrl-C is an exception for the command, which knows what it has begun."""
    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)
