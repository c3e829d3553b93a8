"""The wait after failed identity checks, per account and over all accounts.

An attempt is counted before it is checked, and uncounted if it was right. Parallel attempts on several hosts
therefore give no more tries than attempts one after another.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from piactl.dataclass import dataclass

FREE_TRIES = 5
FIRST_WAIT = timedelta(minutes=1)
LONGEST_WAIT = timedelta(days=1)
FORGOTTEN_AFTER = timedelta(days=7)
WINDOW = timedelta(hours=1)
"""The time over which the failures of all accounts are counted."""


@dataclass(frozen=True, slots=True)
class Attempts:
    """The failed checks of one account since the last successful one, and the time of the last failure."""

    failures: int = 0
    last: datetime | None = None

    def remembered(self, now: datetime) -> Attempts:
        """The attempts that still count: none if the last failure is older than FORGOTTEN_AFTER."""
        if self.last is None or now - self.last >= FORGOTTEN_AFTER:
            return Attempts()
        return self

    def failed(self, now: datetime) -> Attempts:
        return Attempts(self.failures + 1, now)

    @property
    def open_at(self) -> datetime | None:
        """When the next check is allowed; None is at once."""
        wait = wait_after(self.failures)
        return self.last + wait if self.last is not None and wait else None


def wait_after(failures: int) -> timedelta:
    """No wait before FREE_TRIES failures, then FIRST_WAIT, doubled by each further failure."""
    beyond = failures - FREE_TRIES
    if beyond < 0:
        return timedelta()
    # twenty doublings exceed LONGEST_WAIT; many more would overflow a timedelta
    doublings: int = 2 ** min(beyond, 20)
    return min(FIRST_WAIT * doublings, LONGEST_WAIT)


def recent(failures: Sequence[datetime], now: datetime) -> tuple[datetime, ...]:
    """The failures of all accounts within WINDOW, the oldest first."""
    return tuple(sorted(failure for failure in failures if now - failure < WINDOW))


def all_open_at(failures: Sequence[datetime], limit: int) -> datetime | None:
    """When the next check of any account is allowed; None is at once. `failures` are the recent ones."""
    return failures[-limit] + WINDOW if len(failures) >= limit else None
