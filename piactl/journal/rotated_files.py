"""The files of one journal, rotated ones included, oldest first; reads them forwards and backwards.

Rotated files lie beside the journal and are named `<journal>.N` or `<journal>-DATE`, also with `.gz`.
logrotate may use `create` or `nocreate`, `dateext` and `compress`, but not `copytruncate` (it loses lines
written between the copy and the cut), `olddir`, `extension`, or another compression.
"""

from __future__ import annotations

import gzip
import os
import re
import stat
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from piactl.core.journal_line import (
    MAX_LINE,
    NAMES,
    BrokenLine,
    JournalLine,
    ended,
    parsed,
    proved,
    with_names,
)
from piactl.journal.errors import no_file, refused_by_system, unreadable

_CHUNK = 64 * 1024


def lines_backwards(fd: int, end: int) -> Iterator[bytes]:
    """Yields the lines before offset `end`, last first, with their newlines; the first one may lack its own.

    Raises BrokenLine at a line longer than MAX_LINE, or if the file is cut while it is being read.
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


_ROTATED = re.compile(r"(\.[0-9]+|-[0-9]{6,8}([-_.][0-9]+)*)(\.gz)?")


def files_of(path: str) -> tuple[str, ...]:
    """The files of the chain whose newest is at `path` (left out if it is missing), oldest first. Raises
    JournalUnusable if a file cannot be read."""
    journal = Path(path)
    try:
        beside = [*journal.parent.iterdir()]
    except FileNotFoundError:
        return ()
    except OSError as refused:
        raise refused_by_system(path, refused) from None
    rotated = sorted((_first_number(str(file)), str(file)) for file in beside if _is_rotated(journal, file))
    return (*(name for _number, name in rotated), *((path,) if journal in beside else ()))


def files_from(path: str, seq: int) -> tuple[str, ...]:
    """The files in `files_of` that hold the line with this number and the later lines. Raises
    JournalUnusable."""
    files = files_of(path)
    for index in range(len(files) - 1, 0, -1):
        if 0 < _first_number(files[index]) <= seq:
            return files[index:]
    return files


def _is_rotated(journal: Path, file: Path) -> bool:
    name = file.name.removeprefix(journal.name)
    return name != file.name and _ROTATED.fullmatch(name) is not None


def _first_number(path: str) -> int:
    """The number of the first line, which orders the files. A file whose first line cannot be read comes
    first: `verify` then names it."""
    with opened(path) as file:
        try:
            return parsed(file.readline(MAX_LINE)).seq  # the beginning of a truncated .gz can be read
        except (BrokenLine, OSError, EOFError, zlib.error):
            return 0


@contextmanager
def opened(path: str) -> Iterator[IO[bytes]]:
    """The file for reading from its beginning, decompressed. Raises JournalUnusable."""
    try:
        # not blocking: opening a named pipe would wait
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as refused:
        raise refused_by_system(path, refused) from None
    mode = os.fstat(fd).st_mode
    if not stat.S_ISREG(mode):
        os.close(fd)
        raise no_file(path, mode)
    with os.fdopen(fd, "rb") as file:
        if path.endswith(".gz"):
            with gzip.open(file, "rb") as content:
                yield cast("IO[bytes]", content)
        else:
            yield file


@contextmanager
def _decompressed(path: str) -> Iterator[None]:
    """Raises JournalUnusable if the system cannot read on, and BrokenLine if the file cannot be
    decompressed."""
    try:
        yield
    except OSError as refused:
        if refused.errno is not None:
            raise refused_by_system(path, refused) from None
        raise BrokenLine(f"cannot be decompressed ({refused})", torn=False) from None
    except (EOFError, zlib.error) as damaged:
        raise BrokenLine(f"cannot be decompressed ({damaged})", torn=False) from None


def raw_lines(path: str) -> Iterator[tuple[bytes, bool]]:
    """Yields the lines of one file, each with whether more follows. Stops where the file ended when it was
    opened: a line that is being appended meanwhile would look torn. The last line may lack its newline; a
    line that is too long is cut.

    Raises JournalUnusable, and BrokenLine if a compressed file is damaged.
    """
    with opened(path) as file, _decompressed(path):
        remaining = sys.maxsize if path.endswith(".gz") else os.fstat(file.fileno()).st_size
        raw = file.readline(min(MAX_LINE + 1, remaining)) if remaining > 0 else b""
        while raw:
            remaining -= len(raw)
            following = file.readline(min(MAX_LINE + 1, remaining)) if remaining else b""
            yield raw, bool(following)
            raw = following


def newest_lines(path: str) -> Iterator[JournalLine]:
    """Yields the lines of all files of the chain, last first, each proved by its hash, and intents with their
    names (`with_names`); a torn tail is left out.

    Plain files are read from their end, only as far as needed; compressed ones must be read whole.
    Raises JournalUnusable, also for a line in the middle that cannot be read.
    """
    reached = 0
    try:
        for line in _proved_newest_first(path):
            reached = line.seq
            yield line
    except BrokenLine as broken:
        before = f"before number {reached} " if reached else ""
        raise unreadable(path, 0, f"{before}{broken}") from None
    except OSError as refused:
        raise refused_by_system(path, refused) from None


def _proved_newest_first(path: str) -> Iterator[JournalLine]:
    for name in reversed(files_of(path)):
        unnamed: list[JournalLine] = []
        for number, raw in enumerate(raw_newest_first(name)):
            try:
                line = proved(ended(raw))
            except BrokenLine as broken:
                if number == 0 and broken.torn:
                    continue
                raise
            if unnamed or "digests" in line.fields:
                unnamed.append(line)
                if line.type == NAMES:
                    yield from (with_names(unnamed_line, line) for unnamed_line in unnamed)
                    unnamed = []
            else:
                yield line
        yield from unnamed


def newest_line(name: str) -> JournalLine | None:
    """The last whole line of one file, None for a file without one. Raises JournalUnusable."""
    try:
        for raw in raw_newest_first(name):
            try:
                return proved(ended(raw))
            except BrokenLine as broken:
                if not broken.torn:
                    raise
    except BrokenLine as broken:
        raise unreadable(name, 0, str(broken)) from None
    return None


def raw_newest_first(name: str) -> Iterator[bytes]:
    """Yields the lines of one file, last first. Raises BrokenLine and JournalUnusable."""
    if name.endswith(".gz"):
        yield from [raw for raw, _more in raw_lines(name)][::-1]
        return
    with opened(name) as file:
        yield from lines_backwards(file.fileno(), os.fstat(file.fileno()).st_size)
