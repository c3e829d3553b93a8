"""One writing run at a time: a lock in the directory that works across hosts and expires by itself."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from piactl.directory.port import EntryWrite, Outcome, Writer
from piactl.directory.store.records import (
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
"""The largest difference between the clocks of two hosts at which no valid lock counts as expired."""
LONGEST = timedelta(days=1)
"""The longest time that the configuration allows a lock to last without renewal."""


@dataclass(frozen=True, slots=True)
class Holder:
    """The holder of a lock. `began` is the start of the process in clock ticks since boot; it tells the
    process from a later one with the same number."""

    run: str
    host: str
    pid: int
    began: int
    who: str
    place: str = ""
    """The boot of the machine and the process namespace that `pid` belongs to."""


@dataclass(frozen=True, slots=True)
class HeldLock:
    """A lock as its entry stores it."""

    holder: Holder
    since: str
    expires: datetime


def read_lock(r: Record) -> HeldLock:
    """Parses the record of a lock. Raises KeyError, ValueError."""
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
    """The lock of one run; it expires after `seconds` without renewal."""

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
        """The facts about the lock for the record of the run."""
        return {}

    def acquire(self) -> str:
        """Takes the lock. Returns "", or a sentence about the abandoned lock that it took over.

        Raises LockHeld at once if another run holds it.
        """
        entry = self._writer.read(self._dn, [DATA])
        takeover = ""
        if entry is None:
            new = self._record()
            add = {"objectClass": (b"piactlRecord",), "cn": (b"lock",), DATA: (new,)}
            write = EntryWrite("add", self._dn, add=add)
        else:
            old = stored(entry) or b""
            takeover = self._abandoned(old)
            new = self._record()
            write = EntryWrite("modify", self._dn, delete={DATA: (old,)}, add={DATA: (new,)})
        if not self._done(write):
            raise LockHeld("another run has just taken the lock")
        self._held = new
        return takeover

    def _abandoned(self, data: bytes) -> str:
        """Describes an abandoned lock. Raises LockHeld if the lock is held or cannot be read."""
        try:
            held = parsed(self._dn, data, read_lock)
        except UnreadableRecord as error:
            raise LockHeld(
                f"{error.dn}: the lock counts as held: {error.why}\nIf no run is under way, delete the entry"
            ) from None
        run, host = held.holder.run, held.holder.host
        here = (host, held.holder.place) == (self._holder.host, self._holder.place)
        if here and not _alive(held.holder.pid, held.holder.began):
            return f"took over the lock of run {run}, whose process on this host has ended"
        if self._now() > held.expires + MARGIN:
            return f"took over the lock of run {run} on {host}, which expired at {held.expires.isoformat()}"
        holder = (
            f"run {run} of {held.holder.who} on {host} (process {held.holder.pid}) is writing since "
            f"{held.since}; run again when it has ended"
        )
        if held.expires > self._now() + LONGEST + MARGIN:
            holder += (
                f"\n{self._dn}: expires on {held.expires:%Y-%m-%d}, later than any lock can.\n"
                "If no run is under way, delete the entry"
            )
        raise LockHeld(holder)

    def check(self) -> None:
        """Raises LockLost if the lock has expired; does not read the directory. Called before every write,
        because a stopped process or a slow write can outlast the lock."""
        if self._held is None or self._now() >= self._until:
            raise LockLost(
                "the lock of this run expired before it was renewed; no further change is made. Run again; "
                "if this happens often, raise lock_seconds"
            )

    def keep(self) -> None:
        """Checks that this run still holds the lock, and renews it when due, even an expired one that no
        other run took over. Raises LockLost."""
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
            raise LockLost("another run took over the lock; no further change is made")

    def release(self) -> None:
        """Releases the lock, unless another run took it over."""
        if self._held is not None:
            held, self._held = self._held, None
            self._done(EntryWrite("delete", self._dn, delete={DATA: (held,)}))

    def _record(self) -> bytes:
        now = self._now()
        # renewed after a third, so that two renewals can fail before another host takes it
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
    """Replaces the lock in a run that needs none."""

    def __init__(self, holder: Holder) -> None:
        self._holder = holder

    def facts(self) -> Record:
        """The facts by which another run sees whether this run is still under way."""
        h = self._holder
        return {"alone": {"pid": h.pid, "began": h.began, "place": h.place}}

    def keep(self) -> None:
        """Nothing to renew."""

    def check(self) -> None:
        """Nothing can expire."""


LONG_ALONE = timedelta(hours=12)
"""A run without a lock on another host counts as dead after this time, or if it starts this far ahead."""


def alive_alone(record: Record, now: datetime) -> bool:
    """Whether the record is that of a run without a lock that may still be under way."""
    alone = record.get("alone")
    if not isinstance(alone, Mapping):
        return False
    if alone.get("place") == this_place() and this_place():
        return _alive(int(alone["pid"]), int(alone["began"]))
    return abs(now - datetime.fromisoformat(str(record["started"]))) < LONG_ALONE


def process_began(pid: int) -> int:
    """The start of a process of this host in clock ticks since boot; 0 if there is none."""
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
    # 0: the process exists, but /proc hides it; then only the expiry decides
    return process_began(pid) in (0, began)


def this_place() -> str:
    """The boot of this machine and its process namespace; "" if the system does not show them."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""
