"""The metrics of a night in the text format of Prometheus' node exporter."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
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
    sizes = {
        f"last_run_{name}": (f"How many {name} its plan has.", len(document.get(name, [])))
        for name in ("rejections", "holds", "absents", "disagreements", "contradictions", "drift", "refusals")
    }
    gauges: dict[str, tuple[str, object]] = {
        "last_success_timestamp_seconds": (
            "When the last nightly with exit code 0 ended.",
            f"{last_success:.0f}",
        ),
        "last_run_timestamp_seconds": ("When the last nightly ended.", f"{now:.0f}"),
        "last_run_exit_code": ("Its exit code; 0 is done.", code),
        "last_run_accounts": ("Accounts by kind of change in its plan.", ("kind", summary)),
        "last_run_writes": ("Writes by what became of them.", ("outcome", outcomes)),
        **sizes,
        "last_run_cases": (
            "Open cases: all, those whose newcomer starts soon, overdue ones; wrong: rows for HR to correct.",
            ("cases", cases),
        ),
        "last_run_holds_by_code": ("People held, by what holds them.", ("code", holds)),
        "last_run_drift_by_class": ("Foreign changes, by class.", ("class", drifts)),
        "last_run_rejected_rows": ("Rows rejected, by source.", ("source", rejected)),
        "last_run_feed_age_days": (
            "Days since the date of the last feed, by source; -1 is unknown.",
            ("source", ages),
        ),
        "break_glass_runs": ("Runs of the last 30 days that did without another person.", break_glass),
        "last_run_oldest_hold_days": ("For how many days the longest hold lasts.", oldest_hold),
        "last_run_unreadable_records": (
            "Records in the directory that it could not read.",
            unreadable,
        ),
        "last_run_canaries_let_in": ("Binds of accounts that must be refused, and were not.", let_in),
        "hook_events_waiting": ("Events that a hook has not taken; the next run tries again.", waiting),
    }
    return "".join(_gauge(f"piactl_{name}", *facts) for name, facts in gauges.items())


def _gauge(name: str, help_: str, value: object) -> str:
    """A gauge; `value` is one number, or a label with a number for each of its values."""
    lines = [f"# HELP {name} {help_}", f"# TYPE {name} gauge"]
    if isinstance(value, tuple):
        label, numbers = value
        lines += [f'{name}{{{label}="{of}"}} {number}' for of, number in sorted(numbers.items())]
    else:
        lines.append(f"{name} {value}")
    return "".join(f"{line}\n" for line in lines)
