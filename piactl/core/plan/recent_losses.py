"""Accounts that lost something in the last runs: what the guards on several days count."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date

from piactl.core.plan.change import WINDOW, Holding

LONGEST_WINDOW = 31
"""Days for which losses are remembered."""

Losses = Mapping[date, Mapping[str, int]]
"""Accounts with each kind of loss, by day of the run."""

NO_LOSSES: Losses = {}

RETURN_DAYS = 14
"""Days in which what a run took may come back without counting as growth."""

Holdings = Mapping[str, frozenset[Holding]]
"""By uid, what an account gained or lost."""

Taken = Mapping[date, Holdings]
"""What runs took from accounts and none has given back, by day of the run."""

NOTHING_TAKEN: Taken = {}


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


def is_recent(day: date, as_of: date) -> bool:
    """Whether what a run of that day took may come back."""
    return (as_of - day).days < RETURN_DAYS


def taken_lately(taken: Taken, as_of: date) -> dict[str, frozenset[Holding]]:
    """What runs of the last days took and none has given back, by uid."""
    return _joined(holdings for day, holdings in taken.items() if is_recent(day, as_of))


def taken_after(taken: Taken, lost: Holdings, given: Holdings, as_of: date) -> Taken:
    """What is taken after one more run, which takes what accounts `lost` and gives back what it has
    `given`."""
    result = {}
    for day, holdings in taken.items():
        left = {uid: some - given.get(uid, frozenset()) for uid, some in holdings.items()}
        result[day] = {uid: some for uid, some in left.items() if some and is_recent(day, as_of)}
    result[as_of] = _joined([result.get(as_of, {}), lost])
    return {day: holdings for day, holdings in result.items() if holdings}


def taken_in_either(one: Taken, other: Taken) -> Taken:
    """What either says: a run that began to write may have taken, and may not have given back."""
    return {day: _joined([one.get(day, {}), other.get(day, {})]) for day in sorted({*one, *other})}


def taken_until(taken: Taken, last: date) -> Taken:
    """The same, with what was taken on days after `last` moved to that day."""
    days: dict[date, list[Holdings]] = {}
    for day, holdings in taken.items():
        days.setdefault(min(day, last), []).append(holdings)
    return {day: _joined(some) for day, some in days.items()}


def _joined(several: Iterable[Holdings]) -> dict[str, frozenset[Holding]]:
    result: dict[str, frozenset[Holding]] = {}
    for holdings in several:
        for uid, some in holdings.items():
            result[uid] = result.get(uid, frozenset()) | some
    return result
