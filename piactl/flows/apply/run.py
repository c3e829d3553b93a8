"""One writing run: its lock, its journal, its record in the directory, its checks before the first write."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from piactl.core.model.numen_and_digests import DigestKeys, masked
from piactl.core.model.settings import IdentityName, Settings
from piactl.core.plan.run_state import RunStatus, ServerIdentity
from piactl.directory.port import EntryWrite, Writer
from piactl.directory.store.attribute_map import SECRETS
from piactl.directory.store.records import Places, UnreadableRecords
from piactl.directory.store.run_records import put_run_record
from piactl.errors import (
    DirectoryOlder,
    DirectoryUnreachable,
    FeedRefused,
    JournalMissing,
    JournalUnusable,
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
from piactl.flows.apply.run_checks import (
    check_other_clocks,
    check_server_clock,
    clock_write,
    require_default_policy,
    stamp_clock,
    warn_of_missing_policy,
)
from piactl.flows.apply.run_lock import (
    LockHolder,
    NoLock,
    RunLock,
    host_lock,
    process_began,
    this_place,
)
from piactl.flows.apply.unfinished_runs import made_late, mark_interrupted, settle_doubts
from piactl.flows.plan.inputs.load_feeds import refused_feeds
from piactl.journal import (
    Actor,
    Intent,
    Journal,
    RunContext,
)
from piactl.journal.recorded_runs import has_run


@dataclass(frozen=True, slots=True)
class Order:
    """The request for a run: its id, its date, its command, its user.

    `today` is the date of the clock. `explicit`: the date was given on the command line. `policy` is the
    digest of the current policy file, `rules` that of its content, `urn` the beginning of its rights.
    """

    run: str
    as_of: date
    today: date
    explicit: bool
    command: tuple[str, ...]
    actor: Actor
    policy: str
    reason: str = ""
    allowed: Mapping[str, int] = field(default_factory=dict)
    urn: str = ""
    rules: str = ""
    break_glass: bool = False
    """Whether the plan is applied without the approval of another person that it needs."""


@dataclass(slots=True)
class Run:
    """A run under way, with everything it needs; `say` prints a message for the user."""

    order: Order
    settings: Settings
    keys: DigestKeys
    unreadable: UnreadableRecords
    writer: Writer
    journal: Journal
    lock: RunLock | NoLock
    now: Callable[[], datetime]
    say: Callable[[str], None]
    started: datetime
    finished: bool = False
    recorded: bool = True
    """Whether the run leaves a record in the directory; the help desk has no right to write one."""
    compared: bool = True
    """Whether the directory has the last run of this host, on the server that the last run wrote to; else no
    later run is compared with this one."""
    server: ServerIdentity = field(default_factory=ServerIdentity)
    csns: Mapping[str, str] = field(default_factory=dict)
    """The contextCSN of the server when the run began, by serverID."""
    in_directory: bool = False
    """Whether its record is in the directory."""
    remembered: bool = False
    """Whether it is the last run of `cn=state`."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What its record says of the people who approved its plan."""
    unmade: Sequence[Intent] = ()
    """The writes that earlier runs left in doubt and that were read back as not made, by this run or by an
    earlier one."""

    @property
    def places(self) -> Places:
        return Places(self.settings.directory.state)

    def while_locked(self, writes: Iterable[EntryWrite]) -> Iterator[EntryWrite]:
        """The writes, for each of which the lock is renewed first if it is due."""
        for write in writes:
            self.lock.renew()
            yield write

    def record(self, status: RunStatus, **facts: Any) -> None:
        """Writes the record of the run; any status except `running` ends the run. The record of a run that is
        over has the time and the head of the journal."""
        self.finished = status is not RunStatus.RUNNING
        if not self.recorded:
            return
        order = self.order
        head = {"seq": self.journal.head.seq, "hash": self.journal.head.hash}
        ended = {"ended": self.now().isoformat(timespec="milliseconds"), "journal": head}
        record = {
            "run": order.run,
            "command": " ".join(order.command),
            "user": order.actor.user,
            "sudo_user": order.actor.sudo_user,
            "author": order.actor.author,
            "origin": order.actor.origin,
            "host": order.actor.host,
            "server": str(self.server),
            "as_of": order.as_of.isoformat(),
            "started": self.started.isoformat(timespec="milliseconds"),
            "status": status,
            "reason": order.reason,
            "allowed": dict(order.allowed),
            **self.lock.facts(),
            **self.facts,
            **(ended if self.finished else {}),
            **facts,
        }
        put_run_record(self.writer, self.places.run(order.run), without_numens(record))
        self.in_directory = True

    def end(
        self, counts: Mapping[str, int], feeds: Sequence[Mapping[str, str]] = (), *, finished: bool = True
    ) -> None:
        """Writes the end of the run to the journal, with what later runs compare with the directory. They
        leave out a run that is not `finished`: its feeds count as not applied."""
        acknowledged = finished and self.compared
        recorded = acknowledged and self.in_directory
        self.journal.end(
            counts,
            recorded=recorded,
            remembered=recorded and self.remembered,
            acknowledged=acknowledged,
            feeds=feeds,
        )


def without_numens(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record with everything masked that looks like a NUMEN in the text of users and messages."""
    texts = ("command", "reason", "note", "break_glass")
    written = {name: masked(str(record[name])) for name in texts if record.get(name)}
    problems = [{**problem, "message": masked(problem["message"])} for problem in record.get("problems", [])]
    return {**record, **written, **({"problems": problems} if problems else {})}


def _finish_refused(run: Run, error: PiactlError) -> None:
    """Records the end of a run that ended before its first write."""
    refused = isinstance(error, (FeedRefused, UnsafePlan, StalePlan))
    try:
        run.journal.end({})
        feed_rows = refused_feeds([error])
        feeds = {"refused_feeds": feed_rows} if feed_rows else {}
        run.record(RunStatus.REFUSED if refused else RunStatus.FAILED, note=str(error), **feeds)
    except PiactlError as silent:
        run.say(f"the record of the run could not be written: {run.lock.cause(silent)}")


@dataclass(frozen=True, slots=True)
class CommandRun:
    """The run of a command before it begins: its order, and what it needs.

    `recorded`: it leaves a record in the directory, which the help desk's identity may not write.
    `emergency`: it removes access. `finish` ends what earlier commands left unfinished.
    """

    order: Order
    settings: Settings
    keys: DigestKeys
    unreadable: UnreadableRecords
    now: Callable[[], datetime]
    say: Callable[[str], None]
    recorded: bool = True
    emergency: bool = False
    finish: Callable[[Run], None] | None = None

    @contextmanager
    def locked(self, writer: Writer, plan: str = "", tolerated: Tolerated = ()) -> Iterator[Run]:
        """Takes the lock, opens the journal and settles the writes that earlier runs left in doubt.

        Raises DefaultPolicyMissing, DirectoryOlder and JournalMissing with nothing written but the lock,
        unless the error is `tolerated`; UnsafePlan for a wrong clock, LockHeld, JournalUnusable. Releases the
        lock at the end in every case, if the directory can be reached. `plan` is the fingerprint of its plan,
        if known.
        """
        settings = self.settings
        require_default_policy(writer, settings.password.policy)
        compared = self._compared(writer, tolerated)
        csns = server_csns(writer, settings.directory.suffix)
        if len(csns) > 1:
            # before the lock: one that is given and released at another server would end a run at this one
            self._same_server(writer, stamp_clock(writer, settings.directory.state, self.now)[0], tolerated)
        lock = RunLock(
            *(writer, settings.directory.state, _holder(self.order), settings.lock_seconds, self.now),
            partial(has_run, settings.journal_file),
        )
        # the hooks come after the lock is released: a slow hook keeps no other run out
        with hooks_called(settings, self.say), host_lock(Path(settings.state_folder), lock):
            try:
                # checks the clock before the journal, whose lines would carry the wrong time
                abandoned = lock.acquire(settings.clock_minutes)
                server, same = self._same_server(writer, lock.csn(), tolerated)
                check_other_clocks(writer, self.now, settings.clock_minutes)
                compared = compared and same
                journalled = self._journalled(writer, lock, server, csns, plan=plan, compared=compared)
                with journalled as run:
                    if abandoned:
                        self.say(abandoned)
                        run.journal.note(abandoned)
                    mark_interrupted(run, abandoned or "it ended without recording its outcome")
                    with _with_end_recorded(run):
                        yield run
            finally:
                try:
                    lock.release()
                except PiactlError as error:
                    self.say(f"the lock could not be released ({error}); it expires by itself")

    @contextmanager
    def alone(self, writer: Writer) -> Iterator[Run]:
        """A run without the lock: the preconditions of its writes protect it.

        Opens the journal and settles the writes that earlier runs left in doubt. Raises JournalUnusable, and
        DefaultPolicyMissing, DirectoryOlder, JournalMissing and, for a wrong clock, UnsafePlan with no
        account written. An `emergency` only warns of these four.
        """
        settings, say = self.settings, self.say
        if self.emergency:
            warn_of_missing_policy(writer, settings.password.policy, say)
        else:
            require_default_policy(writer, settings.password.policy)
        tolerated: Tolerated = (DirectoryOlder, JournalMissing) if self.emergency else ()
        compared = self._compared(writer, tolerated, say)
        # before the journal, whose lines would carry the wrong time
        csn = ""
        try:
            csn, reading = stamp_clock(writer, settings.directory.state, self.now)
            check_server_clock(reading, settings.clock_minutes)
            check_other_clocks(writer, self.now, settings.clock_minutes)
        except PiactlError as error:
            if not self.emergency or isinstance(error, (DirectoryUnreachable, ReplyLost)):
                raise
            say(f"warning: {str(error).splitlines()[0]}; the change is made nevertheless")
        server, same = self._same_server(writer, csn, tolerated, say)
        compared = compared and same
        lock = NoLock(_holder(self.order))
        with (
            hooks_called(settings, say),
            self._journalled(writer, lock, server, compared=compared, recorded=self.recorded) as run,
            _with_end_recorded(run),
        ):
            yield run

    @contextmanager
    def beside(self, writer: Writer) -> Iterator[Run]:
        """A run that writes records of its own and no account: journalled, but without a record and without
        the checks that protect accounts. Raises JournalUnusable."""
        lock = NoLock(_holder(self.order))
        with (
            self._journalled(writer, lock, compared=False, recorded=False) as run,
            _with_end_recorded(run),
        ):
            yield run

    def _compared(
        self, writer: Writer, tolerated: Tolerated, say: Callable[[str], None] = lambda _text: None
    ) -> bool:
        host = self.order.actor.host
        return compare_runs(writer, host, self.settings, self.unreadable, self.now, tolerated, say)

    def _same_server(
        self, writer: Writer, csn: str, tolerated: Tolerated, say: Callable[[str], None] = lambda _text: None
    ) -> tuple[ServerIdentity, bool]:
        """The server, which made a write with this entryCSN, and whether it is the one that the last run
        wrote to. From now on the writer uses no other one. Raises DirectoryOlder, unless it is
        `tolerated`."""
        state = self.settings.directory.state
        server = server_of(writer, state, csn)
        same = check_server(writer, self.settings, self.unreadable, server, tolerated, say)
        if server.number:
            writer.keep_to(server.number, clock_write(state))
        return server, same

    @contextmanager
    def _journalled(
        self,
        writer: Writer,
        lock: RunLock | NoLock,
        server: ServerIdentity = field(default_factory=ServerIdentity),
        csns: Mapping[str, str] = MappingProxyType({}),
        *,
        plan: str = "",
        compared: bool,
        recorded: bool = True,
    ) -> Iterator[Run]:
        order, settings, now = self.order, self.settings, self.now
        journal = journal_of(self, plan=plan, compared=compared)
        with journal:
            yield Run(
                order,
                settings,
                self.keys,
                self.unreadable,
                writer,
                journal,
                lock,
                now,
                self.say,
                now(),
                recorded=recorded,
                compared=compared,
                server=server,
                csns=csns,
            )


def note_afterwards(run: Run | CommandRun, text: str) -> None:
    """Journals a sentence about a run that has ended. Raises JournalUnusable."""
    with journal_of(run) as journal:
        journal.note(text)
        journal.end({})


def journal_reading(run: CommandRun, identity: IdentityName, kind: str, uids: Sequence[str]) -> None:
    """Journals that private data of these accounts are about to be shown, read as `identity`. `kind` says
    which. Raises JournalUnusable: what cannot be recorded is not shown."""
    try:
        with journal_of(run) as journal:
            journal.read(identity.value, kind, len(uids), min(uids, default=""))
            journal.end({"read": len(uids)})
    except JournalUnusable as error:
        raise JournalUnusable(
            f"{error}\nPrivate data are shown only where the journal can record it"
        ) from None


def journal_of(run: Run | CommandRun, *, plan: str = "", compared: bool = False) -> Journal:
    """The journal of a run, which has not begun there. `plan` is the fingerprint of its plan; `compared`: no
    run of the journal is missing in the directory."""
    order = run.order
    return Journal(
        run.settings.journal_file,
        now=run.now,
        digest=run.keys.digester("journal"),
        secret=SECRETS,
        context=RunContext(order.run, order.command, order.actor, order.as_of, plan, order.policy, compared),
    )


def _holder(order: Order) -> LockHolder:
    actor = order.actor
    return LockHolder(order.run, actor.host, actor.pid, process_began(actor.pid), actor.user, this_place())


@contextmanager
def _with_end_recorded(run: Run) -> Iterator[None]:
    """Settles the writes in doubt, and records the end of a run that failed before it recorded its own."""
    settle_doubts(run)
    try:
        check_current_key(run.writer, run.settings, run.keys, run.unreadable)
        yield
    except PiactlError as error:
        cause = run.lock.cause(error)
        with suppress(PiactlError):
            for uid, words in made_late(run):
                run.say(f"warning: {uid}: {words}")
        if not run.finished:
            _finish_refused(run, cause)
        if cause is error:
            raise
        raise cause from error
