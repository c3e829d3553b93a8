"""`with begin_run(...) as run:` is the one way in which a command writes: it checks the clock and the server,
takes the run lock, opens the journal, settles the writes that earlier runs left in doubt, and writes the
record of the run at the end, however that comes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path

from piactl.core.model.settings import Settings
from piactl.core.plan.run_state import RunStatus, ServerIdentity
from piactl.directory.port import Writer
from piactl.directory.store.records import UnreadableRecords
from piactl.errors import (
    DirectoryOlder,
    DirectoryUnreachable,
    FeedRefused,
    JournalMissing,
    PiactlError,
    ReplyLost,
    StalePlan,
    UnsafePlan,
)
from piactl.flows.apply.hooks_and_owner_notices import hooks_called
from piactl.flows.apply.key_fence import check_current_key
from piactl.flows.apply.known_server import (
    Tolerated,
    check_server,
    compare_runs,
    server_csns,
    server_of,
)
from piactl.flows.apply.run import CommandRun, Order, Run, journal_of
from piactl.flows.apply.run_checks import require_default_policy, warn_of_missing_policy
from piactl.flows.apply.run_lock import LockHolder, NoLock, RunLock, host_lock, process_began, this_place
from piactl.flows.apply.server_clock import (
    Stamp,
    check_other_clocks,
    check_server_clock,
    clock_write,
    stamp_clock,
)
from piactl.flows.apply.unfinished_runs import made_late, mark_interrupted, settle_doubts
from piactl.flows.plan.inputs.load_feeds import refused_feeds
from piactl.journal.recorded_runs import has_run


@dataclass(frozen=True, slots=True)
class MetServer:
    """The server that a run meets. `csns` is its contextCSN, by serverID. `compared`: it is the one that the
    last run wrote to, and has the last run of this host."""

    identity: ServerIdentity = field(default_factory=ServerIdentity)
    csns: Mapping[str, str] = field(default_factory=dict)
    compared: bool = False


def meet_server(
    writer: Writer,
    host: str,
    settings: Settings,
    unreadable: UnreadableRecords,
    now: Callable[[], datetime],
    *,
    lock: RunLock | None = None,
    tolerated: Tolerated = (),
    emergency: bool = False,
    say: Callable[[str], None] = lambda _text: None,
) -> MetServer:
    """What has to hold before a command writes: the default password policy, the last run of this host, the
    server and the clocks, which show in the `lock`, which it takes, or without one in `cn=clock`. From now on
    the writer uses no other server.

    Raises DefaultPolicyMissing, DirectoryOlder, JournalMissing, unless the error is `tolerated`, LockHeld,
    and UnsafePlan for a wrong clock. In an `emergency` these are warnings (`say`), but for LockHeld.
    """
    state, minutes = settings.directory.state, settings.clock_minutes
    if emergency:
        warn_of_missing_policy(writer, settings.password.policy, say)
        tolerated = (DirectoryOlder, JournalMissing)
    else:
        require_default_policy(writer, settings.password.policy)
    warn = say if emergency else lambda _text: None
    compared = compare_runs(writer, host, settings, unreadable, now, tolerated, warn)
    csns = server_csns(writer, settings.directory.suffix)
    identity = ServerIdentity()
    # before a lock on one of several: given and released at another server, it would end a run at this one
    stamps = [partial(stamp_clock, writer, state, now)] if lock is None or len(csns) > 1 else []
    for stamp in [*stamps, *([partial(_taken, lock, minutes)] if lock is not None else [])]:
        csn = ""
        try:
            csn, reading = stamp()
            check_server_clock(reading, minutes)
        except PiactlError as error:
            if not emergency or isinstance(error, (DirectoryUnreachable, ReplyLost)):
                raise
            say(f"warning: {str(error).splitlines()[0]}; the change is made nevertheless")
        identity = server_of(writer, state, csn)
        same = check_server(writer, settings, unreadable, identity, tolerated, warn)
        compared = compared and same
        if identity.number:
            writer.keep_to(identity.number, clock_write(state))
    try:
        check_other_clocks(writer, now, minutes)
    except UnsafePlan as error:
        if not emergency:
            raise
        say(f"warning: {str(error).splitlines()[0]}; the change is made nevertheless")
    return MetServer(identity, csns, compared)


def _taken(lock: RunLock, clock_minutes: int) -> Stamp:
    lock.acquire(clock_minutes)
    return lock.stamp()


@contextmanager
def begin_run(
    command: CommandRun, writer: Writer, *, locked: bool, plan: str = "", tolerated: Tolerated = ()
) -> Iterator[Run]:
    """One run, from its first check to its end. `locked`: under the run lock; else the preconditions of its
    writes protect it. `plan` is the fingerprint of its plan, if known.

    Raises what `meet_server` raises, with nothing written but the lock, and JournalUnusable. Releases the
    lock at the end in every case, if the directory can be reached.
    """
    order, settings, say = command.order, command.settings, command.say
    holder = _holder(order)
    lock = None
    # the hooks come after the lock is released: a slow hook keeps no other run out
    with hooks_called(settings, say), ExitStack() as held:
        if locked:
            lock = RunLock(
                *(writer, settings.directory.state, holder, settings.lock_seconds, command.now),
                partial(has_run, settings.journal_file),
            )
            held.enter_context(host_lock(Path(settings.state_folder), lock))
            held.callback(_release, lock, say)
        met = meet_server(
            writer,
            order.actor.host,
            settings,
            command.unreadable,
            command.now,
            lock=lock,
            tolerated=tolerated,
            emergency=command.emergency,
            say=say,
        )
        with _journalled(command, writer, lock or NoLock(holder), met, plan) as run:
            yield run


@contextmanager
def begin_beside(command: CommandRun, writer: Writer) -> Iterator[Run]:
    """A run that writes records of its own and no account: journalled, but without a record and without the
    checks that protect accounts. Raises JournalUnusable."""
    with _journalled(command, writer, NoLock(_holder(command.order)), None) as run:
        yield run


@contextmanager
def _journalled(
    command: CommandRun,
    writer: Writer,
    lock: RunLock | NoLock,
    met: MetServer | None,
    plan: str = "",
) -> Iterator[Run]:
    """Settles the writes in doubt, and records the end of the run, unless the block did."""
    recorded, met = command.recorded and met is not None, met or MetServer()
    with journal_of(command, plan=plan, compared=met.compared) as journal:
        run = Run(
            command.order,
            command.settings,
            command.keys,
            command.unreadable,
            writer,
            journal,
            lock,
            command.now,
            command.say,
            command.now(),
            recorded=recorded,
            compared=met.compared,
            server=met.identity,
            csns=met.csns,
        )
        if isinstance(lock, RunLock):
            if lock.abandoned:
                run.say(lock.abandoned)
                run.journal.note(lock.abandoned)
            mark_interrupted(run, lock.abandoned or "it ended without recording its outcome")
        settle_doubts(run)
        try:
            check_current_key(writer, run.settings, run.keys, run.unreadable)
            yield run
            if not run.ended:
                run.end()
        except PiactlError as error:
            cause = lock.cause(error)
            with suppress(PiactlError):
                for uid, words in made_late(run):
                    run.say(f"warning: {uid}: {words}")
            if not run.ended:
                _end_badly(run, cause)
            if cause is error:
                raise
            raise cause from error


def _end_badly(run: Run, error: PiactlError) -> None:
    """Records the end of a run that an error ended: refused if that was before its first write."""
    refused = isinstance(error, (FeedRefused, UnsafePlan, StalePlan)) and not run.writes
    feeds = refused_feeds([error])
    if feeds:
        run.facts["refused_feeds"] = feeds
    if isinstance(error, UnsafePlan) and error.refusals:
        run.counts = {"refused": len(error.refusals)}
    run.end(RunStatus.REFUSED if refused else RunStatus.FAILED, error.note)


def _release(lock: RunLock, say: Callable[[str], None]) -> None:
    try:
        lock.release()
    except PiactlError as error:
        say(f"the lock could not be released ({error}); it expires by itself")


def _holder(order: Order) -> LockHolder:
    actor = order.actor
    return LockHolder(order.run, actor.host, actor.pid, process_began(actor.pid), actor.user, this_place())
