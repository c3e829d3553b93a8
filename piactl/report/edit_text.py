"""The text output of a one-off edit: its changes by account."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from piactl.report.escaping import shown
from piactl.report.plan_text import change_text

Result = Mapping[str, Any]

COLUMNS = ("account", "uid", "outcome", "kinds", "message")
_FIRST_DAYS = 8


def result_text(result: Result) -> str:
    """One account: each change with its reason, and what follows on later days."""
    return "".join(f"{shown(line)}\n" for line in _lines(result))


def _lines(result: Result) -> Iterator[str]:
    who = result["uid"] or result["account"]
    said = f"{who}: {result['outcome']}"
    first, *more = result["message"].split("\n")
    yield f"{said}: {first}" if first else said
    yield from (f"  {line}" for line in more)
    for change in result["changes"]:
        yield f"  {change['kind']:<11}{change_text(change, who=False)}"
    ahead = result["outlook"]
    for event in ahead[:_FIRST_DAYS]:
        yield f"  {event['day']} {event['what']}"
    if len(ahead) > _FIRST_DAYS:
        yield f"  ... and {len(ahead) - _FIRST_DAYS} more; see: piactl account timeline {who}"
