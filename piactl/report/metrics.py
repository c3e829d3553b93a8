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
    run: str,
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
    """The text of the metrics file, with each series also at 0. `now` and `last_success`, the end of the last
    night that ended with 0, are in seconds since the epoch; `document` is the plan, empty if there was none;
    `outcomes` has each outcome of writes; `unreadable` counts the records of piactl that the run could not
    read, `let_in` the binds of canaries that a server accepted; `oldest_hold` is in days; `break_glass`
    counts the runs of the last days that did without another person; `feeds` has the rejected rows and the
    age in days of each source, -1 for an unknown age. `waiting`
    counts the events that wait for a hook."""
    lines = [
        "# HELP piactl_last_success_timestamp_seconds When the last nightly with exit code 0 ended.",
        "# TYPE piactl_last_success_timestamp_seconds gauge",
        f"piactl_last_success_timestamp_seconds {last_success:.0f}",
        "# HELP piactl_last_run_timestamp_seconds When the last nightly ended.",
        "# TYPE piactl_last_run_timestamp_seconds gauge",
        f"piactl_last_run_timestamp_seconds {now:.0f}",
        "# HELP piactl_last_run_exit_code Its exit code; 0 is done.",
        "# TYPE piactl_last_run_exit_code gauge",
        f"piactl_last_run_exit_code {code}",
        "# HELP piactl_last_run_accounts Accounts by kind of change in its plan.",
        "# TYPE piactl_last_run_accounts gauge",
    ]
    summary = {kind.value: 0 for kind in Kind} | document.get("summary", {})
    for kind, number in sorted(summary.items()):
        lines.append(f'piactl_last_run_accounts{{kind="{kind}"}} {number}')
    lines += [
        "# HELP piactl_last_run_writes Writes by what became of them.",
        "# TYPE piactl_last_run_writes gauge",
    ]
    for outcome, number in sorted(outcomes.items()):
        lines.append(f'piactl_last_run_writes{{outcome="{outcome}"}} {number}')
    for name in ("rejections", "holds", "absents", "disagreements", "contradictions", "drift", "refusals"):
        lines += [
            f"# HELP piactl_last_run_{name} How many {name} its plan has.",
            f"# TYPE piactl_last_run_{name} gauge",
            f"piactl_last_run_{name} {len(document.get(name, []))}",
        ]
    lines += [
        "# HELP piactl_last_run_cases Open cases: all, those whose newcomer starts soon, overdue ones.",
        "# TYPE piactl_last_run_cases gauge",
    ]
    holds = {code.value: 0 for code in HoldCode} | Counter(one["code"] for one in document.get("holds", []))
    drift = {one.value: 0 for one in DriftClass} | Counter(
        one["drift_class"] for one in document.get("drift", [])
    )
    cases = {"open": 0, "soon": 0, "overdue": 0} | document.get("cases", {})
    for name, number in sorted(cases.items()):
        lines.append(f'piactl_last_run_cases{{cases="{name}"}} {number}')
    lines += _labelled("piactl_last_run_holds_by_code", "People held, by what holds them.", "code", holds)
    lines += _labelled("piactl_last_run_drift_by_class", "Foreign changes, by class.", "class", drift)
    lines += _labelled(
        "piactl_last_run_rejected_rows",
        "Rows rejected, by source.",
        "source",
        {source: rows for source, (rows, _) in feeds.items()},
    )
    lines += _labelled(
        "piactl_last_run_feed_age_days",
        "Days since the date of the last feed, by source; -1 is unknown.",
        "source",
        {source: age for source, (_, age) in feeds.items()},
    )
    lines += [
        "# HELP piactl_break_glass_runs Runs of the last 30 days that did without another person.",
        "# TYPE piactl_break_glass_runs gauge",
        f"piactl_break_glass_runs {break_glass}",
        "# HELP piactl_last_run_oldest_hold_days For how many days the longest hold lasts.",
        "# TYPE piactl_last_run_oldest_hold_days gauge",
        f"piactl_last_run_oldest_hold_days {oldest_hold}",
        "# HELP piactl_last_run_unreadable_records Records in the directory that it could not read.",
        "# TYPE piactl_last_run_unreadable_records gauge",
        f"piactl_last_run_unreadable_records {unreadable}",
        "# HELP piactl_last_run_canaries_let_in Binds of accounts that must be refused, and were not.",
        "# TYPE piactl_last_run_canaries_let_in gauge",
        f"piactl_last_run_canaries_let_in {let_in}",
        "# HELP piactl_hook_events_waiting Events that a hook has not taken; the next run tries again.",
        "# TYPE piactl_hook_events_waiting gauge",
        f"piactl_hook_events_waiting {waiting}",
    ]
    return "\n".join(lines) + "\n"


def _labelled(name: str, help_: str, label: str, numbers: Mapping[str, int]) -> Iterator[str]:
    """One gauge with a label."""
    yield f"# HELP {name} {help_}"
    yield f"# TYPE {name} gauge"
    for value, number in sorted(numbers.items()):
        yield f'{name}{{{label}="{value}"}} {number}'
