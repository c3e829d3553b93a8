"""The files of a journal, rotated ones included, oldest first; reads them forwards and backwards.

Rotated files lie beside the journal and are named `<journal>.N` or `<journal>-DATE`, with or without a time,
also with `.gz`, `.bz2` or `.xz`. logrotate may use `create` or `nocreate`, `dateext` and `compress`, but not
`copytruncate` (it loses lines written between the copy and the cut), `olddir`, `extension`, or another
compression: such files are named (`unread`).

Up to version 0.2.0 each Unix user that ran piactl on a host had a journal. Those of the other users lie in
the folder `closed` beside the journal, each in a folder of its own: chains that this journal goes on from.
"""

from __future__ import annotations

import bz2
import errno
import gzip
import lzma
import os
import re
import stat
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, cast

from piactl.core.journal_line import (
    MAX_LINE,
    BrokenLine,
    JournalLine,
    ended,
    parsed,
    proved,
)
from piactl.journal.unusable import no_file, refused_by_system, unreadable
from piactl.phrase import Phrase

SUFFIX = ".head"
"""What the name of the head file has after that of its journal (see `append_file`)."""

_CHUNK = 64 * 1024
_ROTATED = re.compile(r"(?:\.[0-9]+|-[0-9]{4,}(?:[-_.:T][0-9]+)*)(\.[A-Za-z]\w*)?")
_COMPRESSIONS: dict[str, Callable[..., AbstractContextManager[object]]] = {
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
}
_DAMAGED = (EOFError, zlib.error, lzma.LZMAError)
_LINE = re.compile(rb"[^\n]*\n|[^\n]+")


def closed_chains(path: str) -> dict[str, str]:
    """The chains that the journal at `path` goes on from, by the name of their folder."""
    heads = sorted((Path(path).parent / "closed").glob(f"*/*{SUFFIX}"))
    return {head.parent.name: str(head).removesuffix(SUFFIX) for head in heads}


def chains_of(path: str) -> tuple[str, ...]:
    """The closed chains, and the journal at `path` last."""
    return (*closed_chains(path).values(), path)


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
    rotated = [str(file) for file in beside if _compression(journal, file) in ("", *_COMPRESSIONS)]
    return (*sorted(rotated, key=_first), *((path,) if journal in beside else ()))


def files_from(path: str, *, seq: int = 0, time: str = "") -> tuple[str, ...]:
    """The files in `files_of` that hold the line with this number, or the lines of this time (UTC, ISO 8601),
    and the later lines. Raises JournalUnusable."""
    files = files_of(path)
    for index in range(len(files) - 1, 0, -1):
        first_seq, first_time = _first(files[index])
        if first_seq and (first_seq <= seq or first_time < time):
            return files[index:]
    return files


def unread(path: str) -> str:
    """Which rotated files beside the journal nobody here can decompress, in a sentence; "" for none."""
    journal = Path(path)
    files = ((str(file), _compression(journal, file)) for file in journal.parent.glob("*"))
    names = ", ".join(sorted(name for name, ending in files if ending not in (None, "", *_COMPRESSIONS)))
    return names and f"not read: {names} (unknown compression)"


def _compression(journal: Path, file: Path) -> str | None:
    """The ending of a rotated file that says how it is compressed, "" for not; None for any other file."""
    name = file.name.removeprefix(journal.name)
    rotated = _ROTATED.fullmatch(name) if name != file.name else None
    return (rotated[1] or "") if rotated else None


def _first(path: str) -> tuple[int, str]:
    """Number and time of the first line of a file, which order the files. One whose first line cannot be read
    comes first: `verify` then names it."""
    with _opened(path) as file:
        try:
            line = parsed(file.readline(MAX_LINE))  # the beginning of a truncated .gz can be read
        except (BrokenLine, OSError, *_DAMAGED):
            return 0, ""
    return line.seq, line.time


@contextmanager
def _opened(path: str) -> Iterator[IO[bytes]]:
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
        if decompress := _COMPRESSIONS.get(Path(path).suffix):
            with decompress(file, "rb") as content:
                yield cast("IO[bytes]", content)
        else:
            yield file


# ---- forwards


def lines_in(data: bytes) -> Iterator[bytes]:
    """The lines in `data` with their newlines; the last one may lack its own."""
    return (match[0] for match in _LINE.finditer(data))


def raw_lines(path: str) -> Iterator[bytes]:
    """Yields the lines of one file. Stops where the file ended when it was opened: a line that is being
    appended meanwhile would look torn. The last line may lack its newline; a line that is too long is cut.

    Raises JournalUnusable, and BrokenLine if a compressed file is damaged.
    """
    with _opened(path) as file:
        remaining = sys.maxsize if Path(path).suffix in _COMPRESSIONS else os.fstat(file.fileno()).st_size
        try:
            while raw := file.readline(min(MAX_LINE + 1, remaining)):
                yield raw
                remaining -= len(raw)
        except OSError as refused:
            if refused.errno is not None:
                raise refused_by_system(path, refused) from None
            raise BrokenLine(f"cannot be decompressed ({refused})", torn=False) from None
        except _DAMAGED as damaged:
            raise BrokenLine(f"cannot be decompressed ({damaged})", torn=False) from None


def lines_of(name: str, skips: Callable[[bytes], bool] = lambda _raw: False) -> Iterator[JournalLine]:
    """Yields the lines of one file, except those that `skips` selects. Hashes are not proved (`verify` does
    that); a last line that is still being written is left out. Raises JournalUnusable for a line that cannot
    be read."""
    number = 0
    lines = raw_lines(name)
    try:
        for raw in lines:
            number += 1
            if skips(raw):
                continue
            try:
                line = parsed(ended(raw))
            except BrokenLine as broken:
                if broken.torn and next(lines, None) is None:
                    return
                raise
            yield line
    except BrokenLine as broken:
        raise unreadable(name, number, str(broken)) from None


# ---- backwards


def newest_lines(path: str) -> Iterator[JournalLine]:
    """Yields the lines of all files of the chain, last first, each proved by its hash; a torn tail is left
    out.

    Plain files are read from their end, only as far as needed; compressed ones must be read whole.
    Raises JournalUnusable, also for a line in the middle that cannot be read.
    """
    reached = 0
    try:
        for name in reversed(files_of(path)):
            for line in _newest_of_file(name):
                reached = line.seq
                yield line
    except BrokenLine as broken:
        before = f"before number {reached} " if reached else ""
        raise unreadable(path, 0, f"{before}{broken}") from None
    except OSError as refused:
        raise refused_by_system(path, refused) from None


def newest_line(name: str) -> JournalLine | None:
    """The last whole line of one file, None for a file without one. Raises JournalUnusable."""
    try:
        return next(_newest_of_file(name), None)
    except BrokenLine as broken:
        raise unreadable(name, 0, str(broken)) from None
    except OSError as refused:
        raise refused_by_system(name, refused) from None


def _newest_of_file(name: str) -> Iterator[JournalLine]:
    if Path(name).suffix in _COMPRESSIONS:
        yield from (line for line, _ in proved_from_end([*raw_lines(name)][::-1], 0))
        return
    with _opened(name) as file:
        size = os.fstat(file.fileno()).st_size
        yield from (line for line, _ in proved_from_end(lines_backwards(file.fileno(), size), size))


def proved_from_end(lines: Iterable[bytes], end: int) -> Iterator[tuple[JournalLine, int]]:
    """The lines of one file, last first, each with the offset at which it ends, if `end` is that of the last
    one; a torn tail is left out. Raises BrokenLine."""
    for number, raw in enumerate(lines):
        try:
            line = proved(ended(raw))
        except BrokenLine as broken:
            if number or not broken.torn:
                raise
        else:
            yield line, end
        end -= len(raw)


def lines_backwards(fd: int, end: int) -> Iterator[bytes]:
    """Yields the lines before offset `end`, last first, with their newlines; the first one may lack its own.

    Raises BrokenLine at a line longer than MAX_LINE, OSError if the file is cut while it is being read.
    """
    begun = b""  # the lines whose beginning may be further ahead
    while end:
        start = max(0, end - _CHUNK)
        begun, *lines = lines_in(read_between(fd, start, end) + begun)
        end = start
        yield from reversed(lines)
        if len(begun) > MAX_LINE:
            raise BrokenLine(f"is longer than {MAX_LINE} bytes", torn=False)
    if begun:
        yield begun


def read_between(fd: int, start: int, end: int) -> bytes:
    """All bytes from `start` to `end`. Raises OSError if the file is shorter."""
    pieces = []
    while start < end:
        piece = os.pread(fd, end - start, start)
        if not piece:
            raise OSError(errno.EIO, Phrase("it got shorter while it was being read"))
        pieces.append(piece)
        start += len(piece)
    return b"".join(pieces)
