"""Feeds in Excel workbooks: the first sheet as rows of CSV. A source of this format takes CSV, too."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import BufferedReader
from pathlib import Path
from tempfile import TemporaryFile
from typing import cast

from piactl.core.model.settings import SourceSettings
from piactl.feed.error_codes import refused
from piactl.feed.formats.canonical_rows import OpenFeed
from piactl.feed.formats.set_files import digest_of
from piactl.workbooks import NotReadable, rows_of_workbook

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
