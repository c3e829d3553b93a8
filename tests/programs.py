"""Programs that stop, kill or break piactl at a moment inside it, and the same for a command in this process.

If that moment moves inside piactl, it moves here, and no test of the acceptance suite (outside.py) changes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from piactl.cli.framework.account_command import AccountCommand

ASK = "import dataclasses, json; from piactl.journal import who; print(json.dumps(dataclasses.asdict(who())))"
"""A program that prints whom the journal names as the author."""
KILLER = """
import os, signal, sys
from piactl.cli.main import run
from piactl.runs import write_ahead
write_ahead.BATCH = 1
moment, number, *words = sys.argv[1:]
made = 0
def count():
    global made
    made += 1
    if made == int(number):
        os.kill(os.getpid(), signal.SIGKILL)
intended, settlement = write_ahead.JournalledWriting._intended, write_ahead.Settlement
def before(self, writes):
    for write in intended(self, writes):
        count()
        yield write
def after(*values):
    count()
    return settlement(*values)
if moment == "before":
    write_ahead.JournalledWriting._intended = before
else:
    write_ahead.Settlement = after
sys.exit(run(words))
"""
"""A program that dies before or after the write of this number of a command, in its own batch."""
WITHOUT_READ_BACK = "import piactl.runs.begin_run as r; r.settle_doubts = lambda run: 0"
"""A run that does not read back the writes that an earlier one left in doubt."""
CHECKS_ITS_LOCK_NO_MORE = """
from piactl.runs.run_lock import RunLock
RunLock.check = lambda self: None
RunLock.keep = lambda self: None
"""
"""A run that does not notice that another one took over its lock."""
STOPS_BEFORE_ITS_RECORD = """
import os, signal
from piactl.runs import run
put_run_record = run.put_run_record
def stopping(*arguments, **options):
    run.put_run_record = put_run_record
    os.kill(os.getpid(), signal.SIGSTOP)
    put_run_record(*arguments, **options)
run.put_run_record = stopping
"""
"""A run that stops before it first writes its record."""
WITHOUT_SERVER = """
import sys
from piactl.directory.write.pipelined_writer import PipelinedWriter
from piactl.errors import DirectoryUnreachable
from piactl.cli.main import main
whole = PipelinedWriter.write
def cut(self, writes):
    for result in whole(self, writes):
        yield result
        if 'uid=' in result.write.dn:
            raise DirectoryUnreachable('the server went away')
PipelinedWriter.write = cut
main()
"""
"""A command whose server goes away after its first write of an account."""


def stopped_at_write(number: int) -> str:
    """A run that stops at the write of this number, between its look at the lock and sending it."""
    return f"""
import os, signal
from piactl.runs.run_lock import RunLock
real_check, left = RunLock.check, [{number}]
def check(self):
    real_check(self)
    left[0] -= 1
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGSTOP)
RunLock.check = check
"""


def before_writing(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], object]) -> None:
    """Makes this happen once a one-off command has read its accounts, before it writes."""
    confirm = AccountCommand.confirm

    def meanwhile(*arguments: Any) -> None:
        happens()
        confirm(*arguments)

    monkeypatch.setattr(AccountCommand, "confirm", meanwhile)
