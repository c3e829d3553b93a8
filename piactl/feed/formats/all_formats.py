"""The formats of feeds: each delivery of a source is read as rows of the canonical layout.

A format turns the files of a source into such rows, in a private file without a name. Everything else
(columns, rejections, limits, chunks) is the same for every format. A new format is a module or a folder here
with a function like `aaf.rows_of_set.write_aaf`, and a line in `formats`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from io import BufferedReader
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, cast

from piactl.core.model.settings import SourceSettings
from piactl.errors import system_words
from piactl.feed.error_codes import refused
from piactl.feed.formats.aaf.forms import FIRST_DEGREE, GPEI, SECOND_DEGREE
from piactl.feed.formats.aaf.rows_of_set import write_aaf
from piactl.feed.formats.canonical_rows import DATED, STARTED, OpenFeed, RowWriter
from piactl.feed.formats.kept_sets import KeptSet, kept_sets
from piactl.feed.formats.set_files import SetFiles, digest_of, open_set, state_of
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


class _PeopleFile:
    """A private file without a name. Its people are personal data; they are gone when the process ends, at
    the latest."""

    def __init__(self) -> None:
        with TemporaryFile("w+b") as stream:
            self.descriptor = os.dup(stream.fileno())

    def opened(self, mode: str) -> IO[bytes]:
        os.lseek(self.descriptor, 0, os.SEEK_SET)
        return os.fdopen(os.dup(self.descriptor), mode)

    def __del__(self) -> None:
        os.close(self.descriptor)


_MOST = 16
_kept: dict[tuple[Path, str], KeptSet] = {}
"""What deltas need of the last sets that this process has read: a delta may change another set of its run."""


def set_to_keep(path: Path, source: SourceSettings) -> KeptSet | None:
    """What deltas need of a set that was read, None if they need nothing."""
    return _kept.get(_key(path, source))


def _key(path: Path, source: SourceSettings) -> tuple[Path, str]:
    return path.absolute(), repr((source.name, source.state_folder))


@contextmanager
def open_translated(path: Path, source: SourceSettings) -> Iterator[OpenFeed]:
    """The rows of a set. Raises FeedRefused with every reason for which the set cannot be trusted."""
    key = _, host = _key(path, source)
    state, people = state_of(path), _PeopleFile()
    _kept.pop(key, None)

    def before(kind: str) -> list[KeptSet]:
        # if there are two sets of one day, the one that was kept last is the likelier one
        in_run = [kept for (_, of), kept in _kept.items() if kept.kind == kind and of == host]
        return [*in_run, *kept_sets(source.state_folder, source.name, kind)]

    with TemporaryFile("w+b") as rows:
        try:
            digest = digest_of(path)
            with (
                people.opened("wb") as lines,
                open_set(path, source.limits, digest, before) as files,
            ):
                write, columns = formats()[source.format]
                writer = RowWriter(rows, lines, columns)
                if files.hidden:
                    writer.pass_over(Phrase("files ._*"), Phrase("made by a Mac"), files.hidden)
                write(files, source, writer)
        except OSError as error:
            detail = Phrase("it cannot be read ({why})", why=system_words(error))
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
        if writer.kind and writer.day and started:
            if writer.basis is not None:  # a delta is not of the day of another set
                order = writer.day, writer.number
                others = (other for other in before(writer.kind) if other.order >= order)
                writer.later = frozenset(other.digest for other in others) - {digest}
            _kept[key] = KeptSet(
                source.name,
                writer.kind,
                writer.day,
                digest,
                writer.structures,
                writer.uais,
                writer.gone,
                writer.basis,
                lambda: people.opened("rb"),
                writer.number,
            )
            for oldest in [*_kept][:-_MOST]:
                del _kept[oldest]
        rows.seek(0)
        yield OpenFeed(cast(BufferedReader, rows), layout, writer, digest)
