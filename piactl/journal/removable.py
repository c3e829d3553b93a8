"""Which lines of the journal may go: the oldest, whole runs, nothing that is still needed."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from datetime import datetime

from piactl.core.journalline import CUT, Head
from piactl.journal import locks
from piactl.journal.headfile import SUFFIX
from piactl.journal.reading import read_lines, text_of


@dataclass(frozen=True, slots=True)
class Removable:
    """What can go: `lines` lines, the oldest written at `since`, up to `removed`. `kept` are runs because of
    which lines before the day stay: under way, in doubt, or not yet over on that day."""

    removed: Head
    lines: int
    since: str
    kept: tuple[str, ...]


@dataclass(slots=True)
class _Extent:
    """The lines of one run: the number of the first and what it follows, and the number of the last."""

    first: int
    after: str
    last: float


def removable(path: str, before: datetime) -> Removable | None:
    """The oldest lines that were all written before that instant and that nothing after them needs.

    None where there are none. Whole runs only, and never one that is alive or that left an intent without
    an outcome: everything from its first line on stays. Raises JournalUnusable.
    """
    limit = text_of(before)
    runs: dict[str, _Extent] = {}
    intents: dict[int, str] = {}  # still open: number, run
    bound: tuple[int, str] | None = None
    first, since, end = 0, "", (1, "")
    for line in read_lines(path):
        if line.type == CUT:
            continue
        if not first:
            first, since = line.seq, line.time
        if bound is None and line.time >= limit:
            bound = line.seq, line.prev
        runs.setdefault(line.run, _Extent(line.seq, line.prev, 0)).last = line.seq
        if line.type == "intent":
            intents[line.seq] = line.run
        elif line.type in ("outcome", "resolved"):
            # what settles an intent belongs to its run, whoever wrote it
            run = intents.pop(line.fields["intent"], "")
            if run in runs:
                runs[run].last = line.seq
        end = line.seq + 1, line.hash
    bound = bound or end
    for run in {*intents.values(), *_alive(path, runs)}:
        runs[run].last = math.inf
    place, kept = _moved_back(bound, runs)
    if not first or place[0] <= first:
        return None
    return Removable(Head(place[0] - 1, place[1]), place[0] - first, since, kept)


def _moved_back(bound: tuple[int, str], runs: dict[str, _Extent]) -> tuple[tuple[int, str], tuple[str, ...]]:
    """The cut moved to before every run that it would cut in two, and those runs."""
    kept = []
    for run, extent in sorted(runs.items(), key=lambda pair: pair[1].first, reverse=True):
        if extent.first < bound[0] <= extent.last:
            bound = extent.first, extent.after
            kept.append(run)
    return bound, tuple(kept)


def _alive(path: str, runs: dict[str, _Extent]) -> set[str]:
    try:
        fd = os.open(path + SUFFIX, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return set()
    try:
        return {run for run in runs if locks.is_alive(fd, run)}
    finally:
        os.close(fd)
