"""Intents of which nobody knows what became: a run died between the intent and its outcome.

`run` and `end` lines carry `clean`: every intent with a lower number is settled. That stays true for ever,
so reading back from the end of the file may stop there: it costs what was written since the last run that
left nothing in doubt, not what the journal holds.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from piactl.core.journal_line import BrokenLine, JournalLine
from piactl.journal import file_locks as locks
from piactl.journal.errors import refused_by_system, unreadable
from piactl.journal.head_file import SUFFIX
from piactl.journal.intent import Intent, intent_of
from piactl.journal.rotated_files import newest_first


class Unsettled(NamedTuple):
    """Intents without an outcome, in order, and the number below which every intent is settled. `hidden`:
    there are lines above that number that were rotated out of sight."""

    intents: tuple[JournalLine, ...]
    clean: int
    hidden: bool = False


def unsettled(path: str) -> Unsettled:
    """Reads back as far as needed. Raises JournalUnusable where it meets a line that cannot be read."""
    settled: set[int] = set()
    found: list[JournalLine] = []
    clean: int | None = None
    last = reached = 0
    try:
        for line in newest_first(path):
            last = last or line.seq
            if clean is not None and line.seq < clean:
                reached = clean
                break
            reached = line.seq
            if line.type in ("outcome", "resolved"):
                settled.add(line.fields["intent"])
            elif line.type == "intent" and line.seq not in settled:
                found.append(line)
            elif line.type in ("run", "end") and clean is None:
                clean = line.fields["clean"]
    except BrokenLine as broken:
        raise unreadable(path, 0, f"before number {reached} {broken}" if reached else str(broken)) from None
    except (KeyError, TypeError):
        raise unreadable(path, 0, f"before number {reached} lacks what belongs to its type") from None
    except OSError as refused:
        raise refused_by_system(path, refused) from None
    found.reverse()
    if clean is not None and reached > clean:
        # what lies between was rotated out of sight: it must not be called settled
        return Unsettled(tuple(found), clean, hidden=True)
    return Unsettled(tuple(found), found[0].seq if found else last + 1)


def in_doubt(path: str) -> list[Intent]:
    """The intents that need reading back, oldest first: without outcome, of runs that are no longer alive.

    A run that is alive on this host is still at work on its own. Raises JournalUnusable.
    """
    lines = unsettled(path).intents
    if not lines:
        return []
    try:
        fd = os.open(path + SUFFIX, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return [intent_of(line) for line in lines]
    try:
        alive = {run for run in {line.run for line in lines} if locks.is_alive(fd, run)}
    finally:
        os.close(fd)
    return [intent_of(line) for line in lines if line.run not in alive]
