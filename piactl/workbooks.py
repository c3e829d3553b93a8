"""Excel workbooks (.xlsx): rows as text cells for people, and the rows of a sheet that an office saved.

The only home of openpyxl, whose import takes 0.1 s of CPU: the functions that need it import it.
"""

from __future__ import annotations

import io
import warnings
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from itertools import chain, islice
from typing import Any, BinaryIO

from piactl.phrase import Phrase

_MEASURED = 500
"""The rows by which the columns get their widths."""
_NARROWEST, _WIDEST = 8, 60
SHEET = "piactl"
"""The name of the only sheet of a workbook."""
_TEXT = "@"
"""The number format of text: a spreadsheet leaves such cells as they are, also when people type into them."""


def workbook_of(sheets: Mapping[str, Iterable[Sequence[str | float]]]) -> bytes:
    """A workbook of rows by name of their sheet, of which the first row is the heading. Text stays text, with
    its zeros, and never is a formula; a number is a number. A workbook cannot have control characters."""
    from openpyxl import Workbook
    from openpyxl.cell import WriteOnlyCell
    from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE
    from openpyxl.utils import get_column_letter

    def cell(value: str | float) -> Any:
        if isinstance(value, str):
            value = ILLEGAL_CHARACTERS_RE.sub("\ufffd", value)
        written = WriteOnlyCell(sheet, value=value)
        if isinstance(value, str):
            written.data_type = "s"  # of "=1+1" openpyxl would make a formula, of "#N/A" an error
            written.number_format = _TEXT
        return written

    book = Workbook(write_only=True)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        rest = iter(rows)
        first = list(islice(rest, _MEASURED))
        for number, column in enumerate(_columns(first), 1):
            width = max(len(str(value)) for value in column) + 2
            sheet.column_dimensions[get_column_letter(number)].width = min(max(width, _NARROWEST), _WIDEST)
        sheet.freeze_panes = "A2"
        for row in chain(first, rest):
            sheet.append([cell(value) for value in row])
    content = io.BytesIO()
    book.save(content)
    return content.getvalue()


def _columns(rows: Sequence[Sequence[str | float]]) -> Iterator[list[str | float]]:
    for number in range(max(map(len, rows), default=0)):
        yield [row[number] for row in rows if number < len(row)]


class NotReadable(Exception):
    """Why the rows of a workbook cannot be read, as a Phrase."""


def rows_of_workbook(stream: BinaryIO, date_format: str, most_bytes: int) -> Iterator[list[str]]:
    """The rows of the first sheet as text, days in `date_format`; rows at the end without a value are left
    out. Raises NotReadable: for what is no workbook, for one that has more than `most_bytes` when unpacked,
    and for a formula, whose value is not in the file for certain."""
    from openpyxl import load_workbook
    from openpyxl.utils.exceptions import InvalidFileException

    # of parts that are no rows, such as lists of valid values
    warnings.filterwarnings("ignore", category=UserWarning, module="openpyxl")
    try:
        with zipfile.ZipFile(stream) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > most_bytes:
            raise NotReadable(
                Phrase(
                    "the workbook has {size} bytes when unpacked, but the source allows {most}",
                    size=size,
                    most=most_bytes,
                )
            )
        stream.seek(0)
        book = load_workbook(stream, read_only=True)
        blank: list[list[str]] = []
        for number, row in enumerate(book.worksheets[0].iter_rows(), 1):
            cells = [_text_of(cell, number, date_format) for cell in row]
            if any(cells):
                yield from blank
                blank = []
                yield cells
            else:
                blank.append(cells)
    except (
        zipfile.BadZipFile, zlib.error, InvalidFileException, NotImplementedError, EOFError, SyntaxError,
        LookupError, OSError, TypeError, ValueError, AttributeError,
    ):  # fmt: skip
        raise NotReadable(Phrase("it is no workbook that can be read; save it again")) from None


def _text_of(cell: Any, row: int, date_format: str) -> str:
    value = cell.value
    if value is None:
        return ""
    if cell.data_type == "f":
        formula = Phrase("row {row} has a formula; paste the values instead, and save it again", row=row)
        raise NotReadable(formula)
    if isinstance(value, datetime | date):
        return value.strftime(date_format)
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
