"""One writing run at a time: a lock in the directory that works across hosts and expires by itself."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from piactl.directory.port import EntryWrite, Outcome, Writer
from piactl.directory.store.state_records import (
    DATA,
    Places,
    Record,
    UnreadableRecord,
    dumps,
    instant_of,
    number_of,
    parsed,
    stored,
    text_of,
)
from piactl.errors import LockHeld, LockLost, PiactlError

MARGIN = timedelta(seconds=60)
"""How far the clocks of two hosts may be apart before one takes a living lock for an expired one."""
LONGEST = timedelta(days=1)
"""The longest that a lock lasts without being renewed, by the schema of the configuration."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lock. `began` is when the process started, in clock ticks since boot: a reused process
    number is another process."""

    run: str
    host: str
    pid: int
    began: int
    who: str
    place: str = ""
    """Which boot of which machine and which process numbers `pid` belongs to."""


@dataclass(frozen=True, slots=True)
class HeldLock:
    """A lock as its entry holds it."""

    holder: Holder
    since: str
    expires: datetime


def read_lock(r: Record) -> HeldLock:
    """The lock of a record. Raises KeyError, ValueError."""
    holder = Holder(
        text_of(r, "run"),
        text_of(r, "host"),
        number_of(r, "pid"),
        number_of(r, "began"),
        text_of(r, "who"),
        text_of(r, "place") if "place" in r else "",
    )
    return HeldLock(holder, text_of(r, "since"), instant_of(r["expires"]))


class RunLock:
    """The lock of one run; `seconds` is how long it lasts without being renewed."""

    def __init__(
        self, writer: Writer, state: str, holder: Holder, seconds: int, now: Callable[[], datetime]
    ) -> None:
        self._writer, self._holder, self._now = writer, holder, now
        self._dn = Places(state).lock
        self._span = timedelta(seconds=seconds)
        self._held: bytes | None = None
        self._renew_at = now()
        self._until = now()

    def facts(self) -> Record:
        """What the record of the run says of its lock."""
        return {}

    def acquire(self) -> str:
        """Takes the lock; "" or a sentence that says whose abandoned lock it took over.

        Raises LockHeld at once where another run holds it.
        """
        entry = self._writer.read(self._dn, [DATA])
        said = ""
        if entry is None:
            new = self._record()
            add = {"objectClass": (b"piactlRecord",), "cn": (b"lock",), DATA: (new,)}
            write = EntryWrite("add", self._dn, add=add)
        else:
            old = stored(entry) or b""
            said = self._abandoned(old)
            new = self._record()
            write = EntryWrite("modify", self._dn, delete={DATA: (old,)}, add={DATA: (new,)})
        if not self._done(write):
            raise LockHeld("another run has just taken the lock; it goes first")
        self._held = new
        return said

    def _abandoned(self, data: bytes) -> str:
        """Whose abandoned lock it is. Raises LockHeld for one that is held, or that cannot be read: a lock
        is never taken for free."""
        try:
            held = parsed(self._dn, data, read_lock)
        except UnreadableRecord as error:
            raise LockHeld(
                f"{error.dn}: the lock counts as held: {error.why}\nOnce no run is at work, delete the entry"
            ) from None
        run, host = held.holder.run, held.holder.host
        here = (host, held.holder.place) == (self._holder.host, self._holder.place)
        if here and not _alive(held.holder.pid, held.holder.began):
            return f"took over the lock of run {run}, whose process on this host is gone"
        if self._now() > held.expires + MARGIN:
            return f"took over the lock of run {run} on {host}, which expired at {held.expires.isoformat()}"
        said = (
            f"run {run} of {held.holder.who} on {host} (process {held.holder.pid}) is writing since "
            f"{held.since}; run again when it has ended"
        )
        if held.expires > self._now() + LONGEST + MARGIN:
            said += (
                f"\n{self._dn}: expires on {held.expires:%Y-%m-%d}, later than any lock does.\n"
                "Once no run is at work, delete the entry"
            )
        raise LockHeld(said)

    def check(self) -> None:
        """Raises LockLost where the lock has run out, without asking the directory: before every write, for
        a process may be stopped, or a write may take long, for longer than the lock lasts."""
        if self._held is None or self._now() >= self._until:
            raise LockLost(
                "the lock of this run expired before it was renewed; no further change is made. Run again; "
                "where that happens often, raise lock_seconds"
            )

    def keep(self) -> None:
        """Makes sure that the lock is still ours, and renews it when it is time, even after it has run out
        where nobody took it over meanwhile. Raises LockLost."""
        held = self._held or b""
        if self._now() < self._renew_at:
            entry = self._writer.read(self._dn, [DATA])
            ours = entry is not None and entry.first(DATA) == held
        else:
            new = self._record()
            ours = self._done(EntryWrite("modify", self._dn, delete={DATA: (held,)}, add={DATA: (new,)}))
            self._held = new if ours else None
        if not ours:
            self._held = None
            raise LockLost("another run took the lock over; no further change is made")

    def release(self) -> None:
        """Gives the lock back; what is not ours any more is left alone."""
        if self._held is not None:
            held, self._held = self._held, None
            self._done(EntryWrite("delete", self._dn, delete={DATA: (held,)}))

    def _record(self) -> bytes:
        now = self._now()
        # renewed at a third, so that two renewals may fail before another host may take it
        self._renew_at = now + self._span / 3
        self._until = now + self._span
        h = self._holder
        return dumps(
            {
                "run": h.run,
                "host": h.host,
                "pid": h.pid,
                "began": h.began,
                "who": h.who,
                "place": h.place,
                "since": now.isoformat(timespec="seconds"),
                "expires": self._until.isoformat(timespec="microseconds"),
            }
        )

    def _done(self, write: EntryWrite) -> bool:
        result = next(iter(self._writer.write([write])))
        if result.outcome is Outcome.FAILED:
            raise PiactlError(f"{self._dn}: the lock cannot be written: {result.message}")
        return result.outcome in (Outcome.APPLIED, Outcome.ALREADY)


class NoLock:
    """In place of the lock, for a run of its own that waits for nobody."""

    def __init__(self, holder: Holder) -> None:
        self._holder = holder

    def facts(self) -> Record:
        """By which another run tells whether this one is still at work."""
        h = self._holder
        return {"alone": {"pid": h.pid, "began": h.began, "place": h.place}}

    def keep(self) -> None:
        """Nothing to renew."""

    def check(self) -> None:
        """Nothing that could have run out."""


LONG_ALONE = timedelta(hours=12)
"""After so long, a run of its own on another host is taken for dead; so is one that starts so far ahead."""


def alive_alone(record: Record, now: datetime) -> bool:
    """Whether the record is that of a run of its own that may still be at work."""
    alone = record.get("alone")
    if not isinstance(alone, Mapping):
        return False
    if alone.get("place") == this_place() and this_place():
        return _alive(int(alone["pid"]), int(alone["began"]))
    return abs(now - datetime.fromisoformat(str(record["started"]))) < LONG_ALONE


def process_began(pid: int) -> int:
    """When a process of this host started, in clock ticks since boot; 0 where there is none."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text(errors="replace").rsplit(")", 1)[1].split()[19])
    except (OSError, IndexError, ValueError):
        return 0


def _alive(pid: int, began: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    # 0: the process is there, but /proc hides it from us; then only the expiry decides
    return process_began(pid) in (0, began)


def this_place() -> str:
    """The boot of this machine and the namespace of its process numbers, where the system tells them."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""
