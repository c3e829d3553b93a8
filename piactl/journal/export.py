"""Exports: the unchanged lines of a period, with a first line that makes them verifiable by themselves.

The first line, of type `export`, replaces everything before the period: it has the number of the line before
and, as its `prev`, the hash of that line, so the first exported line follows it. It names the head that the
last exported line must be, the number of lines, the period, the host, the author and the time.

An export proves that no line between its first and its last was edited, removed, added or moved afterwards,
unless all hashes were computed anew. To exclude that, compare its head (number and hash) with one that was
stored elsewhere, or verify the journal that it came from. It proves neither that the events happened nor
anything outside the period.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
from piactl.dataclass import dataclass
from piactl.journal.errors import chain_broken, unreadable
from piactl.journal.query import read_lines, text_of
from piactl.journal.rotated_files import files_of, raw_lines


@dataclass(frozen=True, slots=True)
class Extract:
    """The exported lines: those after `before`, up to and including `head`; `lines` is their number."""

    before: Head
    head: Head
    lines: int


def extract(path: str, since: datetime | None, until: datetime | None) -> Extract | None:
    """The lines from the first to the last of a period (both instants included); None if it has none.

    If the clock was put back, lines of another time may lie between them; they are included. Raises
    JournalUnusable.
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
    """Yields the lines of the export and proves each.

    `facts` are fields of the first line: since, until (the days of the request, "" for none), host, by.
    Raises JournalUnusable for a broken line; the lines before it are then no valid export.
    """
    opening = {"type": EXPORT, "time": text_of(now), "run": "", "lines": what.lines}
    body = {**facts, **opening, "head": what.head._asdict()}
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
