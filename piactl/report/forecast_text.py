"""The tables of a forecast (by night, by change, people who lose something) and of a rehearsal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from piactl.core.model.guard_limits import Limit
from piactl.core.plan.check_guards import broken_words, guard_words
from piactl.phrase import Phrase, first_line, joined
from piactl.report.account_text import right_words
from piactl.report.plan_text import ORDER, refusal_lines, what_changes
from piactl.report.table import rendered
from piactl.translation import translate

Row = Mapping[str, Any]

CHANGE_COLUMNS = (
    "date", "kind", "uid", "matricule", "before", "after", "effective", "reason", "stopped_by",
)  # fmt: skip
CHANGE_COLUMNS_OF_PEOPLE = ("date", "kind", "uid", "matricule", "what", "effective", "reason", "stopped_by")
LEAVER_COLUMNS = (
    "uid", "matricule", "display_name", "address", "state", "state_then", "login_ends",
    "services_ending", "grace_ends", "deactivated_on", "archived_on", "reason",
)  # fmt: skip


def day_table(rows: Sequence[Row], layout: str) -> Iterable[str]:
    """One line per night, accounts by kind of change. A table has only the kinds that occur, and a line of
    totals for several nights."""
    people = layout == "table"
    kinds = [kind for kind in ORDER if not people or any(row.get(kind) for row in rows)]
    lines = [{**dict.fromkeys(kinds, "" if people else 0), **row} for row in rows]
    if people and len(lines) > 1:
        sums = {name: sum(int(row.get(name) or 0) for row in rows) for name in (*kinds, "accounts")}
        lines.append({"date": Phrase("in all"), **sums, "stopped_by": []})
    if people:
        lines = [{**line, "guards": [*map(guard_words, line["stopped_by"])]} for line in lines]
        return rendered(lines, ("date", *kinds, "accounts", "guards"), layout)
    return rendered(lines, ("date", *kinds, "accounts", "stopped_by"), layout)


def change_table(rows: Iterable[Row], layout: str) -> Iterable[str]:
    """One line per change. json and ndjson have it as in a plan; csv and tsv have before and after as text,
    and people read what changes."""
    if layout in ("json", "ndjson"):
        return rendered(rows, (), layout)
    if layout in ("table", "xlsx"):
        return rendered(
            ({**row, "what": what_changes(row)} for row in rows), CHANGE_COLUMNS_OF_PEOPLE, layout
        )
    lines = ({**row, "before": _facts(row["before"]), "after": _facts(row["after"])} for row in rows)
    return rendered(lines, CHANGE_COLUMNS, layout)


def leaver_table(rows: Iterable[Row], layout: str, columns: Sequence[str]) -> Iterable[str]:
    """One line per person, with these columns."""
    if layout not in ("json", "ndjson"):
        rows = ({**row, "services_ending": joined(map(_ending, row["services_ending"]))} for row in rows)
    return rendered(rows, columns, layout, only=True)


def stopped_text(day: str, refusals: Sequence[Row]) -> str:
    """The guards that would stop a night, one per line, in the language of people."""
    head = Phrase("{day}: guards would stop this night, and nothing would be written:", day=day)
    return "\n".join([translate(head), *filter(None, map(str.strip, refusal_lines(refusals)))])


def _ending(right: Row) -> str:
    return Phrase("{right} {day}", right=right_words(right), day=right["last_day"])


def _facts(facts: Row | None) -> str:
    """`state=active locked=no`, or ""."""
    return " ".join(f"{name}={_fact(value)}" for name, value in (facts or {}).items())


def _fact(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ",".join(map(str, value)) or "none"
    return "none" if value in (None, "") else str(value)


_COUNTS = ("held", "rejected", "absent", "cases")
DIFFERENCE_COLUMNS = ("what", "name", "here", "there")


def nights_table(nights: Sequence[Row], layout: str) -> Iterable[str]:
    """One line per night, accounts by kind of change. json and ndjson have all that is known of a night. A
    table has the nights on which anything changes or is refused, and only the kinds and counts that occur."""
    if layout in ("json", "ndjson"):
        return rendered(nights, (), layout)
    people = layout == "table"
    rows = [_night_row(night) for night in nights]
    if people:
        rows = [row for row in rows if row["accounts"] or row["status"] != "done"]
    shown = [name for name in (*ORDER, *_COUNTS) if not people or any(row[name] for row in rows)]
    if people:
        rows = [{name: value or "" for name, value in row.items()} for row in rows]
    return rendered(rows, ("date", "status", "accounts", *shown, "why"), layout)


def _night_row(night: Row) -> dict[str, Any]:
    summary = night.get("summary", {})
    broken = (
        broken_words(
            guard["guard"],
            guard["scope"],
            guard["found"],
            Limit(guard["limit"]["max"], guard["limit"]["share"]).most(guard["of"]),
        )
        for guard in night.get("guards", ())
    )
    return {
        "date": night["date"],
        "status": "approved" if night.get("approved") else night["status"],
        "accounts": night.get("accounts", 0),
        **{kind: summary.get(kind, 0) for kind in ORDER},
        **{name: night.get(name, 0) for name in _COUNTS},
        "why": joined([*filter(None, [first_line(night.get("why", ""))]), *broken]),
    }
