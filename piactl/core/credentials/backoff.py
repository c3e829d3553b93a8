"""How long to wait after wrong identity checks: of one account, and of all accounts together.

An attempt is counted before it is judged and taken back when it was right, so that many at once, on many
hosts, are no more tries than one after another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

FREE_TRIES = 5
FIRST_WAIT = timedelta(minutes=1)
LONGEST_WAIT = timedelta(days=1)
FORGOTTEN_AFTER = timedelta(days=7)
WINDOW = timedelta(hours=1)
"""The time over which the failures of all accounts are counted."""


@dataclass(frozen=True, slots=True)
class Attempts:
    """Wrong checks of one account since the last right one, and when the last of them was."""

    failures: int = 0
    last: datetime | None = None

    def remembered(self, now: datetime) -> Attempts:
        """What still counts: nothing where the last failure is long ago."""
        if self.last is None or now - self.last >= FORGOTTEN_AFTER:
            return Attempts()
        return self

    def failed(self, now: datetime) -> Attempts:
        return Attempts(self.failures + 1, now)

    @property
    def open_at(self) -> datetime | None:
        """When the next check may be made, None where at once."""
        wait = wait_after(self.failures)
        return self.last + wait if self.last is not None and wait else None


def wait_after(failures: int) -> timedelta:
    """Nothing up to FREE_TRIES - 1 failures, then FIRST_WAIT, doubled by each further one."""
    beyond = failures - FREE_TRIES
    if beyond < 0:
        return timedelta()
    # beyond some twenty doublings it is the longest anyway, and far beyond them no timedelta could hold it
    doublings: int = 2 ** min(beyond, 20)
    return min(FIRST_WAIT * doublings, LONGEST_WAIT)


def recent(failures: Sequence[datetime], now: datetime) -> tuple[datetime, ...]:
    """The failures, of all accounts, that count now, the oldest first."""
    return tuple(sorted(one for one in failures if now - one < WINDOW))


def all_open_at(failures: Sequence[datetime], limit: int) -> datetime | None:
    """When the next check of any account may be made, None where at once. `failures` are the recent ones."""
    return failures[-limit] + WINDOW if len(failures) >= limit else None
