"""The periods of an account's timeline."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any, NamedTuple

from piactl.core.model.account import Account, State
from piactl.core.model.periods import civil
from piactl.core.rules.career import careers_from
from piactl.core.rules.desired_account import Rules
from piactl.core.text import iso
from piactl.core.timeline_rows import Row, RowGroup, timeline_rows
from piactl.errors import UsageError
from piactl.phrase import Phrase

_BACK, _AHEAD, _LEAST, _ROOM = 365, 400, 90, 15
"""In days: how far a picture reaches back and ahead by default, at least, and its margin."""


class Timeline(NamedTuple):
    """The rows of an account, and the first and last day to draw."""

    account: Account
    rows: Sequence[Row]
    as_of: date
    first: date
    last: date


def timeline(account: Account, rules: Rules, first: date | None = None, last: date | None = None) -> Timeline:
    """The timeline by the current assignments and policy; overrides end on their days. Without `first` and
    `last` it covers the days around `as_of` on which something changes, about a year at most each way. An
    archived account has no rows.

    Raises UsageError if `last` is before `first`.
    """
    rows: list[Row] = []
    as_of, policy = rules.as_of, rules.policy
    if account.state is not State.ARCHIVED:
        rows = timeline_rows(account, careers_from(account, policy, rules.register, as_of), policy)
    begin, end = _days(rows, as_of)
    first, last = first or (min(begin, last) if last else begin), last or (max(end, first) if first else end)
    if last < first:
        raise UsageError(Phrase("--until {last}: is before --from {first}", last=last, first=first))
    begin_day, end_day = first.toordinal(), last.toordinal()
    inside = [row for row in rows if any(s.first <= end_day and s.last >= begin_day for s in row.spans)]
    return Timeline(account, inside, as_of, first, last)


def _days(rows: Sequence[Row], as_of: date) -> tuple[date, date]:
    """The first and last day to draw: the first day of a month, and the last day of a month."""
    today = as_of.toordinal()
    edges = [edge for row in rows for span in row.spans for edge in (span.first, span.last + 1)]
    near = [edge for edge in edges if today - _BACK <= edge <= today + _AHEAD]
    begin = min([today - _LEAST, *(edge - _ROOM for edge in near)])
    end = max([today + _LEAST, *(edge + _ROOM for edge in near)])
    first = date.fromordinal(begin).replace(day=1)
    last = (date.fromordinal(end).replace(day=1) + timedelta(days=32)).replace(day=1) - timedelta(days=1)
    return first, last


def timeline_facts(drawn: Timeline) -> dict[str, Any]:
    """The document of `account timeline -o json`: the account, the days, and per group the rows with a day in
    them, each with `label`, `note` and all its `periods` (`from`, `to`: None is open; `kind`)."""
    account = drawn.account
    facts: dict[str, Any] = {
        "uid": account.uid,
        "matricule": account.matricule,
        "display_name": None if account.state is State.ARCHIVED else account.display_name,
        "as_of": drawn.as_of.isoformat(),
        "from": drawn.first.isoformat(),
        "until": drawn.last.isoformat(),
    }
    groups: dict[str, list[dict[str, Any]]] = {group.value: [] for group in RowGroup}
    for row in drawn.rows:
        periods = [
            {"from": iso(civil(span.first)), "to": iso(civil(span.last)), "kind": span.shade.value}
            for span in row.spans
        ]
        fact = {"label": row.label, "note": row.note or None, "periods": periods}
        groups[row.group.value].append(fact)
    return {**facts, **groups}
