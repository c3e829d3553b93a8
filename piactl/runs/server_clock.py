"""The clock of the server: a run on a host whose clock disagrees with it writes nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from piactl.core.plan.write import Write
from piactl.core.text import utc_instant
from piactl.directory.interfaces import Outcome, Writer, WriteResult, write_one
from piactl.directory.store.account_entries import CSN
from piactl.directory.store.record_entries import DATA, Places, dumps, foreign_entry, is_record, new_record
from piactl.errors import PiactlError, UnsafePlan
from piactl.phrase import Phrase, joined


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


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a write shows of the server: the entryCSN of the entry, "" if it is unknown, and when it was
    made."""

    csn: str = ""
    clock: ClockReading | None = None


def stamped_write(writer: Writer, write: Write, now: Callable[[], datetime]) -> tuple[WriteResult, Stamp]:
    """Makes one write; the stamp is that of the answer, empty if the answer has none."""
    before = now()
    result = write_one(writer, write)
    csn = result.csn_after.decode("ascii", "replace")
    return result, _stamp(csn, csn, before, now())


def last_stamp(writer: Writer, dn: str, now: Callable[[], datetime]) -> Stamp:
    """The stamp of the last write of an entry, if the answer to that write did not have it."""
    entry = writer.read(dn, [CSN, "modifyTimestamp"])
    if entry is None:
        return Stamp()
    csn, instant = entry.text(CSN), now()
    return _stamp(csn, csn or entry.text("modifyTimestamp"), instant, instant)


def _stamp(csn: str, time: str, before: datetime, after: datetime) -> Stamp:
    try:
        return Stamp(csn, ClockReading(before, utc_instant(time[:14]), after))
    except ValueError:
        return Stamp(csn)


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
    """Writes `cn=clock`. Raises UnreadableRecord for an entry of another program in its place, PiactlError if
    it cannot be written."""
    replace = clock_write(state)
    dn = replace.dn
    # the first command on this directory needs the second write, and the third if another command was faster
    for write in (replace, new_record(dn, {}), replace):
        result, stamp = stamped_write(writer, write, now)
        if result.outcome is Outcome.APPLIED:
            return stamp if stamp.clock is not None else last_stamp(writer, dn, now)
    entry = writer.read(dn, ["objectClass"])
    if entry is not None and not is_record(entry):
        raise foreign_entry(dn)
    raise PiactlError(
        Phrase(
            "{dn}: the record that shows the clock of the server cannot be written: {why}",
            dn=dn,
            why=result.message,
        )
    )
