"""The text output of `doctor`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from piactl.phrase import Phrase, counted, joined
from piactl.report.escaping import shown
from piactl.translation import translate, translate_word

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
    place = [f"[{row['where']}]"] if several and row["where"] else []
    title = joined([row["title"], *place], "{first} {second}")
    found = Phrase("{name}: {text}", name=title, text=row["found"])
    first, *rest = [shown(line.strip()) for line in translate(found).split("\n")]
    lines = [f"{row['id']}  {translate_word(row['result']):<8} {first}"]
    lines += [f"{_INDENT}{line}" for line in rest]
    if row["result"] not in _QUIET:
        lines.append(f"{_INDENT}{shown(translate(row['meaning']))}")
    if row["advice"]:
        lines += [f"{_INDENT}-> {shown(line)}" for line in translate(row["advice"]).split("\n")]
    return lines


def _check_summary(rows: Sequence[Mapping[str, str]]) -> str:
    counts = Counter(row["result"] for row in rows)
    results = [
        counted(counts["error"], "error", "errors"),
        counted(counts["warning"], "warning", "warnings"),
        Phrase("{number} skipped", number=counts["skipped"]),
        Phrase("{number} ok", number=counts["ok"]),
    ]
    listed = joined((words for words in results if not words.startswith("0 ")), "{first}, {second}")
    checks = counted(len(rows), "check", "checks")
    return translate(Phrase("{name}: {text}", name=checks, text=listed))
