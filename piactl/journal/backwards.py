"""Reading a file from its end, line by line."""

from __future__ import annotations

import os
from collections.abc import Iterator

from piactl.core.journalline import MAX_LINE, BrokenLine

_CHUNK = 64 * 1024


def lines_backwards(fd: int, end: int) -> Iterator[bytes]:
    """The lines before offset `end`, last first, with their newlines; the first given may lack its own.

    Raises BrokenLine at a line that is longer than any that is ever written.
    """
    pieces: list[bytes] = []  # of the line that is being found, last piece first
    length = 0
    while end:
        start = max(0, end - _CHUNK)
        chunk = os.pread(fd, end - start, start)
        if len(chunk) < end - start:
            raise BrokenLine("was cut while it was being read", torn=False)
        end = start
        *rest, tail = chunk.split(b"\n")
        if not rest:
            pieces.append(tail)
            length += len(tail)
            if length > MAX_LINE:
                raise BrokenLine(f"is longer than {MAX_LINE} bytes", torn=False)
            continue
        last = tail + b"".join(reversed(pieces))
        if last:
            yield last
        for line in reversed(rest[1:]):
            yield line + b"\n"
        pieces = [rest[0] + b"\n"]
        length = len(pieces[0])
    last = b"".join(reversed(pieces))
    if last:
        yield last


def last_line(fd: int, end: int) -> bytes:
    """The line that ends at offset `end`, b"" at the beginning of the file. Raises BrokenLine."""
    return next(lines_backwards(fd, end), b"")
