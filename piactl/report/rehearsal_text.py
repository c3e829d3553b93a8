"""The nights of a rehearsal as a table, and how two rehearsals differ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from piactl.report.plan_text import ORDER
from piactl.report.table import rendered

Row = Mapping[str, Any]

_COUNTS = ("held", "rejected", "absent", "cases")
DIFFERENCE_COLUMNS = ("what", "name", "here", "there")


def nights_table(nights: Sequence[Row], layout: str) -> Iterable[str]:
    """One line per night, accounts by kind of change. json and ndjson have all that is known of it. A table
    has the nights on which anything changes or is refused, and only the kinds and counts that occur."""
    if layout in ("json", "ndjson"):
        return rendered(nights, (), layout)
    people = layout == "table"
    rows = [_row(night) for night in nights]
    if people:
        rows = [row for row in rows if row["accounts"] or row["status"] != "done"]
    shown = [name for name in (*ORDER, *_COUNTS) if not people or any(row[name] for row in rows)]
    if people:
        rows = [{name: value or "" for name, value in row.items()} for row in rows]
    return rendered(rows, ("date", "status", "accounts", *shown, "why"), layout)


def _row(night: Row) -> dict[str, Any]:
    summary = night.get("summary", {})
    broken = (f"{one['guard']}: {one['found']} of {one['of']}" for one in night.get("guards", ()))
    return {
        "date": night["date"],
        "status": "approved" if night.get("approved") else night["status"],
        "accounts": night.get("accounts", 0),
        **{kind: summary.get(kind, 0) for kind in ORDER},
        **{name: night.get(name, 0) for name in _COUNTS},
        "why": "; ".join([*(night.get("why", "").splitlines()[:1]), *broken]),
    }
