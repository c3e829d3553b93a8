"""The clock of the server: a run on a host whose clock disagrees with it writes nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from piactl.core.plan.write import Write
from piactl.core.text import utc_instant
from piactl.directory.port import Outcome, Writer, WriteResult, write_one
from piactl.directory.store.records import DATA, Places, dumps, foreign_entry, is_record, record_write
from piactl.errors import PiactlError, UnsafePlan
from piactl.phrase import Phrase, joined

Stamp = tuple[str, "ClockReading | None"]
"""What a write shows of the server: the entryCSN of the entry, "" if unknown, and when it was made."""


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
        return utc_instant(stamp[:14].decode("ascii"))
    except ValueError:
        return None


def timed_write(
    writer: Writer, write: Write, now: Callable[[], datetime]
) -> tuple[WriteResult, ClockReading | None]:
    """Makes one write; also returns when the server made it, by the entryCSN in the answer, None if there is
    none."""
    before = now()
    result = write_one(writer, write)
    server = server_instant(result.csn_after)
    return result, ClockReading(before, server, now()) if server is not None else None


def time_of_last_write(writer: Writer, dn: str, now: Callable[[], datetime]) -> ClockReading | None:
    """When the server made the last write of an entry, if the answer to that write did not say it; None if
    the server does not say it."""
    entry = writer.read(dn, ["modifyTimestamp"])
    server = server_instant(entry.first("modifyTimestamp") or b"") if entry is not None else None
    instant = now()
    return ClockReading(instant, server, instant) if server is not None else None


_SERVER = Phrase("the server")


def check_server_clock(reading: ClockReading | None, minutes: int, server: str = _SERVER) -> None:
    """Raises UnsafePlan if the clocks of this host and of the server differ by more than `minutes`, or if the
    server does not say its time."""
    if reading is None:
        problem = Phrase(
            "the server does not say when it wrote a record, so the clock of this host cannot be checked"
        )
        way_on = Phrase(
            "Nothing was written. Give the service identities the right to read entryCSN or modifyTimestamp"
        )
        raise UnsafePlan(joined([problem, way_on], "{first}\n{second}"))
    ahead = reading.ahead()
    # the server's instant is known to the second
    if abs(ahead) <= timedelta(minutes=minutes, seconds=1):
        return
    here = reading.before if ahead > timedelta(0) else reading.after
    problem = Phrase(
        "the clock of this host says {here} UTC, that of {server} {there} UTC (limit: {minutes} minutes)",
        here=f"{here:%Y-%m-%d %H:%M:%S}",
        server=server,
        there=f"{reading.server:%Y-%m-%d %H:%M:%S}",
        minutes=minutes,
    )
    way_on = Phrase(
        "Nothing was written. Correct the wrong clock (`timedatectl`, `chronyc tracking`), then run again"
    )
    raise UnsafePlan(joined([problem, way_on], "{first}\n{second}"))


def check_other_clocks(writer: Writer, now: Callable[[], datetime], minutes: int) -> None:
    """Raises UnsafePlan for another server of the list whose clock differs by more than `minutes` from that
    of this host: one that is ahead drops what a run writes as older than its own changes."""
    before = now()
    times = writer.server_times()
    after = now()
    for uri, server in times.items():
        check_server_clock(ClockReading(before, server, after), minutes, uri)


def clock_write(state: str) -> Write:
    """Replaces `cn=clock`, which every identity that writes may do: its entryCSN shows the time of the server
    and its serverID."""
    return Write("modify", Places(state).clock, delete={DATA: ()}, add={DATA: (dumps({}),)})


def stamp_clock(writer: Writer, state: str, now: Callable[[], datetime]) -> Stamp:
    """Writes `cn=clock`; returns its entryCSN, "" if the answer does not have it, and when the server wrote
    it. Raises UnreadableRecord for an entry of another program in its place, PiactlError if it cannot be
    written."""
    replace = clock_write(state)
    dn = replace.dn
    # the first command on this directory needs the second write, and the third if another command was faster
    for write in (replace, record_write(dn, None, {}) or replace, replace):
        result, reading = timed_write(writer, write, now)
        if result.outcome is Outcome.APPLIED:
            csn = result.csn_after.decode("ascii", "replace")
            return csn, reading or time_of_last_write(writer, dn, now)
    entry = writer.read(dn, ["objectClass"])
    if entry is not None and not is_record(entry):
        raise foreign_entry(dn)
    raise PiactlError(
        f"{dn}: the record that shows the clock of the server cannot be written: {result.message}"
    )
