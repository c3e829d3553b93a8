"""Ctrl-C while piactl starts: nothing has begun, and an interrupt inside an import would be a traceback."""

from __future__ import annotations

import os
import signal
from typing import NoReturn

from piactl.phrase import Phrase

_NOTHING_BEGUN = Phrase("interrupted; nothing was changed")
_words: str = _NOTHING_BEGUN
"""What Ctrl-C says: English until the language of the environment is known."""


def leave_at_once() -> None:
    """From now on Ctrl-C ends the process without a traceback, unless the caller has it ignored."""
    global _words
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)
    from piactl.translation import translate, use

    use("")
    _words = translate(_NOTHING_BEGUN)


def _leave(_number: int, _frame: object) -> NoReturn:
    os.write(2, f"piactl: {_words}\n".encode())
    os._exit(130)


def reach_the_command() -> None:
    """From now on Ctrl-C is an exception for the command, which knows what it has begun."""
    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)
