"""Rows as a table for people, or as json, ndjson, csv or tsv for programs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from piactl.report.escaping import neutral, shown

FORMATS = ("table", "json", "ndjson", "csv", "tsv")

Row = Mapping[str, Any]


def rendered(rows: Iterable[Row], columns: Sequence[str], layout: str) -> Iterable[str]:
    """Yields the text of the rows. json and ndjson have complete rows; table, csv and tsv the named columns.
    In csv, cells that a spreadsheet would read as a formula get an apostrophe. tsv escapes tab, newline and
    backslash in values."""
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
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()


def _tsv(text: str) -> str:
    for raw, written in (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r")):
        text = text.replace(raw, written)
    return text


def _table(rows: Iterable[Row], columns: Sequence[str]) -> str:
    from tabulate import tabulate

    cells = [[shown(cell(row.get(name))) for name in columns] for row in rows]
    text = tabulate(cells, headers=list(columns), tablefmt="plain", disable_numparse=True)
    return text + "\n"
