"""Compares the limits of guards with what ordinary nights counted: runs of a plan that nothing refused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from math import ceil, inf

from piactl.core.model.guard_limits import Guard
from piactl.core.model.periods import in_period
from piactl.core.model.policy import Policy
from piactl.core.plan.check_guards import PER, guards_on
from piactl.core.plan.state_between_runs import RunStatus
from piactl.directory.interfaces import Reader
from piactl.directory.store.record_entries import UnreadableRecords
from piactl.directory.store.run_records import is_undone, read_runs
from piactl.directory.store.state_records import read_last

LEAST = 10
"""The smallest number that is suggested: one person can read ten accounts in a plan."""
LEAST_OF_SCOPE = 5
"""The same for one establishment or profile."""
ALL_YEAR = ""

NightCounts = Mapping[str, tuple[int, int]]
"""The accounts that each kind of guard counts in one night, and among how many; `KIND per establishment`
those of the establishment that came nearest to its limit."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A guard in one period of the year ("" is the rest of it) and the ordinary night that came nearest to
    its limit, or exceeded it most: it counted `most` of `of` accounts, and `limit` is the most that the
    policy allows of this many, None if it has no such guard. `suggested` would have stopped none of the
    nights."""

    kind: str
    period: str
    nights: int
    most: int
    of: int
    day: date
    limit: int | None
    suggested: int


def ordinary_nights(
    reader: Reader, state: str, unreadable: UnreadableRecords
) -> list[tuple[date, NightCounts]]:
    """The runs of a plan that ended well without an approval and were not undone, oldest first. The record of
    an applied plan, or of an older version, has only the kinds of change; the number of accounts is then that
    of the last run."""
    last = read_last(reader, state, unreadable)
    total = last.census.total if last is not None else 0
    nights: list[tuple[date, NightCounts]] = []
    records = read_runs(reader, state, unreadable)
    by_id = {record["run"]: record for record in records}
    for record in reversed(records):
        of_plan = record.get("plan") and not record.get("undoes") and not is_undone(record, by_id)
        if of_plan and record["status"] == RunStatus.DONE and not record.get("allowed"):
            counts: NightCounts = {
                kind: (number, total) for kind, number in record.get("summary", {}).items()
            }
            if "counted" in record:
                counts = {kind: (number, of) for kind, (number, of) in record["counted"].items()}
            nights.append((date.fromisoformat(record["as_of"]), counts))
    return nights


def suggestions(
    nights: Iterable[tuple[date, NightCounts]], policy: Policy, margin: float
) -> list[Suggestion]:
    """One row for each kind and period that an ordinary night counted, those with the least room first.
    `suggested` is `margin` times the most of one night."""
    nearest: dict[tuple[str, str], tuple[float, int, int, date, int | None]] = {}
    largest: dict[tuple[str, str], int] = {}
    number: dict[tuple[str, str], int] = {}
    for day, counts in nights:
        guards = guards_on(policy, day)
        for kind, (accounts, of) in counts.items():
            if not of:
                continue  # a first load
            base, _, scope = kind.partition(PER)
            guard = guards[base][1] if base in guards else Guard()
            number_limit = guard.limit(scope)
            limit = number_limit.most(of) if number_limit is not None else None
            used = inf if limit == 0 else accounts / limit if limit else 0.0
            key = kind, _period(policy, kind, day)
            near = used, accounts, of, day, limit
            nearest[key] = max(
                near, nearest.get(key, near), key=lambda candidate: (candidate[0], candidate[1])
            )
            largest[key] = max(accounts, largest.get(key, 0))
            number[key] = number.get(key, 0) + 1
    rows = []
    for (kind, period), (used, accounts, of, day, limit) in nearest.items():
        least = LEAST_OF_SCOPE if PER in kind else LEAST
        suggested = max(least, ceil(largest[kind, period] * margin))
        rows.append(
            (-used, Suggestion(kind, period, number[kind, period], accounts, of, day, limit, suggested))
        )
    return [row for _, row in sorted(rows, key=lambda pair: (pair[0], pair[1].kind, pair[1].period))]


def _period(policy: Policy, kind: str, day: date) -> str:
    """The period whose guard of a kind applies on a day, "" for none; of several the last one in the file."""
    kind = kind.partition(PER)[0]
    names = (p.name for p in reversed(policy.periods) if kind in p.guards and in_period(day, p.first, p.last))
    return next(names, ALL_YEAR)
