"""The clock of the directory: a run whose host disagrees with it writes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from piactl.errors import UnsafePlan


@dataclass(frozen=True, slots=True)
class ClockReading:
    """The instant at which the server made a write, between two instants of this host."""

    before: datetime
    server: datetime
    after: datetime

    def ahead(self) -> timedelta:
        """How far this host is ahead of the server, negative if it is behind."""
        if self.server < self.before:
            return self.before - self.server
        return min(self.after - self.server, timedelta(0))


def server_instant(stamp: bytes) -> datetime | None:
    """The instant in an entryCSN or a modifyTimestamp, to the second; None if there is none."""
    try:
        return datetime.strptime(stamp[:14].decode("ascii"), "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None


def check_server_clock(reading: ClockReading | None, minutes: int) -> None:
    """Raises UnsafePlan if the clocks of this host and of the server differ by more than `minutes`, or if the
    server does not say its time."""
    if reading is None:
        raise UnsafePlan(
            "the server does not say when it wrote the run lock, so the clock of this host cannot be "
            "checked; nothing was written\n"
            "Give the nightly identity the right to read entryCSN or modifyTimestamp"
        )
    ahead = reading.ahead()
    # the server's instant is known to the second
    if abs(ahead) <= timedelta(minutes=minutes, seconds=1):
        return
    here = reading.before if ahead > timedelta(0) else reading.after
    raise UnsafePlan(
        f"the clock of this host says {here:%Y-%m-%d %H:%M:%S} UTC, that of the server "
        f"{reading.server:%Y-%m-%d %H:%M:%S} UTC (limit: {minutes} minutes); nothing was written\n"
        "Correct the wrong clock (`timedatectl`, `chronyc tracking`), then run again"
    )
