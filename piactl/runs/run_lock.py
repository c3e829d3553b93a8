"""One writing run at a time: a lock in the directory that works across hosts and expires by itself.

The lock entry names the identity that holds it, and the access rules of the server trust that entry: without
the lock a nightly identity writes neither accounts nor records. So the server refuses a run that was stopped
and whose lock another host took over, even if that run believes that it still holds the lock. This needs one
identity per host; a file lock keeps a second run of the same host out.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from piactl.core.plan.write import Write
from piactl.directory.client.result_codes import NO_RIGHT
from piactl.directory.dn import same_dn
from piactl.directory.interfaces import Outcome, RawEntry, Writer, WriteResult
from piactl.directory.store.record_entries import (
    DATA,
    LOCK_CLASS,
    LOCK_WRITER,
    RECORD_CLASS,
    Places,
    Record,
    UnreadableRecord,
    dumps,
    parsed,
)
from piactl.directory.store.typed_records import LAYOUTS, Layout, reader_of, to_json
from piactl.errors import DirectoryRefused, LockHeld, LockLost, PiactlError, RecordChanged, StalePlan
from piactl.host.caller import is_alive
from piactl.host.private_files import lock_file
from piactl.phrase import Phrase, joined
from piactl.runs.server_clock import Stamp, check_server_clock, last_stamp, stamped_write

MARGIN = timedelta(seconds=60)
"""The largest difference between the clocks of two hosts at which no valid lock counts as expired."""
LONGEST = timedelta(days=1)
"""The longest time that the configuration allows a lock to last without renewal."""


TRIAL = "doctor"
"""The run of the lock that doctor holds while it tries the rights of the nightly identity."""
TRIAL_SECONDS = 10
"""How long doctor may hold it, and how long a run waits for that."""


@dataclass(frozen=True, slots=True)
class LockHolder:
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

    holder: LockHolder
    since: str
    expires: datetime


LAYOUTS[HeldLock] = Layout(inline="holder")
read_lock = reader_of(HeldLock)
"""Reads the record of a lock."""


class RunLock:
    """The lock of one run; it expires after `seconds` without renewal.

    `knows` tells whether the journal of this host has a run. `fenced`: the server knows the class that its
    access rules trust; known once the lock was acquired.
    """

    def __init__(
        self,
        writer: Writer,
        state: str,
        holder: LockHolder,
        seconds: int,
        now: Callable[[], datetime],
        knows: Callable[[str], bool] = lambda _run: False,
    ) -> None:
        self._writer, self._holder, self._now, self._knows = writer, holder, now, knows
        self._dn = Places(state).lock
        self._span = timedelta(seconds=seconds)
        self._held: bytes | None = None
        self._renew_at = now()
        self._until = now()
        self.fenced = True
        self._stamp = Stamp()
        self._identity = writer.who()
        self.abandoned = ""

    def facts(self) -> Record:
        """The facts about the lock for the record of the run."""
        return {}

    def acquire(self, entry: RawEntry | None, clock_minutes: int | None = None) -> None:
        """Takes the lock, whose `entry` has just been read, None for none; `abandoned` is then a sentence
        about the abandoned lock that it took over, or "".

        Raises LockHeld at once if another run holds it, and after some seconds if doctor does not release it;
        UnsafePlan if the clocks of this host and of the server differ by more than `clock_minutes`, before
        another run could lose its lock to this host.
        """
        patience = time.monotonic() + TRIAL_SECONDS
        lock = self._parsed(entry) if entry is not None else None
        while lock is not None and lock.holder.run == TRIAL and time.monotonic() < patience:
            time.sleep(0.05)
            entry = self._read()
            lock = self._parsed(entry) if entry is not None else None
        if entry is not None and lock is not None:
            self.abandoned = self._abandoned(lock, entry.text(LOCK_WRITER))
            # written as it is: the server's instant of that write shows whether the lock has truly expired
            data = {DATA: entry.values[DATA]}
            self._must(self._written(Write("modify", self._dn, delete=data, add=data)))
            if clock_minutes is not None:
                check_server_clock(self.stamp().clock, clock_minutes)
        new = self._record()
        # not every identity can read the schema, so the class of the lock is tried
        result = self._written(self._taking(entry, new, fenced=True))
        self.fenced = result.outcome is not Outcome.FAILED
        if not self.fenced:
            result = self._written(self._taking(entry, new, fenced=False))
        self._must(result)
        self._held = new

    def _taking(self, entry: RawEntry | None, data: bytes, *, fenced: bool) -> Write:
        own = self._identity.encode()
        if entry is None:
            classes = (RECORD_CLASS.encode(), *((LOCK_CLASS.encode(),) if fenced else ()))
            fence = {LOCK_WRITER: (own,)} if fenced else {}
            return Write(
                "add", self._dn, add={"objectClass": classes, "cn": (b"lock",), DATA: (data,), **fence}
            )
        add, delete = {DATA: (data,)}, {DATA: entry.values.get(DATA, ())}
        if fenced and not same_dn(entry.text(LOCK_WRITER), self._identity):
            add[LOCK_WRITER] = (own,)
            if entry.values.get(LOCK_WRITER):
                delete[LOCK_WRITER] = entry.values[LOCK_WRITER]
            if LOCK_CLASS.encode() not in entry.values["objectClass"]:  # made by an earlier version of piactl
                add["objectClass"] = (LOCK_CLASS.encode(),)
        return Write("modify", self._dn, delete=delete, add=add)

    def _must(self, result: WriteResult) -> None:
        if not self._done(result):
            raise LockHeld(Phrase("another run has just taken the lock; run again when it has ended"))

    def _read(self) -> RawEntry | None:
        return self._writer.read(self._dn, ["objectClass", DATA, LOCK_WRITER])

    def _parsed(self, entry: RawEntry) -> HeldLock:
        try:
            lock: HeldLock = parsed(self._dn, entry.first(DATA) or b"", read_lock)
        except UnreadableRecord as error:
            raise LockHeld(
                Phrase(
                    "{dn}: the lock counts as held: {why}\nIf no run is under way, delete the entry",
                    dn=error.dn,
                    why=error.why,
                )
            ) from None
        return lock

    def _abandoned(self, lock: HeldLock, identity: str) -> str:
        """Describes an abandoned lock, which `identity` holds. Raises LockHeld if it is not abandoned, or if
        its run could still write after a takeover."""
        run, host = lock.holder.run, lock.holder.host
        same_place = (host, lock.holder.place) == (self._holder.host, self._holder.place)
        if same_place and not is_alive(lock.holder.pid, lock.holder.began):
            return Phrase("took over the lock of run {run}, whose process on this host has ended", run=run)
        if self._now() > lock.expires + MARGIN:
            # a run of an earlier boot of this host has ended; one of a clone, with its name, may be alive
            own = same_place or (host == self._holder.host and self._knows(run))
            if not own and identity and same_dn(identity, self._identity):
                raise LockHeld(
                    Phrase(
                        "the lock of run {run} on {host} expired at {time}, but that run could still write: "
                        "it binds as the same identity, {identity}\n"
                        "If its process {number} on {host} has ended, delete the entry {dn}.\n"
                        "Give each host its own nightly identity: docs/hosts.md",
                        run=run,
                        host=host,
                        time=lock.expires.isoformat(),
                        identity=identity,
                        number=lock.holder.pid,
                        dn=self._dn,
                    )
                )
            return Phrase(
                "took over the lock of run {run} on {host}, which expired at {time}",
                run=run,
                host=host,
                time=lock.expires.isoformat(),
            )
        raise LockHeld(self._described(lock))

    def _described(self, lock: HeldLock) -> str:
        holder = Phrase(
            "run {run} of {who} on {host} (process {number}) is writing since {since}; run again when it has "
            "ended",
            run=lock.holder.run,
            who=lock.holder.who,
            host=lock.holder.host,
            number=lock.holder.pid,
            since=lock.since,
        )
        if lock.expires > self._now() + LONGEST + MARGIN:
            late = Phrase(
                "{dn}: expires on {day}, later than any lock can.\nIf no run is under way, delete the entry",
                dn=self._dn,
                day=lock.expires.date(),
            )
            return joined([holder, late], "{first}\n{second}")
        return holder

    def holder(self) -> str:
        """A sentence about the run that holds the lock, "" if no run does. Raises LockHeld if the lock cannot
        be read."""
        entry = self._read()
        return self._described(self._parsed(entry)) if entry is not None else ""

    def cause(self, error: PiactlError) -> PiactlError:
        """The reason for a refused write: LockLost if another run took over the lock, so that the server
        refuses this one or a record of piactl has changed, else `error`."""
        no_right = isinstance(error, DirectoryRefused) and error.result == NO_RIGHT
        if not self.fenced or not (no_right or isinstance(error, RecordChanged | StalePlan)):
            return error
        try:
            entry = self._read()
        except PiactlError:
            return error
        if entry is not None and entry.first(DATA) == self._held:
            return error
        self._held = None
        return LockLost(
            Phrase(
                "another run took over the lock; the server refused the change that followed, and no further "
                "one is made. Run again; if this happens often, raise lock_seconds"
            )
        )

    def check(self) -> None:
        """Raises LockLost if the lock has expired; does not read the directory. Called before every write,
        because a stopped process or a slow write can outlast the lock."""
        if self._held is None or self._now() >= self._until:
            raise LockLost(
                Phrase(
                    "the lock of this run expired before it was renewed; no further change is made. Run "
                    "again; if this happens often, raise lock_seconds"
                )
            )

    def keep(self) -> None:
        """Checks that this run still holds the lock, and renews it when due, even an expired one that no
        other run took over. Raises LockLost."""
        data = self._held or b""
        if self._now() < self._renew_at:
            entry = self._writer.read(self._dn, [DATA])
            ours = entry is not None and entry.first(DATA) == data
        else:
            new = self._record()
            ours = self._done(
                self._written(Write("modify", self._dn, delete={DATA: (data,)}, add={DATA: (new,)}))
            )
            self._held = new if ours else None
        if not ours:
            self._held = None
            raise LockLost(Phrase("another run took over the lock; no further change is made"))

    def renew(self) -> None:
        """Renews the lock when due, like `keep`. Before that it reads the lock only if the server does not
        refuse the writes of a run whose lock another one took over."""
        if not self.fenced or self._now() >= self._renew_at:
            self.keep()

    def stamp(self) -> Stamp:
        """What the last write of this lock shows of the server."""
        if self._stamp.clock is None:  # without post-read, or if the reply to the write was lost
            self._stamp = last_stamp(self._writer, self._dn, self._now)
        return self._stamp

    def release(self) -> None:
        """Releases the lock, unless another run took it over."""
        if self._held is not None:
            data, self._held = self._held, None
            self._done(self._written(Write("delete", self._dn, delete={DATA: (data,)})))

    def _record(self) -> bytes:
        now = self._now()
        # renewed after a third, so that two renewals can fail before another host takes it
        self._renew_at = now + self._span / 3
        self._until = now + self._span
        return dumps(to_json(HeldLock(self._holder, now.isoformat(timespec="seconds"), self._until)))

    def _written(self, write: Write) -> WriteResult:
        result, self._stamp = stamped_write(self._writer, write, self._now)
        return result

    def _done(self, result: WriteResult) -> bool:
        if result.outcome is Outcome.FAILED:
            raise PiactlError(
                Phrase("{dn}: the lock cannot be written: {why}", dn=self._dn, why=result.message)
            )
        return result.outcome in (Outcome.APPLIED, Outcome.UNCHANGED)


@contextmanager
def host_lock(folder: Path, lock: RunLock) -> Iterator[None]:
    """Keeps a second run of this host out while it is held: both bind as the same identity, so the server
    cannot tell them apart. Raises LockHeld."""
    with lock_file(folder / "run.lock") as descriptor:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LockHeld(
                lock.holder() or Phrase("another run on this host begins or ends at this moment; run again")
            ) from None
        yield


class NoLock:
    """Replaces the lock in a run that needs none."""

    def __init__(self, holder: LockHolder) -> None:
        self._holder = holder

    def facts(self) -> Record:
        """The facts by which another run sees whether this run is still under way."""
        h = self._holder
        return {"alone": {"pid": h.pid, "began": h.began, "place": h.place}}

    def cause(self, error: PiactlError) -> PiactlError:
        """The error itself: there is no lock that could be lost."""
        return error

    def keep(self) -> None:
        """Nothing to renew."""

    renew = keep

    def check(self) -> None:
        """Nothing can expire."""
