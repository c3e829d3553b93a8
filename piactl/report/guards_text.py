"""The limits of guards beside what ordinary nights counted, as a picture."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from piactl.report.table import rendered

Row = Mapping[str, Any]

COLUMNS = ("kind", "period", "nights", "most", "of", "day", "limit", "suggested")
_WIDTH = 24


def guards_table(rows: Sequence[Row], layout: str) -> Iterable[str]:
    """One line per guard. A table has the picture: what the night counted (filled) of what the policy allows,
    and `|` where the suggested number is."""
    if layout != "table":
        return rendered(rows, COLUMNS, layout)
    lines = [{**row, "picture": picture(row)} for row in rows]
    return rendered(lines, (*COLUMNS, "picture"), layout)


def picture(row: Row) -> str:
    """`████░░░░░│░░░░`: the whole bar is the larger one of the limit and the suggested number."""
    limit, most, suggested = row["limit"] or 0, row["most"], row["suggested"]
    whole = max(limit, most, suggested, 1)
    cells = ["░" if place < _cells(limit, whole) else " " for place in range(_WIDTH)]
    for place in range(_cells(most, whole)):
        cells[place] = "█"
    cells[max(0, _cells(suggested, whole) - 1)] = "│"
    return "".join(cells).rstrip()


def _cells(number: int, whole: int) -> int:
    return min(_WIDTH, -(-number * _WIDTH // whole))
