"""An export: the lines of a period as they are, with what proves them without the journal they came from.

The first line, of type `export`, stands in for everything before the period: it has the number and, as its
`prev`, the hash of the line before, so the first exported line follows it. It names the head that the last
exported line must be, how many lines there are, which period, of which host, by whom and when.

What an export proves by itself: that between its first and its last line nothing was edited, removed, added
or moved after it was made, except by somebody who made all hashes anew, first line and end included. Against
that hand, compare its head (number and hash) with one that was kept elsewhere when it was made, or verify
the journal that it came from. It does not prove that what it says happened, nor anything outside the period.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from piactl.core.journal_line import (
    CUT,
    EXPORT,
    BrokenLine,
    Head,
    JournalLine,
    ended,
    gap,
    proved,
    sealed_in_place,
)
from piactl.journal.errors import chain_broken, unreadable
from piactl.journal.query import read_lines, text_of
from piactl.journal.rotated_files import files_of, raw_lines


@dataclass(frozen=True, slots=True)
class Extract:
    """Which lines are exported: those after `before`, up to `head`; there are `lines`."""

    before: Head
    head: Head
    lines: int


def extract(path: str, since: datetime | None, until: datetime | None) -> Extract | None:
    """The lines from the first to the last of a period (both instants included), None where it has none.

    Where the clock was put back, lines of another time lie between them and come along.
    Raises JournalUnusable.
    """
    first, last = text_of(since) if since else "", text_of(until) if until else "~"
    before = head = None
    for line in read_lines(path):
        if line.type != CUT and first <= line.time <= last:
            before = before or Head(line.seq - 1, line.prev)
            head = line.head
    if before is None or head is None:
        return None
    return Extract(before, head, head.seq - before.seq)


def export_lines(path: str, what: Extract, facts: Mapping[str, str], now: datetime) -> Iterator[bytes]:
    """The bytes of the export, line by line, each proved as it passes.

    `facts` are said in the first line: since, until (the days that were asked for, "" for none), host, by.
    Raises JournalUnusable at a line that is not whole: what came before it is then no export.
    """
    head = {"seq": what.head.seq, "hash": what.head.hash}
    body = {**facts, "type": EXPORT, "time": text_of(now), "run": "", "lines": what.lines, "head": head}
    yield sealed_in_place(body, what.before)
    at = what.before
    for name in files_of(path):
        number = 0
        try:
            for raw, _more in raw_lines(name):
                number += 1
                line = proved(ended(raw))
                if line.type == CUT or line.seq <= what.before.seq:
                    continue
                _follows(at, line)
                yield raw
                at = line.head
                if at == what.head:
                    return
        except BrokenLine as broken:
            raise unreadable(name, number, str(broken)) from None
    raise chain_broken(path, f"line {what.head.seq} is not there any more")


def _follows(at: Head, line: JournalLine) -> None:
    if why := gap(at, line):
        raise BrokenLine(why, torn=False)
