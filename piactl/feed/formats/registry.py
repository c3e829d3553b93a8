"""The formats of feeds: each delivery of a source is read as rows of the canonical layout.

A format turns the files of a source into such rows, in a private file without a name. Everything else
(columns, rejections, limits, chunks) is the same for every format. A new format is a module or a folder here
with a function like `aaf.rows.write_aaf`, and a line in `formats`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from io import BufferedReader
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, cast

from piactl.core.model.settings import SourceSettings
from piactl.feed.error_codes import refused
from piactl.feed.formats.aaf.forms import FIRST_DEGREE, GPEI, SECOND_DEGREE
from piactl.feed.formats.aaf.rows_of_set import write_aaf
from piactl.feed.formats.kept_sets import KeptSet, kept_sets
from piactl.feed.formats.rows import DATED, STARTED, RowWriter
from piactl.feed.formats.set_files import SetFiles, State, digest_of, open_set, state_of
from piactl.feed.formats.sts import write_sts
from piactl.phrase import Phrase

Writes = Callable[[SetFiles, SourceSettings, RowWriter], None]


def formats() -> Mapping[str, tuple[Writes, tuple[str, ...]]]:
    """The function that writes the rows of each format except csv, and their columns."""
    return {
        "aaf": (partial(write_aaf, form=SECOND_DEGREE), STARTED),
        "aaf1d": (partial(write_aaf, form=FIRST_DEGREE), STARTED),
        "gpei": (partial(write_aaf, form=GPEI), STARTED),
        "sts": (write_sts, DATED),
    }


class _RowsFile:
    """A private file without a name. Its rows are personal data; they are gone when the process ends, at the
    latest."""

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
    kept: KeptSet | None


_MOST = 16
_kept: dict[tuple[Path, str], TranslatedSet] = {}
"""The last translated sets. A run reads a feed up to three times, and XML is slow to read. A delta may also
change another set of its run."""


@contextmanager
def open_translated(path: Path, source: SourceSettings) -> Iterator[tuple[BufferedReader, TranslatedSet]]:
    """The rows of a set. Raises FeedRefused with every reason for which the set cannot be trusted."""
    key = (path.absolute(), repr(source))
    translated_set = _kept.pop(key, None)
    if translated_set is None or translated_set.state != state_of(path):
        translated_set = _translated(path, source)
    _kept[key] = translated_set
    for oldest in [*_kept][:-_MOST]:
        del _kept[oldest]
    with translated_set.rows.opened("rb") as stream:
        yield cast(BufferedReader, stream), translated_set


def set_to_keep(path: Path, source: SourceSettings) -> KeptSet | None:
    """What deltas need of a set that was read, None if they need nothing."""
    translated = _kept.get((path.absolute(), repr(source)))
    return translated.kept if translated else None


def _translated(path: Path, source: SourceSettings) -> TranslatedSet:
    state = state_of(path)

    def before(kind: str) -> list[KeptSet]:
        # if there are two sets of one day, the one that was kept last is the likelier one
        in_run = [
            translated_set.kept
            for translated_set in _kept.values()
            if translated_set.kept is not None
            and translated_set.kept.kind == kind
            and (translated_set.source.name, translated_set.source.state_folder)
            == (source.name, source.state_folder)
        ]
        return [*in_run, *kept_sets(source.state_folder, source.name, kind)]

    try:
        digest = digest_of(path)
        rows, records = _RowsFile(), _RowsFile()
        with (
            rows.opened("wb") as stream,
            records.opened("wb") as lines,
            open_set(path, source.limits, digest, before) as files,
        ):
            write, columns = formats()[source.format]
            writer = RowWriter(stream, lines, columns)
            if files.hidden:
                writer.pass_over(Phrase("files ._*"), Phrase("made by a Mac"), files.hidden)
            write(files, source, writer)
    except OSError as error:
        detail = Phrase("it cannot be read ({why})", why=error.strerror or str(error))
        raise refused(path, "unreadable", detail) from None
    if state != state_of(path):
        raise refused(path, "changed")
    started = writer.columns == STARTED
    values, constants = {**source.values}, {**source.constants}
    if writer.day and started:
        values["debut"] = {**values.get("debut", {}), "": writer.day.isoformat()}
        constants.pop("debut", None)
    layout = replace(
        source,
        delimiter=";",
        encoding="utf-8",
        trailer=False,
        columns={},
        values=values,
        constants=constants,
        date_formats=("%d/%m/%Y", "%Y-%m-%d"),
    )
    kept_set = None
    if writer.kind and writer.day and started:
        if writer.basis is not None:  # a delta is not of the day of another set
            order = writer.day, writer.number
            others = (other for other in before(writer.kind) if other.order >= order)
            writer.later = frozenset(other.digest for other in others) - {digest}
        kept_set = KeptSet(
            source.name,
            writer.kind,
            writer.day,
            digest,
            writer.structures,
            writer.uais,
            writer.gone,
            writer.basis,
            lambda: records.opened("rb"),
            writer.number,
        )
    return TranslatedSet(rows, layout, writer, digest, state, kept_set)
