"""The one door of formats: whatever a source delivers is read as rows of the canonical layout.

A format turns the files of a source into such rows, in a private file without a name. All else (columns,
rejections, limits, chunks) is the same for every format. A new format is a module or a folder here with a
function like `aaf.rows.write_rows`, and a line in FORMATS.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BufferedReader
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, cast

from piactl.core.model.settings import SourceSettings
from piactl.errors import FeedRefused
from piactl.feed.error_codes import refusal
from piactl.feed.formats.aaf.rows import write_rows as write_aaf
from piactl.feed.formats.rows import RowWriter
from piactl.feed.formats.set_files import SetFiles, State, digest_of, open_set, state_of

FORMATS: Mapping[str, Callable[[SetFiles, SourceSettings, RowWriter], None]] = {"aaf": write_aaf}
"""How each format but csv writes its rows."""


class _RowsFile:
    """A private file without a name: its rows are personal data, and gone with the process at the latest."""

    def __init__(self) -> None:
        with TemporaryFile("w+b") as stream:
            self.descriptor = os.dup(stream.fileno())

    def opened(self, mode: str) -> IO[bytes]:
        """The file, from its beginning; for one reader at a time."""
        os.lseek(self.descriptor, 0, os.SEEK_SET)
        return os.fdopen(os.dup(self.descriptor), mode)

    def __del__(self) -> None:
        os.close(self.descriptor)


@dataclass(frozen=True, slots=True)
class TranslatedSet:
    """A set of files as rows: `rows` begins with their header, `source` has their layout. `digest` is that of
    the files."""

    rows: _RowsFile
    source: SourceSettings
    written: RowWriter
    digest: str
    state: State


_MOST = 4
_kept: dict[tuple[Path, str], TranslatedSet] = {}
"""The last translated sets. A run reads a feed up to three times, and XML is slow to read."""


@contextmanager
def open_translated(path: Path, source: SourceSettings) -> Iterator[tuple[BufferedReader, TranslatedSet]]:
    """The rows of a set. Raises FeedRefused with every reason for which the set cannot be trusted."""
    key = (path.absolute(), repr(source))
    kept = _kept.pop(key, None)
    if kept is None or kept.state != state_of(path):
        kept = _translated(path, source)
    _kept[key] = kept
    for oldest in [*_kept][:-_MOST]:
        del _kept[oldest]
    with kept.rows.opened("rb") as stream:
        yield cast(BufferedReader, stream), kept


def _translated(path: Path, source: SourceSettings) -> TranslatedSet:
    state = state_of(path)
    try:
        rows = _RowsFile()
        with rows.opened("wb") as stream, open_set(path, source.limits) as files:
            writer = RowWriter(stream)
            FORMATS[source.format](files, source, writer)
        digest = digest_of(path)
    except OSError as error:
        detail = f"it cannot be read ({error.strerror or error})"
        raise FeedRefused(str(path), [refusal("unreadable", detail)]) from None
    if state != state_of(path):
        raise FeedRefused(str(path), [refusal("changed")])
    day = {"debut": writer.day.isoformat()} if writer.day else {}
    layout = replace(
        source,
        delimiter=";",
        encoding="utf-8",
        trailer=False,
        columns={},
        constants={**source.constants, **day},
        date_formats=("%d/%m/%Y", "%Y-%m-%d"),
    )
    return TranslatedSet(rows, layout, writer, digest, state)
