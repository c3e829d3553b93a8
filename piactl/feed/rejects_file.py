"""Writes the rejects file: the rejected rows, without their NUMENs, to be corrected and fed again."""

from __future__ import annotations

import csv
import io
import re
from codecs import BOM_UTF8
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from piactl.core.model.keyed_digests import read_numen
from piactl.core.model.settings import SourceSettings
from piactl.core.plan.plan import Rejection
from piactl.feed.encoding import CODECS
from piactl.feed.feed_result import Feed
from piactl.feed.header import BLANKS, REJECT_COLUMN, ColumnLayout, quote_cells, unquote_cells
from piactl.feed.value_checks import DAYS, ISO, day_of
from piactl.host.private_files import write_private
from piactl.phrase import Phrase
from piactl.translation import translate
from piactl.workbooks import SHEET, workbook_of

_MASKED = b"?" * 13
"""Replaces a mistyped NUMEN: the row stays rejected until the right one is typed."""
_HELD_WITH_OTHERS = Phrase("held because of other rows of this person")


def write_rejects(path: Path, feed: Feed, source: SourceSettings | None = None) -> int:
    """Writes the header, every rejected row and every other row of a held person. Returns the number of rows.

    Each row is unchanged, byte for byte, except for NUMENs, formulas and, in CSV, valid dates: they are in
    ISO form if the `source` reads it, because a spreadsheet saves others with a year of two digits. It gets a
    field `rejet` with codes and messages, which replaces a `rejet` field from an earlier rejects file. A
    NUMEN is left out, which changes nothing when the row is fed again: a blank one never erases a digest. If
    the NUMEN itself is rejected it is masked, even a mistyped one, so that the row stays rejected until the
    right one is typed. The reader ignores the column `rejet` and treats the file as a delta without a
    trailer, even from a full source: it lists only rejected people, so nobody counts as absent.

    An apostrophe begins cells that a spreadsheet would read as formulas, and numbers with leading zeros; the
    reader takes it away when the file is fed again. UTF-8 has a byte order mark, by which a spreadsheet knows
    it. The file has mode 0600 and is written atomically; a symbolic link at
    `path` is replaced, not followed. One that ends with .xlsx is a workbook with the same rows as text cells.
    Without rows no file is written. Raises PiactlError if the file cannot be written.
    """
    if not feed.raw_lines:
        return 0
    in_workbook = path.suffix.lower() == ".xlsx"
    write_private(path, _in_workbook(feed) if in_workbook else rejects_content(feed, source))
    return len(feed.raw_lines)


def _in_workbook(feed: Feed) -> bytes:
    """The workbook of a rejects file: the reason stands in its column, also in a row that is too short. Its
    cells are text, which keeps its zeros."""
    content = rejects_content(feed, zeros=False)
    text = content.decode(CODECS[feed.encoding], "replace").removeprefix("\ufeff")
    header, *rows = csv.reader(io.StringIO(text, newline=""), delimiter=feed.layout.delimiter)
    width = len(header)
    filled = [[*row[:-1], *[""] * (width - len(row)), *row[-1:]] for row in rows]
    return workbook_of({SHEET: [header, *filled]})


def rejects_content(feed: Feed, source: SourceSettings | None = None, *, zeros: bool = True) -> bytes:
    """The bytes of the rejects file of a feed. `source`: valid dates are in ISO form if it reads that.
    `zeros`: an apostrophe keeps the leading zeros of numbers."""
    reasons: dict[tuple[str, int], list[Rejection]] = {}
    for rejection in feed.rejections:
        reasons.setdefault((rejection.file, rejection.line), []).append(rejection)
    layout, codec = feed.layout, CODECS[feed.encoding]
    delimiter = layout.delimiter.encode()
    cut = layout.is_rejects and feed.header.strip().lower().endswith(REJECT_COLUMN.encode())
    header = _body(feed.header)
    if layout.is_rejects:
        header = unquote_cells(header, layout.delimiter)
    else:
        header += delimiter + REJECT_COLUMN.encode()
    mark = BOM_UTF8 if feed.encoding == "utf-8" and not header.startswith(BOM_UTF8) else b""
    pieces = [mark + quote_cells(header, layout.delimiter) + _end(feed.header)]
    for line, raw in sorted(feed.raw_lines.items()):
        body = _body(raw)
        if layout.is_rejects:
            body = unquote_cells(body, layout.delimiter)
        if cut:
            body = _without_reason(body, delimiter)
        rejections = reasons.get(feed.place(line), [])
        body = _without_numens(body, delimiter, layout, mask=any(r.column == "numen" for r in rejections))
        if source is not None and ISO in source.date_formats:
            body = _with_iso_dates(body, delimiter, layout, source)
        why = _reason(rejections, layout.delimiter).encode(codec, "replace")
        pieces.append(quote_cells(body + delimiter + why, layout.delimiter, zeros=zeros) + _end(raw))
    return b"".join(pieces)


def _body(raw: bytes) -> bytes:
    return raw[:-2] if raw.endswith(b"\r\n") else raw.removesuffix(b"\n")


def _end(raw: bytes) -> bytes:
    return b"\r\n" if raw.endswith(b"\r\n") else b"\n"


def _without_reason(body: bytes, delimiter: bytes) -> bytes:
    """A row of an earlier rejects file without its last field, which never contains quotes."""
    row, sign, reason = body.rpartition(delimiter)
    return row if sign and b'"' not in reason else body


def _without_numens(body: bytes, delimiter: bytes, layout: ColumnLayout, *, mask: bool) -> bytes:
    """The row without NUMENs in any column, because a broken row may have shifted fields. A mistyped NUMEN
    gives the right one away, so everything in its column is removed too, and in a broken row every cell that
    is like a NUMEN. With `mask`, they are masked, not removed."""
    cells = body.split(delimiter)
    place = layout.places.get("numen")
    complete = _is_complete(cells, layout)
    for number, cell in enumerate(cells):
        text = cell.decode("latin-1").strip('"')
        numen = read_numen(text)
        if numen is not None:
            cells[number] = str(numen).encode() if mask else b""
        elif text.strip() and (number == place if complete else _is_like_numen(text)):
            cells[number] = _MASKED if mask else b""
    return delimiter.join(cells)


def _with_iso_dates(body: bytes, delimiter: bytes, layout: ColumnLayout, source: SourceSettings) -> bytes:
    """The row with its valid dates in ISO form; a broken row, whose fields may be shifted, stays as it is."""
    cells = body.split(delimiter)
    if not _is_complete(cells, layout):
        return body
    for column, place in layout.places.items():
        text = cells[place].decode("latin-1").strip('"' + BLANKS)
        if column in DAYS and text not in source.values.get(column, ()):
            day = day_of(text, source.date_formats)
            cells[place] = day.isoformat().encode() if day else cells[place]
    return delimiter.join(cells)


def _is_complete(cells: Sequence[bytes], layout: ColumnLayout) -> bool:
    """Whether a row has a field for each column; in a rejects file its reason is taken away."""
    return len(cells) in (layout.width, layout.width - layout.is_rejects)


def _is_like_numen(text: str) -> bool:
    typed = re.sub(r"[ ._-]", "", text)
    alike = re.fullmatch(r"[0-9][0-9A-Za-z]{9,15}", typed) is not None
    return alike and 6 <= sum(map(str.isdigit, typed)) < len(typed)


def _reason(rejections: list[Rejection], delimiter: str) -> str:
    """Messages and codes in one field without quotes, so that it can be removed again."""
    text = " | ".join(
        f"{r.column + ': ' if r.column else ''}{translate(r.message)} [{r.code}]" for r in rejections
    ) or translate(_HELD_WITH_OTHERS)
    instead = {";": ",", ",": ";", "\t": " "}.get(delimiter, " ")
    text = text.replace(f" {delimiter} ", f"{instead} ").replace(delimiter, instead).replace('"', "'")
    return "".join(c if c.isprintable() else " " for c in text)


def with_rejections(
    feed: Feed,
    rows: Iterable[tuple[int, bytes]],
    rejections: Iterable[Rejection],
    *,
    supplement: bool,
) -> Feed:
    """The feed with more rejections, made by the policy or the naming rule, and the raw bytes of their rows,
    which are among `rows`. Includes all rows of the people whom they hold; in a `supplement` they hold
    nobody."""
    added = tuple(rejections)
    held = {r.matricule or "" for r in added if not supplement}
    lines = {line for matricule in held & feed.people.keys() for line in feed.people[matricule].lines}
    places = {(r.file, r.line) for r in added if r.line}
    raw = {n: row for n, row in rows if n in lines or feed.place(n) in places} if added else {}
    return replace(feed, rejections=(*feed.rejections, *added), raw_lines={**feed.raw_lines, **raw})
