"""A program that runs a command of piactl and kills it at one call of certain functions."""

from __future__ import annotations

import signal

from tests.cli.streams import shared_forks

from .academy import Academy

_PROGRAM = """
import os, signal, sys
from piactl.cli.main import run
from piactl.runs import apply_plan as executor
from piactl.runs import hooks
from piactl.runs import run as runs
from piactl.runs import write_ahead
write_ahead.BATCH = 2
number, *words = sys.argv[1:]
made = 0
def die(function):
    def dying(*given, **named):
        global made
        made += 1
        if made == int(number):
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*given, **named)
    return dying
for name in {names}:
    module, attribute = name.split(".")
    setattr(globals()[module], attribute, die(getattr(globals()[module], attribute)))
sys.exit(run(words))
"""


def killed_at_calls_of(*names: str) -> str:
    """The source of the program. Its first argument is the number of the call, counted over all functions in
    `names` (`write_ahead.Settlement`, `hooks.called`); the others are the words of the command."""
    return _PROGRAM.replace("{names}", repr(names))


def killed_by(program: str, academy: Academy, *words: str) -> None:
    """Runs such a program, which must be killed, in a process of its own."""
    code, _, messages = shared_forks().ended(words, academy.sandbox.config, academy.folder, program=program)
    assert code == -signal.SIGKILL, messages
