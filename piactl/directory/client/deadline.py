"""Time limits of whole operations: a socket timeout starts anew with every byte, a deadline does not."""

from __future__ import annotations

import time


class Deadline:
    """The moment, `seconds` from its making, at which one operation is given up."""

    __slots__ = ("_end", "seconds")

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    def remaining(self) -> float:
        """Seconds left, more than 0. Raises TimeoutError when there are none."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise self.passed()
        return left

    def passed(self) -> TimeoutError:
        """The error for an answer that did not come in time."""
        return TimeoutError(f"no complete answer within {self.seconds:.3g} s")

    def allows(self, seconds: float) -> bool:
        """Whether that long can be waited and some time is left after it."""
        return self._end - time.monotonic() > seconds
