"""The journal and what logrotate made of it: the files of one chain, oldest first.

Rotated files are found beside the journal by their names: `<journal>.N` and `<journal>-DATE`, also `.gz`.
Hence for logrotate: `create` or `nocreate`, `dateext` or not, `compress` or not; but never `copytruncate`
(lines written between its copy and its cut are lost), `olddir`, `extension`, or another compression.
"""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from piactl.core.journalline import MAX_LINE, BrokenLine, JournalLine, parsed
from piactl.journal.backwards import lines_backwards
from piactl.journal.unusable import refused_by_system

_ROTATED = re.compile(r"(\.[0-9]+|-[0-9]{6,8}([-_.][0-9]+)*)(\.gz)?")


def files_of(path: str) -> tuple[str, ...]:
    """The files of the chain whose newest is at `path` (left out where missing), oldest first.

    Raises JournalUnusable where one of them cannot be read.
    """
    journal = Path(path)
    try:
        names = [p.name for p in journal.parent.iterdir()]
    except FileNotFoundError:
        return ()
    except OSError as refused:
        raise refused_by_system(path, refused) from None
    rotated = [
        str(journal.parent / name)
        for name in names
        if name.startswith(journal.name) and _ROTATED.fullmatch(name[len(journal.name) :])
    ]
    rotated.sort(key=_first_seq)
    return (*rotated, *([path] if journal.name in names else []))


def _first_seq(path: str) -> tuple[int, str]:
    """Where the file belongs. One whose first line cannot be read comes first: verify then names it."""
    with opened(path) as file:
        try:
            return parsed(file.readline(MAX_LINE)).seq, path
        except BrokenLine:
            return 0, path
        except (OSError, EOFError, zlib.error):
            return 0, path


@contextmanager
def opened(path: str) -> Iterator[IO[bytes]]:
    """The file for reading from its beginning, decompressed. Raises JournalUnusable."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as refused:
        raise refused_by_system(path, refused) from None
    with os.fdopen(fd, "rb") as file:
        if path.endswith(".gz"):
            import gzip  # only for old files, and slow to import

            with gzip.open(file, "rb") as content:
                yield cast("IO[bytes]", content)
        else:
            yield file


def newest_first(path: str) -> Iterator[JournalLine]:
    """The lines of all files of the chain, last first, hashes not proved; a torn tail is left out.

    Plain files are read from their end, as far as asked; compressed ones need reading whole.
    Raises JournalUnusable; BrokenLine at a line in the middle that cannot be read.
    """
    for name in reversed(files_of(path)):
        with opened(name) as file:
            if name.endswith(".gz"):
                lines = iter(list(file)[::-1])
            else:
                lines = lines_backwards(file.fileno(), os.fstat(file.fileno()).st_size)
            for number, raw in enumerate(lines):
                try:
                    if number == 0 and not raw.endswith(b"\n"):
                        continue
                    line = parsed(raw)
                except BrokenLine as broken:
                    if number == 0 and broken.torn:
                        continue
                    raise
                yield line
