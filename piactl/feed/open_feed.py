"""Finds the source of a feed file by its name, and opens the file; of an Excel workbook the first sheet as
rows of CSV. A source of that format takes CSV, too.
"""

from __future__ import annotations

import csv
import io
import os
import re
import stat
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from difflib import SequenceMatcher
from fnmatch import fnmatchcase
from io import BufferedReader
from pathlib import Path
from tempfile import TemporaryFile
from typing import cast

from piactl.core.model.settings import SourceSettings
from piactl.errors import FeedRefused, NotFound, UsageError, system_words
from piactl.feed.error_codes import refused
from piactl.feed.formats.all_formats import open_translated
from piactl.feed.formats.canonical_rows import OpenFeed
from piactl.feed.formats.set_files import digest_of, is_md5
from piactl.feed.header import HEAD, other_kind
from piactl.host.private_files import refuse_missing, refuse_own_file
from piactl.phrase import Phrase, joined
from piactl.workbooks import NotReadable, rows_of_workbook

_WORD = re.compile(r"[^\W\d_]+")
_NEAR = 0.66
"""How similar the first words of two file names must be, from 0 to 1, if one may be a slip for the other."""


class NoSource(UsageError):
    """A file whose name is not similar to that of any feed. `is_other`: its suffix is not that of a feed
    either, as with LISEZMOI.txt. `why` says what else is wrong with it."""

    def __init__(self, message: str, path: Path, *, is_other: bool, why: str = "") -> None:
        self.path, self.is_other, self.why = path, is_other, why
        super().__init__(message)


def source_of(path: Path, sources: Mapping[str, SourceSettings]) -> SourceSettings:
    """The source whose `files` patterns match the base name of `path`, or the only source if the suffix is
    that of its files.

    Raises UsageError with the names of the sources if none or several match; NoSource if no source has files
    of a similar name, for a .md5, and for a name that is not UTF-8.
    """
    suffixes = {Path(pattern).suffix for source in sources.values() for pattern in source.files}
    is_other = bool(suffixes) and path.suffix not in suffixes
    try:
        str(path).encode()
    except UnicodeEncodeError:
        why = Phrase("{path}: not read: its name is not UTF-8; give it another name", path=path)
        raise NoSource(why, path, is_other=is_other, why=why) from None
    if is_md5(path.name):
        raise NoSource(
            Phrase("{path}: a .md5 is not a feed; name the feed that it belongs to", path=path),
            path,
            is_other=True,
        )
    fitting = [s for s in sources.values() if any(fnmatchcase(path.name, pattern) for pattern in s.files)]
    if len(fitting) == 1:
        return fitting[0]
    if not fitting and len(sources) == 1 and not is_other:
        return next(iter(sources.values()))
    if not sources:
        raise UsageError(Phrase("{path}: no source is configured; add one under `sources:`", path=path))
    names = ", ".join(sources)
    if fitting:
        raise UsageError(
            Phrase(
                "{path}: matches several sources ({several}); write NAME={path}, where NAME is one of: "
                "{sources}",
                path=path,
                several=", ".join(s.name for s in fitting),
                sources=names,
            )
        )
    near = [source.name for source in sources.values() if _near(path.name, source)]
    kind = _other_kind(path, sources.values())
    problem = kind or Phrase(
        "{path}: matches the `files` of no source; write NAME={path}, where NAME is one of: {sources}",
        path=path,
        sources=names,
    )
    if near:
        raise UsageError(
            Phrase(
                "{problem}\nIts name is nearly that of a feed of {sources}",
                problem=problem,
                sources=joined(near, "{first} or {second}"),
            )
        )
    raise NoSource(problem, path, is_other=is_other, why=kind)


def _other_kind(path: Path, sources: Collection[SourceSettings]) -> str:
    """The path, and what the file is and what to do; "" if it may be a feed, or cannot be read."""
    may_be_set = any(source.of_sets for source in sources)
    try:
        with _open_file(path, next(iter(sources))) as stream:
            kind = other_kind(stream.read(HEAD), may_be_set=may_be_set)
    except FeedRefused:
        return ""
    return Phrase("{path}: not read: {why}", path=path, why=kind[1]) if kind else ""


def _near(name: str, source: SourceSettings) -> bool:
    """Whether the first word of a file name is nearly the source's, or that of one of its patterns."""
    word = _first_word(name)
    own = {_first_word(text) for text in (source.name, *source.files)} - {""}
    return any(SequenceMatcher(None, word, word_of_source).ratio() >= _NEAR for word_of_source in own)


def _first_word(text: str) -> str:
    match = _WORD.match(text)
    return match[0].casefold() if match else ""


def feed_argument(text: str, sources: Mapping[str, SourceSettings]) -> tuple[SourceSettings, Path]:
    """The source and the file of the argument `PATH` or `NAME=PATH`.

    Raises NotFound if the name is not a source, UsageError if there is no such file or the path matches no
    single source.
    """
    name, sign, rest = text.partition("=")
    if sign and name in sources:
        if not rest:
            raise UsageError(Phrase("{text}: the file is missing; write {name}=PATH", text=text, name=name))
        refuse_missing(rest)
        return sources[name], Path(rest)
    # unlike Path.exists, this also answers for a name that is too long
    if sign and "/" not in name and not os.path.exists(text):  # noqa: PTH110
        raise NotFound(
            Phrase(
                "{text}: unknown source {name!r}; the sources are: {sources}",
                text=text,
                name=name,
                sources=", ".join(sources) or Phrase("none"),
            )
        )
    refuse_missing(text)  # one that cannot be read is a refused feed
    return source_of(Path(text), sources), Path(text)


@contextmanager
def open_feed(path: Path, source: SourceSettings) -> Iterator[OpenFeed]:
    """The rows of a feed. Raises FeedRefused if it is not a regular file, is too large, or cannot be read,
    then or while the caller reads it; for a set of files, for each reason that refuses it as a whole."""
    if source.of_sets:
        with open_translated(path, source) as opened:
            yield opened
        return
    with _open_file(path, source) as stream:
        if source.format == "xlsx" and is_workbook(stream):
            with open_workbook(path, stream, source) as opened:
                yield opened
            return
        yield OpenFeed(stream, source)


def digest_of_feed(path: Path) -> str:
    """The SHA-256 by which piactl identifies a feed, "" if it cannot be read."""
    try:
        return digest_of(path)
    except OSError:
        return ""


@contextmanager
def _open_file(path: Path, source: SourceSettings) -> Iterator[BufferedReader]:
    try:
        # Without O_NONBLOCK, opening a named pipe would wait for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        cannot = Phrase("the file cannot be read ({why})", why=system_words(error))
        raise refused(path, "unreadable", cannot) from None
    try:
        refuse_own_file(str(path), descriptor)
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise refused(path, "not-a-file")
        if facts.st_size > source.limits.max_bytes:
            detail = Phrase(
                "the file has {size} bytes, but the source allows {most}",
                size=facts.st_size,
                most=source.limits.max_bytes,
            )
            raise refused(path, "too-many-bytes", detail)
        with os.fdopen(descriptor, "rb", closefd=False) as stream:
            yield stream
    except OSError as error:
        detail = Phrase("the file cannot be read ({why})", why=system_words(error))
        raise refused(path, "unreadable", detail) from None
    finally:
        os.close(descriptor)


# ---- workbooks


DELIMITER = ";"
_ZIP = b"PK\x03\x04"


def is_workbook(stream: BufferedReader) -> bool:
    """Whether a file is a workbook, by its first bytes; the stream stays at its beginning."""
    return stream.peek(len(_ZIP)).startswith(_ZIP)


@contextmanager
def open_workbook(path: Path, stream: BufferedReader, source: SourceSettings) -> Iterator[OpenFeed]:
    """The rows of a workbook, in a private file without a name. Raises FeedRefused."""
    digest = digest_of(path)
    with TemporaryFile("w+b") as rows:
        text = io.TextIOWrapper(rows, "utf-8", newline="", write_through=True)
        written = csv.writer(text, delimiter=DELIMITER, lineterminator="\n")
        try:
            width = 0  # of the header: a row of a sheet may end sooner, or have more cells, which are empty
            for cells in rows_of_workbook(stream, source.date_formats[0], source.limits.max_bytes):
                while cells and not cells[-1]:
                    cells.pop()
                if cells[:1] and cells[0].startswith("#"):  # the line #FIN has no columns
                    text.write(DELIMITER.join(cells) + "\n")
                    continue
                width = width or len(cells)
                values = [" ".join(cell.split()) for cell in cells]
                written.writerow([*values, *[""] * (width - len(cells))])
        except NotReadable as error:
            raise refused(path, "unreadable", error.args[0]) from None
        text.detach()
        rows.seek(0)
        layout = replace(source, delimiter=DELIMITER, encoding="utf-8")
        yield OpenFeed(cast(BufferedReader, rows), layout, digest=digest)
