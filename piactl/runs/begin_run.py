"""`with begin_run(...) as run:` is the one way in which a command writes: it checks the clock and the server,
takes the run lock, opens the journal, settles the writes that earlier runs left in doubt, and writes the
record of the run at the end, however that comes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import fields, replace
from functools import partial
from pathlib import Path

from piactl.core.plan.state_between_runs import RunStatus, ServerIdentity
from piactl.directory import filters
from piactl.directory.interfaces import Writer
from piactl.directory.probe.schema_check import refuse_older_server
from piactl.directory.store.record_entries import (
    CASES,
    LISTS,
    RUNS,
    SOURCES,
    WAITING,
    Records,
    UnreadableRecords,
    in_folder,
    read_records,
)
from piactl.directory.store.run_records import MARK
from piactl.directory.store.state_records import last_in
from piactl.errors import (
    DefaultPolicyMissing,
    DirectoryOlder,
    DirectoryUnreachable,
    FeedRefused,
    JournalMissing,
    PiactlError,
    ReplyLost,
    StalePlan,
    UnsafePlan,
)
from piactl.host.caller import process_began, this_place
from piactl.journal import Order
from piactl.journal.end_of_journal import has_run
from piactl.phrase import Phrase, first_line
from piactl.planning.load_feeds import refused_feeds
from piactl.runs.hooks import hooks_called
from piactl.runs.known_server import (
    Met,
    check_server,
    compare_runs,
    meet,
    server_of,
)
from piactl.runs.run import CommandRun, Promise, Run, journal_of
from piactl.runs.run_checks import (
    PUT_BACK,
    check_current_key,
    check_date,
    require_default_policy,
)
from piactl.runs.run_lock import LockHolder, NoLock, RunLock, host_lock
from piactl.runs.server_clock import (
    Stamp,
    check_other_clocks,
    check_server_clock,
    clock_write,
    stamp_clock,
)
from piactl.runs.unfinished_runs import made_late, mark_interrupted, settle_doubts


def meet_server(
    command: CommandRun,
    writer: Writer,
    *,
    lock: RunLock | None = None,
    dated: bool = False,
    tolerated: tuple[type[PiactlError], ...] = (),
) -> Met:
    """What has to hold before a command writes: the version of the server, its date, if it is `dated`, the
    default password policy, the last run of this host, the server and the clocks, which show in the `lock`,
    which it takes, or without one in `cn=clock`. From now on the writer uses no other server.

    Raises SchemaLacking, DefaultPolicyMissing, DirectoryOlder, JournalMissing, unless the error is
    `tolerated`, LockHeld, and UnsafePlan for a wrong clock or date. In an emergency these are warnings, but
    for LockHeld and a wrong date; the version of the server is then not looked at.
    """
    settings, unreadable, now, emergency = (
        command.settings,
        command.unreadable,
        command.now,
        command.emergency,
    )
    state, minutes = settings.directory.state, settings.clock_minutes
    compared = True

    @contextmanager
    def warned(*errors: type[PiactlError]) -> Iterator[None]:
        nonlocal compared
        try:
            yield
        except errors as error:
            gone = isinstance(error, (DirectoryUnreachable, ReplyLost))
            if gone or not (emergency or isinstance(error, tolerated)):
                raise
            compared = compared and not isinstance(error, (DirectoryOlder, JournalMissing))
            if emergency:
                why = first_line(str(error))
                command.say(Phrase("warning: {error}; the change is made nevertheless", error=why))

    if not emergency:
        refuse_older_server(writer)
    met = meet(writer, settings)
    records = met.records
    if dated:
        check_date(command.order, last_in(records, unreadable), settings)
    with warned(DefaultPolicyMissing):
        require_default_policy(settings.password.policy, there=met.has_policy)
    if not met.has_policy:
        command.say(PUT_BACK)
    with warned(DirectoryOlder, JournalMissing):
        compared = compare_runs(met, command.order.actor.host, settings, unreadable, now())
    identity = ServerIdentity()

    def taken() -> Stamp:
        nonlocal records
        if lock is None:
            return stamp_clock(writer, state, now)
        lock.acquire(records.entry(records.places.lock), minutes)
        # again, because the run that had the lock until now may have written since
        records = _all_records(met, unreadable)
        return lock.stamp()

    # before a lock on one of several: given and released at another server, it would end a run at this one
    several = lock is not None and len(met.csns) > 1
    stamps: list[Callable[[], Stamp]] = [partial(stamp_clock, writer, state, now)] if several else []
    for stamp in [*stamps, taken]:
        csn = ""
        with warned(PiactlError):
            shown = stamp()
            csn = shown.csn
            check_server_clock(shown.clock, minutes)
        identity = server_of(records, csn)
        with warned(DirectoryOlder):
            check_server(records, unreadable, identity, met.journal.recorded)
        if identity.number:
            writer.keep_to(identity.number, clock_write(state))
    with warned(UnsafePlan):
        check_other_clocks(writer, now, minutes)
    return replace(met, records=records, identity=identity, compared=compared)


def _all_records(met: Met, unreadable: UnreadableRecords) -> Records:
    """What a run under the lock needs of piactl's records; of the records of runs those that are marked as
    running, the last run and the last one of this host."""
    last = last_in(met.records, unreadable)
    names = {run for run in (met.journal.recorded.run, last.run if last is not None else "") if run}
    runs = [filters.equals(MARK, RunStatus.RUNNING), *(filters.equals("cn", run) for run in sorted(names))]
    return read_records(
        *(met.records.reader, met.records.state, SOURCES, WAITING),
        also=[in_folder(RUNS, *runs)],
        beginning=(CASES, LISTS),
    )


@contextmanager
def begin_run(
    command: CommandRun,
    writer: Writer,
    *,
    locked: bool,
    tolerated: tuple[type[PiactlError], ...] = (),
    dated: bool = False,
) -> Iterator[Run]:
    """One run, from its first check to its end. `locked`: under the run lock; else the preconditions of its
    writes protect it. `dated`: its date is checked first.

    Raises what `meet_server` raises, with nothing written but the lock, and JournalUnusable. Releases the
    lock at the end in every case, if the directory can be reached.
    """
    order, settings, say = command.order, command.settings, command.say
    holder = _holder(order)
    lock = None
    # the hooks come after the lock is released: a slow hook keeps no other run out
    unstored: list[Promise] = []
    with hooks_called(command, unstored), ExitStack() as held:
        if locked:
            lock = RunLock(
                *(writer, settings.directory.state, holder, settings.lock_seconds, command.now),
                partial(has_run, settings.journal_file),
            )
            held.enter_context(host_lock(Path(settings.state_folder), lock))
            held.callback(_release, lock, say)
        met = meet_server(command, writer, lock=lock, dated=dated, tolerated=tolerated)
        with _journalled(command, writer, lock or NoLock(holder), met, unstored) as run:
            yield run


@contextmanager
def begin_beside(command: CommandRun, writer: Writer) -> Iterator[Run]:
    """A run that writes records of its own and no account: journalled, but without a record and without the
    checks that protect accounts. Raises JournalUnusable."""
    state = command.settings.directory.state
    met = Met(read_records(writer, state, beginning=()))
    command = replace(command, recorded=False)
    with _journalled(command, writer, NoLock(_holder(command.order)), met, []) as run:
        yield run


@contextmanager
def _journalled(
    command: CommandRun,
    writer: Writer,
    lock: RunLock | NoLock,
    met: Met,
    unstored: list[Promise],
) -> Iterator[Run]:
    """Settles the writes in doubt, and records the end of the run, unless the block did."""
    with journal_of(command, compared=met.compared) as journal:
        run = Run(
            **{slot.name: getattr(command, slot.name) for slot in fields(command)},
            writer=writer,
            journal=journal,
            lock=lock,
            records=met.records,
            started=command.now(),
            unstored=unstored,
            compared=met.compared,
            server=met.identity,
            csns=met.csns,
        )
        if isinstance(lock, RunLock):
            if lock.abandoned:
                run.say(lock.abandoned)
                run.journal.note(lock.abandoned)
            mark_interrupted(run, lock.abandoned or Phrase("it ended without recording its outcome"))
        settle_doubts(run)
        try:
            check_current_key(run.records, run.settings, run.keys, run.unreadable)
            yield run
            if not run.ended:
                run.end()
        except PiactlError as error:
            cause = lock.cause(error)
            with suppress(PiactlError):
                for uid, words in made_late(run):
                    run.say(Phrase("warning: {uid}: {words}", uid=uid, words=words))
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
        say(Phrase("the lock could not be released ({why}); it expires by itself", why=str(error)))


def _holder(order: Order) -> LockHolder:
    actor = order.actor
    return LockHolder(order.run, actor.host, actor.pid, process_began(actor.pid), actor.user, this_place())
