"""Rows as a table for people, as json, ndjson, csv or tsv for programs, as a workbook for spreadsheets."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import chain
from textwrap import fill
from typing import Any

from tabulate import MIN_PADDING, tabulate

from piactl.phrase import Phrase, counted, joined
from piactl.report.escaping import neutral, shown
from piactl.translation import TYPED, translate, translate_word
from piactl.workbooks import SHEET, workbook_of

FORMATS = ("table", "json", "ndjson", "csv", "tsv", "xlsx")

Row = Mapping[str, Any]

CODES = (
    "class", "decision", "doubt", "drift", "evidence", "fate", "field", "guard", "kind", "kinds", "login",
    "meanwhile", "origin", "otp", "outcome", "outcomes", "result", "scope", "severity", "state", "state_then",
    "states", "status", "step", "subject", "urgency", "verdict", "what",
)  # fmt: skip
"""Columns with codes, which people read in their language. Other text stays as it is unless it is a Phrase:
it may be a name, or what somebody typed."""
NAMES = ("display_name", "name")
"""Columns with names of people and establishments: other columns are left out before one is cut."""
_NARROWEST, _OF_NAMES = 12, 22
"""The width below which columns are left out rather than cut further, and that of NAMES."""

_SPECIAL = re.compile(r'[",;\t\r\n]')


def rendered(
    rows: Iterable[Row], columns: Sequence[str], layout: str, *, only: bool = False
) -> Iterable[str]:
    """Yields the text of the rows. json and ndjson have complete rows, or with `only` the named columns, as
    table, csv and tsv always have. Only they have control and invisible characters as they are; a pipe may
    end at a terminal. In csv, what a spreadsheet would read as a formula gets an apostrophe, and cells with
    any of its separators are quoted. tsv, for programs, escapes tab, newline and backslash in values.
    xlsx is a workbook in the language of people, whose text is text, so that a matricule keeps its zeros:
    each of its bytes is one character here, for a stdout in latin-1."""
    if only and layout in ("json", "ndjson"):
        rows = ({name: row.get(name) for name in columns} for row in rows)
    if layout == "json":
        yield json.dumps(list(rows), ensure_ascii=False, indent=2) + "\n"
    elif layout == "ndjson":
        encode = json.JSONEncoder(ensure_ascii=False).encode  # dumps makes one for each row
        for row in rows:
            yield encode(row) + "\n"
    elif layout == "csv":
        yield _csv_line(columns)
        for row in rows:
            yield _csv_line([shown(neutral(cell(row.get(name))), "\t\n") for name in columns])
    elif layout == "xlsx":
        yield workbook({SHEET: (rows, columns)})
    elif layout == "tsv":
        yield "\t".join(columns) + "\n"
        for row in rows:
            yield "\t".join(_tsv(cell(row.get(name))) for name in columns) + "\n"
    else:
        yield _table(rows, columns)


def workbook(sheets: Mapping[str, tuple[Iterable[Row], Sequence[str]]]) -> str:
    """The rows and columns of each sheet, by its name, as `rendered` gives a workbook."""
    return workbook_of({name: _sheet(*rows) for name, rows in sheets.items()}).decode("latin-1")


def _sheet(rows: Iterable[Row], columns: Sequence[str]) -> Iterable[list[str | float]]:
    cells = ([_value_of_cell(_said(row, name)) for name in columns] for row in rows)
    return chain([[*map(translate_word, columns)]], cells)


def aligned(rows: Iterable[Iterable[str]]) -> str:
    """Lines of text with aligned columns, however wide."""
    cells = [[*map(shown, row)] for row in rows]
    return tabulate(cells, tablefmt="plain", disable_numparse=True) + "\n"


def cell(value: Any) -> str:
    """A value as text: "" for None, lists joined by blanks, or by semicolons if an item has a blank."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        items = [cell(item) for item in value]
        return ("; " if any(" " in item for item in items) else " ").join(items)
    return str(value)


def numbers(counts: Mapping[str, int]) -> str:
    """`3 applied, 1 conflict`; the words have both numbers in the catalogue."""
    return joined((counted(number, name, name) for name, number in counts.items()), "{first}, {second}")


def _value_of_cell(value: Any) -> str | float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if number else shown(cell(value), "\n")


def _csv_line(cells: Sequence[str]) -> str:
    quoted = (_quoted(text) if _SPECIAL.search(text) or len(cells) == 1 else text for text in cells)
    return ",".join(quoted) + "\n"


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _tsv(text: str) -> str:
    for raw, written in (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r")):
        text = text.replace(raw, written)
    return shown(text)


def _table(rows: Iterable[Row], columns: Sequence[str]) -> str:
    rows, names = list(rows), [*map(translate_word, columns)]
    cells = [names, *([shown(cell(_said(row, name))) for name in columns] for row in rows)]
    lists = {n for n, name in enumerate(columns) if any(isinstance(row.get(name), list) for row in rows)}
    of_names = {n for n, name in enumerate(columns) if name in NAMES}
    left_out: list[str] = []
    if sys.stdout.isatty():
        cells, left_out = _narrowed(cells, shutil.get_terminal_size().columns, lists, of_names)
    text = tabulate(cells[1:], headers=cells[0], tablefmt="plain", disable_numparse=True) + "\n"
    why = Phrase("left out for want of room (-o tsv has all): {columns}", columns=", ".join(left_out))
    return text + (f"{translate(why)}\n" if left_out else "")


def _in_language(value: Any, *, is_code: bool) -> Any:
    """A value in the language of people."""
    if isinstance(value, (list, tuple)):
        return [_in_language(item, is_code=is_code) for item in value]
    if isinstance(value, bool) or (is_code and isinstance(value, str)):
        return translate_word(cell(value))
    return translate(value) if isinstance(value, str) else value


def _said(row: Row, name: str) -> Any:
    """The value of a column; in a table of fields and values, the field says what the value is."""
    column = row.get("field") if name == "value" else name
    if column == TYPED and not isinstance(row.get(name), Phrase):
        return row.get(name)
    is_code = column in CODES
    return _in_language(row.get(name), is_code=is_code)


def _narrowed(
    cells: list[list[str]], width: int, lists: Collection[int], of_names: Collection[int]
) -> tuple[list[list[str]], list[str]]:
    """The cells in lines of `width`, and the names of the columns that are left out because they do not fit,
    the last ones first. The first column, which names the row, and columns whose cells are single words
    (addresses) or without letters (telephones, times) are whole or left out; others are cut with an
    ellipsis, as little as possible, but `lists` and names, which have more lines."""
    columns = [*zip(*cells, strict=True)]
    least_widths = [len(name) + MIN_PADDING for name in cells[0]]
    for n in of_names:
        least_widths[n] = max(least_widths[n], min(_OF_NAMES, max(map(len, columns[n]))))
    widest = [max(least, *map(len, column)) for least, column in zip(least_widths, columns, strict=True)]
    whole = [number == 0 or not any(map(_has_words, column)) for number, column in enumerate(columns)]
    kept: list[int] = []
    room = width + 2
    for number, own in enumerate(widest):
        least = own if whole[number] else min(own, max(_NARROWEST, least_widths[number]))
        if number == 0 or least + 2 <= room:
            kept.append(number)
            room -= least + 2
    limit = max(widest)
    while limit > _NARROWEST and width + 2 < sum(
        2 + (widest[n] if whole[n] else min(widest[n], max(limit, least_widths[n]))) for n in kept
    ):
        limit -= 1
    limits = [own if whole[n] else max(limit, least_widths[n]) for n, own in enumerate(widest)]
    return (
        [
            [(_in_lines if n in lists or n in of_names else _cut)(row[n], limits[n]) for n in kept]
            for row in cells
        ],
        [name for n, name in enumerate(cells[0]) if n not in kept],
    )


def _has_words(text: str) -> bool:
    return " " in text and any(map(str.isalpha, text))


def _in_lines(text: str, limit: int) -> str:
    return fill(text, limit, break_on_hyphens=False)


def _cut(text: str, limit: int) -> str:
    """The text in at most `limit` characters, and no part of an address."""
    if len(text) <= limit:
        return text
    head = text[: limit - 1]
    begun = head.rpartition(" ")[2] + text[limit - 1 :].partition(" ")[0]
    return (head[: head.rfind(" ") + 1] if "@" in begun else head) + "…"
