"""The metrics of a night in the text format of Prometheus' node exporter."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from piactl.core.plan.change import Kind
from piactl.core.plan.drift import DriftClass
from piactl.core.plan.plan import HoldCode

NO_FEEDS: Mapping[str, tuple[int, int]] = {}
LAST_SUCCESS = re.compile("^piactl_last_success_timestamp_seconds ([0-9]+)$", re.MULTILINE)


def metrics_text(
    now: float,
    code: int,
    document: Mapping[str, Any],
    outcomes: Mapping[str, int],
    unreadable: int = 0,
    let_in: int = 0,
    last_success: float = 0,
    oldest_hold: int = 0,
    waiting: int = 0,
    break_glass: int = 0,
    feeds: Mapping[str, tuple[int, int]] = NO_FEEDS,
) -> str:
    """The text of the metrics file, including series at 0. `now` and `last_success`, the end of the last
    night that ended with 0, are in seconds since the epoch; `document` is the plan, empty if there was none;
    `outcomes` has each outcome of writes; `unreadable` counts the records of piactl that the run could not
    read, `let_in` the binds of canaries that a server accepted; `oldest_hold` is in days; `break_glass`
    counts the runs of the last days that were applied without the approval of another person; `feeds` has the
    rejected rows and the age in days of each source, -1 for an unknown age. `waiting` counts the events that
    wait for a hook."""
    summary = {kind.value: 0 for kind in Kind} | document.get("summary", {})
    cases = {"open": 0, "soon": 0, "overdue": 0, "wrong": 0} | document.get("cases", {})
    holds = {code.value: 0 for code in HoldCode} | Counter(hold["code"] for hold in document.get("holds", []))
    drifts = {drift_class.value: 0 for drift_class in DriftClass} | Counter(
        drift["drift_class"] for drift in document.get("drift", [])
    )
    rejected = {source: rows for source, (rows, _) in feeds.items()}
    ages = {source: age for source, (_, age) in feeds.items()}
    lines = [
        *_gauge(
            "last_success_timestamp_seconds",
            "When the last nightly with exit code 0 ended.",
            f"{last_success:.0f}",
        ),
        *_gauge("last_run_timestamp_seconds", "When the last nightly ended.", f"{now:.0f}"),
        *_gauge("last_run_exit_code", "Its exit code; 0 is done.", code),
        *_labelled("last_run_accounts", "Accounts by kind of change in its plan.", "kind", summary),
        *_labelled("last_run_writes", "Writes by what became of them.", "outcome", outcomes),
    ]
    for name in ("rejections", "holds", "absents", "disagreements", "contradictions", "drift", "refusals"):
        lines += _gauge(f"last_run_{name}", f"How many {name} its plan has.", len(document.get(name, [])))
    lines += [
        *_labelled(
            "last_run_cases",
            "Open cases: all, those whose newcomer starts soon, overdue ones; wrong: rows for HR to correct.",
            "cases",
            cases,
        ),
        *_labelled("last_run_holds_by_code", "People held, by what holds them.", "code", holds),
        *_labelled("last_run_drift_by_class", "Foreign changes, by class.", "class", drifts),
        *_labelled("last_run_rejected_rows", "Rows rejected, by source.", "source", rejected),
        *_labelled(
            "last_run_feed_age_days",
            "Days since the date of the last feed, by source; -1 is unknown.",
            "source",
            ages,
        ),
        *_gauge("break_glass_runs", "Runs of the last 30 days that did without another person.", break_glass),
        *_gauge("last_run_oldest_hold_days", "For how many days the longest hold lasts.", oldest_hold),
        *_gauge(
            "last_run_unreadable_records", "Records in the directory that it could not read.", unreadable
        ),
        *_gauge("last_run_canaries_let_in", "Binds of accounts that must be refused, and were not.", let_in),
        *_gauge(
            "hook_events_waiting", "Events that a hook has not taken; the next run tries again.", waiting
        ),
    ]
    return "\n".join(lines) + "\n"


def _gauge(name: str, help_: str, value: object) -> Iterator[str]:
    yield from _head(name, help_)
    yield f"piactl_{name} {value}"


def _labelled(name: str, help_: str, label: str, numbers: Mapping[str, int]) -> Iterator[str]:
    """A gauge with a label."""
    yield from _head(name, help_)
    for value, number in sorted(numbers.items()):
        yield f'piactl_{name}{{{label}="{value}"}} {number}'


def _head(name: str, help_: str) -> Iterator[str]:
    yield f"# HELP piactl_{name} {help_}"
    yield f"# TYPE piactl_{name} gauge"
