"""Rows as a table for people, or as json, ndjson, csv or tsv for programs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from piactl.report.escaping import neutral, shown

FORMATS = ("table", "json", "ndjson", "csv", "tsv")

Row = Mapping[str, Any]

_SPECIAL = re.compile(r'[",;\t\r\n]')


def rendered(rows: Iterable[Row], columns: Sequence[str], layout: str) -> Iterable[str]:
    """Yields the text of the rows. json and ndjson have complete rows; table, csv and tsv the named columns.
    In csv, what a spreadsheet would read as a formula gets an apostrophe, and cells with any of its
    separators are quoted. tsv, for programs, escapes tab, newline and backslash in values."""
    if layout == "json":
        yield json.dumps(list(rows), ensure_ascii=False, indent=2) + "\n"
    elif layout == "ndjson":
        for row in rows:
            yield json.dumps(row, ensure_ascii=False) + "\n"
    elif layout == "csv":
        yield _csv_line(columns)
        for row in rows:
            yield _csv_line([neutral(cell(row.get(name))) for name in columns])
    elif layout == "tsv":
        yield "\t".join(columns) + "\n"
        for row in rows:
            yield "\t".join(_tsv(cell(row.get(name))) for name in columns) + "\n"
    else:
        yield _table(rows, columns)


def cell(value: Any) -> str:
    """A value as text: "" for None, lists joined by blanks."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return " ".join(cell(item) for item in value)
    return str(value)


def _csv_line(cells: Sequence[str]) -> str:
    return (
        ",".join(_quoted(text) if _SPECIAL.search(text) or len(cells) == 1 else text for text in cells) + "\n"
    )


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _tsv(text: str) -> str:
    for raw, written in (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r")):
        text = text.replace(raw, written)
    return text


def _table(rows: Iterable[Row], columns: Sequence[str]) -> str:
    from tabulate import tabulate

    cells = [[shown(cell(row.get(name))) for name in columns] for row in rows]
    text = tabulate(cells, headers=list(columns), tablefmt="plain", disable_numparse=True)
    return text + "\n"
