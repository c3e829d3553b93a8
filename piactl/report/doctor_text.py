"""The text output of `doctor`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from piactl.report.escaping import shown

_QUIET = ("ok", "skipped")
_INDENT = " " * 14


def doctor_text(rows: Sequence[Mapping[str, str]], *, problems: bool = False) -> str:
    """`rows` as in `-o json`: id, title, where, result, found, meaning, advice. With `problems` only those
    that are not ok, and the counts of all."""
    several = len({row["where"] for row in rows if row["where"]}) > 1
    listed = [row for row in rows if row["result"] != "ok" or not problems]
    lines = [line for row in listed for line in _check_lines(row, several=several)]
    return "\n".join([*lines, *([""] if lines else []), _check_summary(rows)]) + "\n"


def _check_lines(row: Mapping[str, str], *, several: bool) -> list[str]:
    where = f" [{shown(row['where'])}]" if several and row["where"] else ""
    first, *rest = [shown(line.strip()) for line in row["found"].split("\n")]
    lines = [f"{row['id']}  {row['result']:<8} {row['title']}{where}: {first}"]
    lines += [f"{_INDENT}{line}" for line in rest]
    if row["result"] not in _QUIET:
        lines.append(f"{_INDENT}{shown(row['meaning'])}")
    if row["advice"]:
        lines += [f"{_INDENT}-> {shown(line)}" for line in row["advice"].split("\n")]
    return lines


def _check_summary(rows: Sequence[Mapping[str, str]]) -> str:
    counts = Counter(row["result"] for row in rows)
    several = {name: f"{name}{'s' if counts[name] != 1 else ''}" for name in ("error", "warning")}
    results = [f"{counts[name]} {noun}" for name, noun in several.items() if counts[name]]
    results += [f"{counts[name]} {name}" for name in ("skipped", "ok") if counts[name]]
    return f"{len(rows)} checks: {', '.join(results)}"
