"""The tables of a forecast: nights in numbers, single changes, people who lose a right."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from piactl.report.plan_text import ORDER, refusal_lines
from piactl.report.table import rendered

Row = Mapping[str, Any]

CHANGE_COLUMNS = (
    "date",
    "kind",
    "uid",
    "matricule",
    "before",
    "after",
    "effective",
    "reason",
    "stopped_by",
)
LEAVER_COLUMNS = (
    "uid",
    "matricule",
    "display_name",
    "address",
    "state",
    "state_then",
    "login_ends",
    "services_ending",
    "grace_ends",
    "deactivated_on",
    "archived_on",
    "reason",
)


def day_table(rows: Sequence[Row], layout: str) -> Iterable[str]:
    """One line per night, accounts by kind of change; a table has only the kinds that occur, and a line of
    sums for more than one night."""
    people = layout == "table"
    kinds = [kind for kind in ORDER if not people or any(row.get(kind) for row in rows)]
    lines = [{**dict.fromkeys(kinds, "" if people else 0), **row} for row in rows]
    if people and len(lines) > 1:
        sums = {name: sum(int(row.get(name) or 0) for row in rows) for name in (*kinds, "accounts")}
        lines.append({"date": "in all", **sums, "stopped_by": []})
    if people:
        lines = [{**line, "guards": " ".join(line["stopped_by"])} for line in lines]
        return rendered(lines, ("date", *kinds, "accounts", "guards"), layout)
    return rendered(lines, ("date", *kinds, "accounts", "stopped_by"), layout)


def change_table(rows: Iterable[Row], layout: str) -> Iterable[str]:
    """One line per change. json and ndjson have it as in a plan; in the others before and after are words."""
    if layout in ("json", "ndjson"):
        return rendered(rows, (), layout)
    lines = ({**row, "before": _facts(row["before"]), "after": _facts(row["after"])} for row in rows)
    return rendered(lines, CHANGE_COLUMNS, layout)


def leaver_table(rows: Iterable[Row], layout: str, *, private_mail: bool) -> Iterable[str]:
    """One line per person; the private address only on request."""
    columns = list(LEAVER_COLUMNS)
    if private_mail:
        columns.insert(columns.index("address") + 1, "private_mail")
    kept = ({name: row[name] for name in columns} for row in rows)
    if layout in ("json", "ndjson"):
        return rendered(kept, (), layout)
    lines = ({**row, "services_ending": "; ".join(map(_ending, row["services_ending"]))} for row in kept)
    return rendered(lines, columns, layout)


def stopped_text(day: str, refusals: Sequence[Row]) -> str:
    """The guards that would stop a night, one per line."""
    lines = [line.strip() for line in refusal_lines(refusals) if line.strip()]
    return "\n".join([f"{day}: this night would be stopped, and nothing written:", *lines])


def _ending(one: Row) -> str:
    where = f" at {one['uai']}" if one["uai"] else ""
    return f"{one['service']}{where} {one['last_day']}"


def _facts(facts: Row | None) -> str:
    """`state=active locked=no`, nothing where there is none."""
    return " ".join(f"{name}={_fact(value)}" for name, value in (facts or {}).items())


def _fact(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ",".join(map(str, value)) or "none"
    return "none" if value in (None, "") else str(value)
