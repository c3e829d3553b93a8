"""Accounts that lost something in the last runs: what the guards on several days count."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date

from piactl.core.plan.change import WINDOW

LONGEST_WINDOW = 31
"""Days for which losses are remembered."""

Losses = Mapping[date, Mapping[str, int]]
"""Accounts with each kind of loss, by day of the run."""

NO_LOSSES: Losses = {}


def losses_since(losses: Losses, first: date) -> Counter[str]:
    """The losses since a day, by kind."""
    total: Counter[str] = Counter()
    for day, counts in losses.items():
        if day >= first:
            total.update(counts)
    return total


def losses_with(losses: Losses, summary: Mapping[str, int], as_of: date) -> Losses:
    """The losses, including the losses of one more run; those older than LONGEST_WINDOW are dropped."""
    recent = {d: counts for d, counts in losses.items() if (as_of - d).days < LONGEST_WINDOW}
    lost = {kind: summary[kind] for kind in WINDOW if summary.get(kind)}
    return {**recent, as_of: dict(Counter(recent.get(as_of, {})) + Counter(lost))} if lost else recent


def losses_beyond(losses: Losses, recorded: Losses) -> Losses:
    """The losses that are not in `recorded`."""
    excess = {day: dict(Counter(counts) - Counter(recorded.get(day, {}))) for day, counts in losses.items()}
    return {day: counts for day, counts in excess.items() if counts}


def losses_before(losses: Losses, unfinished: Losses, summary: Mapping[str, int], as_of: date) -> Losses:
    """The losses of the runs before a plan with this summary. An unfinished run of another day counts with
    all its planned losses, one of the same day only with those that the plan does not repeat."""
    for day, planned in unfinished.items():
        made = Counter(planned) - Counter(summary if day == as_of else {})
        losses = losses_with(losses, made, day)
    return losses


def losses_until(losses: Losses, last: date) -> Losses:
    """The losses, with those of days after `last` moved to that day."""
    moved: dict[date, Counter[str]] = {}
    for day, counts in sorted(losses.items()):
        moved.setdefault(min(day, last), Counter()).update(counts)
    return {day: dict(counts) for day, counts in moved.items()}


def losses_without(losses: Losses, allowed: Iterable[str]) -> Losses:
    """The losses without the approved kinds (of one plan or in the window), whose count starts again."""
    approved = {kind for kind, window in WINDOW.items() if {kind, window} & {*allowed}}
    remaining = {d: {k: n for k, n in counts.items() if k not in approved} for d, counts in losses.items()}
    return {d: counts for d, counts in remaining.items() if counts}
