"""The impact of a plan: one row for each establishment, profile, service or source that it touches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from piactl.report.plan_text import ORDER
from piactl.report.table import rendered

Row = Mapping[str, Any]

_BEFORE, _AFTER = ("name", "label", "accounts", "of", "share"), ("guard", "found", "limit", "broken")


def impact_rows(impact: Iterable[Row], labels: Mapping[str, str]) -> list[Row]:
    """The rows, those with most accounts first; `labels` are the words for the names of the groups."""
    rows = [
        {
            "name": one["name"],
            "label": labels.get(one["name"]),
            "accounts": one["accounts"],
            "of": one["of"],
            "share": round(one["accounts"] / one["of"], 4) if one["of"] else None,
            **{kind: one["kinds"].get(kind, 0) for kind in ORDER},
            "guard": one["guard"] or None,
            "found": one["found"],
            "limit": one["limit"],
            "broken": one["found"] > one["limit"] if one["guard"] else None,
        }
        for one in impact
    ]
    return sorted(rows, key=lambda row: (-row["accounts"], row["name"]))


def impact_table(rows: Sequence[Row], layout: str) -> Iterable[str]:
    """A table has only the kinds of change that occur, and `broken` only if a guard is."""
    if layout != "table":
        return rendered(rows, (*_BEFORE, *ORDER, *_AFTER), layout)
    kinds = [kind for kind in ORDER if any(row[kind] for row in rows)]
    lines = [{**row, "share": _percent(row["share"]), **{k: row[k] or "" for k in kinds}} for row in rows]
    labels = ("label",) if any(row["label"] for row in rows) else ()
    refused = ("broken",) if any(row["broken"] for row in rows) else ()
    columns = ("name", *labels, "accounts", "of", "share", *kinds, "guard", "found", "limit", *refused)
    return rendered(lines, columns, layout)


def _percent(share: float | None) -> str:
    return f"{share:.1%}" if share is not None else ""
