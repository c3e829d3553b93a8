"""One writing run: its lock, its journal, its record in the directory, its checks before the first write."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import field, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from piactl.core.journal_line import journal_owner
from piactl.core.model.numen_and_digests import DigestKeys, masked
from piactl.core.model.settings import Settings
from piactl.core.plan.run_state import LastRun, RunStatus
from piactl.core.text import counted
from piactl.dataclass import dataclass
from piactl.directory import filters
from piactl.directory.port import EntryWrite, Outcome, Writer, WriteResult, write_one
from piactl.directory.store.accounts import CSN
from piactl.directory.store.attribute_map import SECRETS
from piactl.directory.store.records import (
    DATA,
    IN_RECORD,
    RUNS,
    Places,
    Record,
    UnreadableRecords,
    record_write,
    stored,
)
from piactl.directory.store.run_records import read_run
from piactl.directory.store.state_records import last_run_record, read_last_run
from piactl.errors import (
    DirectoryOlder,
    DirectoryUnreachable,
    FeedRefused,
    JournalMissing,
    PiactlError,
    RecordChanged,
    ReplyLost,
    StalePlan,
    UnsafePlan,
)
from piactl.flows.apply.hooks import hooks_called
from piactl.flows.apply.journal_heads import head_stored
from piactl.flows.apply.key_fence import check_current_key
from piactl.flows.apply.restored_directory import Tolerated, compare_runs, warn_of_old_journal
from piactl.flows.apply.run_lock import (
    Holder,
    NoLock,
    RunLock,
    alive_alone,
    host_lock,
    process_began,
    this_place,
)
from piactl.flows.apply.server_checks import (
    check_clock_by_record,
    require_default_policy,
    warn_of_missing_policy,
)
from piactl.flows.apply.write_again import (
    Rewritten,
    change_of_intent,
    leave_in_doubt,
    records_since,
    write_again,
)
from piactl.flows.apply.write_ahead import read_back
from piactl.flows.plan.inputs.load_feeds import refused_feeds
from piactl.journal import (
    Actor,
    Intent,
    Journal,
    RunContext,
    Settlement,
    in_doubt,
)

MARK, MARKED = "description", (RunStatus.RUNNING, RunStatus.LOADING)
"""What the record of a run carries while its status is one of these, so that a search finds it."""
FAR = timedelta(days=92)
"""A clock this far after the last run counts as wrong."""


@dataclass(frozen=True, slots=True)
class Order:
    """The request for a run: its id, its date, its command, its user.

    `today` is the date of the clock. `explicit`: the date was given on the command line. `policy` is the
    digest of the policy in force, `urn` the beginning of the rights that it gives.
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
    """Whether the directory has the last run of this host; else no later run is compared with this one."""
    in_directory: bool = False
    """Whether its record is in the directory."""
    remembered: bool = False
    """Whether it is the last run of `cn=state`."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What its record says of the people who approved its plan."""
    again: dict[int, Rewritten] = field(default_factory=dict)
    """The entries written again for the other servers, by the number of their intent, which gets its outcome
    once the others have them."""

    @property
    def places(self) -> Places:
        return Places(self.settings.directory.state)

    def own_csn(self) -> str:
        """The entryCSN that the server gave this run when it took the lock."""
        entry = self.writer.read(self.places.lock, [CSN])
        return entry.text(CSN) if entry is not None else ""

    def record(self, status: RunStatus, **more: Any) -> None:
        """Writes the record of the run; any status but `running` ends the run. One that is over has the time
        and the head of the journal."""
        self.finished = status is not RunStatus.RUNNING
        if not self.recorded:
            return
        order = self.order
        ended = {"ended": self.now().isoformat(timespec="milliseconds"), "journal": self.head_facts()}
        record = {
            "run": order.run,
            "command": " ".join(order.command),
            "user": order.actor.user,
            "sudo_user": order.actor.sudo_user,
            "author": order.actor.author,
            "origin": order.actor.origin,
            "host": order.actor.host,
            "server": self.writer.facts().uri,
            "as_of": order.as_of.isoformat(),
            "started": self.started.isoformat(timespec="milliseconds"),
            "status": status,
            "reason": order.reason,
            "allowed": dict(order.allowed),
            **self.lock.facts(),
            **self.facts,
            **({} if status in MARKED else ended),
            **more,
        }
        put_record(self.writer, self.places.run(order.run), without_numens(record))
        self.in_directory = True

    def head_facts(self) -> dict[str, Any]:
        """The head of the journal, as records have it."""
        return {"seq": self.journal.head.seq, "hash": self.journal.head.hash}

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
    problems = [{**one, "message": masked(one["message"])} for one in record.get("problems", [])]
    return {**record, **written, **({"problems": problems} if problems else {})}


def _finish_refused(run: Run, error: PiactlError) -> None:
    """Records the end of a run that ended before its first write."""
    refused = isinstance(error, (FeedRefused, UnsafePlan, StalePlan))
    try:
        run.journal.end({})
        found = refused_feeds([error])
        feeds = {"refused_feeds": found} if found else {}
        run.record(RunStatus.REFUSED if refused else RunStatus.FAILED, note=str(error), **feeds)
    except PiactlError as silent:
        run.say(f"the record of the run could not be written: {run.lock.cause(silent)}")


def put_record(writer: Writer, dn: str, record: Mapping[str, Any]) -> None:
    """Writes the record of a run, and marks one that has not ended, so that a search finds it. Raises
    PiactlError."""
    entry = writer.read(dn, [DATA, MARK])
    write = record_write(dn, stored(entry), record)
    marks = entry.values.get(MARK, ()) if entry is not None else ()
    wanted = tuple(status.encode() for status in MARKED if record.get("status") == status)
    add: dict[str, tuple[bytes, ...]] = {MARK: wanted} if wanted and marks != wanted else {}
    delete: dict[str, tuple[bytes, ...]] = {MARK: tuple(marks)} if marks and marks != wanted else {}
    if write is None and not add and not delete:
        return
    write = write or EntryWrite("modify", dn)
    must(writer, replace(write, add={**write.add, **add}, delete={**write.delete, **delete}))


def must(writer: Writer, write: EntryWrite) -> None:
    """Makes one write of piactl's own records. Raises PiactlError if it fails."""
    result = write_one(writer, write)
    if result.outcome not in (Outcome.APPLIED, Outcome.UNCHANGED):
        raise unwritten(write.dn, result)


def unwritten(dn: str, result: WriteResult) -> PiactlError:
    """The error for a record of piactl's own that was not written."""
    error = RecordChanged if result.outcome is Outcome.CONFLICT else PiactlError
    return error(f"{dn}: piactl's own record cannot be written: {result.message}")


@dataclass(frozen=True, slots=True)
class CommandRun:
    """The run of a command that has not begun: its order, and what it is carried out with.

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

        Raises DefaultPolicyMissing, DirectoryOlder and JournalMissing with nothing written, unless the error
        is `tolerated`; UnsafePlan for a wrong clock, LockHeld, JournalUnusable. Releases the lock at the end
        in every case, if the directory can be reached. `plan` is the fingerprint of its plan, if known.
        """
        settings = self.settings
        require_default_policy(writer, settings.password.policy)
        compared = self._compared(writer, tolerated)
        lock = RunLock(writer, settings.directory.state, _holder(self.order), settings.lock_seconds, self.now)
        # the hooks come after the lock is released: a slow one keeps nobody out
        with hooks_called(settings, self.say), host_lock(Path(settings.state_folder), lock):
            try:
                # checks the clock before the journal, whose lines would carry the wrong time
                abandoned = lock.acquire(settings.clock_minutes)
                with self._journalled(writer, lock, plan=plan, compared=compared) as run:
                    if abandoned:
                        self.say(abandoned)
                        run.journal.note(abandoned)
                    _mark_interrupted(run, abandoned or "it ended without recording its outcome")
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
        warn_of_old_journal(writer, self.order.actor.host, settings, self.now(), say)
        # before the journal, whose lines would carry the wrong time
        try:
            check_clock_by_record(
                writer, settings.directory.state, self.order.run, self.now, settings.clock_minutes
            )
        except PiactlError as error:
            if not self.emergency or isinstance(error, (DirectoryUnreachable, ReplyLost)):
                raise
            say(f"warning: {str(error).splitlines()[0]}; the change is made nevertheless")
        lock = NoLock(_holder(self.order))
        with (
            hooks_called(settings, say),
            self._journalled(writer, lock, compared=compared, recorded=self.recorded) as run,
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

    @contextmanager
    def _journalled(
        self,
        writer: Writer,
        lock: RunLock | NoLock,
        *,
        plan: str = "",
        compared: bool,
        recorded: bool = True,
    ) -> Iterator[Run]:
        order, settings, now = self.order, self.settings, self.now
        journal = Journal(
            settings.journal_file,
            now=now,
            digest=lambda text: self.keys.digest("journal", text),
            secret=SECRETS,
            context=RunContext(
                order.run, order.command, order.actor, order.as_of, plan, order.policy, compared
            ),
        )
        owner = journal_owner(order.actor.user, order.actor.host)
        with journal, head_stored(journal, writer, settings, owner, order.run, now, self.say):
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
            )


def _holder(order: Order) -> Holder:
    actor = order.actor
    return Holder(order.run, actor.host, actor.pid, process_began(actor.pid), actor.user, this_place())


@contextmanager
def _with_end_recorded(run: Run) -> Iterator[None]:
    """Settles the writes in doubt, and records the end of a run that failed before it recorded its own."""
    settle_doubts(run)
    try:
        check_current_key(run.writer, run.settings, run.keys, run.unreadable)
        yield
    except PiactlError as error:
        cause = run.lock.cause(error)
        leave_in_doubt(run)
        if not run.finished:
            _finish_refused(run, cause)
        if cause is error:
            raise
        raise cause from error


def settle_doubts(run: Run) -> int:
    """Reads back the writes that earlier runs on this host left in doubt, and journals their outcomes.

    Only a run under the lock accounts for what a load by LDIF left: until then it may yet be loaded.
    """
    locked = isinstance(run.lock, RunLock)
    intents = [one for one in in_doubt(run.settings.journal_file) if locked or not one.load]
    settled = read_back(run.writer, run.settings.directory.accounts, intents, run.keys)
    if locked:
        # before the journal calls them settled: a run that dies in between leaves them to the next one
        _end_loads(run, intents, settled)
    if settled:
        made = zip(intents, settled, strict=True)
        again = [
            change_of_intent(intent, run.writer, run.keys, made=settlement.outcome == "applied")
            for intent, settlement in made
            if settlement.outcome != "failed" and not intent.load
        ]
        write_again(run, again)
        run.journal.resolved(settled)
        done = sum(1 for one in settled if one.outcome == "applied")
        writes = counted(
            len(settled),
            "write that an earlier run left in doubt was",
            "writes that an earlier run left in doubt were",
        )
        run.say(f"{writes} read back: {done} had been made")
    return len(settled)


def _unfinished(run: Run, status: str) -> Iterator[tuple[str, Record]]:
    """Name and record of the other runs that are marked with this status."""
    marked = filters.all_of(IN_RECORD, filters.equals(MARK, status))
    for entry in list(run.writer.search(run.places.folder(RUNS), marked, [DATA], scope="one")):
        record = run.unreadable.read(entry.dn, entry.first(DATA), read_run)
        if record is not None and record["status"] == status and record["run"] != run.order.run:
            yield entry.dn, record


def _end_loads(run: Run, intents: Sequence[Intent], settled: Sequence[Settlement]) -> None:
    """The records of runs that wrote an LDIF say what became of it; one that is not loaded by now is never
    loaded: its first entry is made here, and slapadd refuses the file.

    What the journal of another host knows is left to the runs there.
    """
    outcomes: dict[str, Counter[str]] = defaultdict(Counter)
    for intent, settlement in zip(intents, settled, strict=True):
        if intent.load:
            outcomes[intent.run][settlement.outcome] += 1
    for dn, record in _unfinished(run, RunStatus.LOADING):
        name = record["run"]
        counts = outcomes[name]
        facts: dict[str, Any] = {"outcomes": dict(counts)}
        if run.writer.read(run.places.undo(name, 0), ["cn"]) is None:
            first = record_write(run.places.undo(name, 0), None, {"run": name, "changes": []})
            if first is not None:
                must(run.writer, first)
            facts = {"summary": {}, "outcomes": {}}  # an undo has nothing to undo
        elif not counts and record.get("host") != run.order.actor.host:
            continue
        status, note = _load_ended(counts)
        if status is not RunStatus.DONE:
            unclean_last(run, name)
        put_record(run.writer, dn, {**record, **facts, "status": status, "note": note})
        run.say(f"run {name}: {note}")


def _load_ended(counts: Mapping[str, int]) -> tuple[RunStatus, str]:
    """Status and note of a run whose LDIF was read back."""
    made, total = counts["applied"], sum(counts.values())
    if not total:
        return (
            RunStatus.FAILED,
            "nothing of its LDIF can be read back from the journal of this host; see the accounts",
        )
    if not made:
        return RunStatus.FAILED, "its LDIF was not loaded and can no longer be; delete the file"
    accounts = counted(made, "account")
    if made == total:
        return RunStatus.DONE, f"its LDIF was loaded: {accounts}; delete the file"
    return RunStatus.PARTLY, f"its LDIF was loaded in part: {accounts} of {total}; plan again for the rest"


def unclean_last(run: Run, only: str = "") -> None:
    """The next night evaluates everybody: the last run, if it is the run `only`, counts as one that did not
    end well."""
    entry = run.writer.read(run.places.last_run, [DATA])
    data = entry.first(DATA) if entry is not None else None
    last = run.unreadable.read(run.places.last_run, data, read_last_run) if data else None
    if last is None or (only and last.run != only):
        return
    write = record_write(run.places.last_run, data, last_run_record(replace(last, clean=False)))
    if write is not None:
        must(run.writer, write)


def _mark_interrupted(run: Run, why: str) -> None:
    """The record of a run that died says so."""
    for dn, record in _unfinished(run, RunStatus.RUNNING):
        if not alive_alone(record, run.now()):
            write_again(run, [*records_since(run, record["started"])])
            put_record(run.writer, dn, {**record, "status": RunStatus.INTERRUPTED, "note": why})
            feeds = ", ".join(feed["file"] for feed in record.get("feeds", []))
            if feeds:
                run.say(f"run {record['run']} was interrupted; apply its feeds again: {feeds}")


def check_date(order: Order, last: LastRun | None, settings: Settings) -> None:
    """Raises UnsafePlan if the run must not write as of its date."""
    any_date = settings.any_date
    if order.as_of != order.today and not any_date:
        raise UnsafePlan(
            f"writing as of {order.as_of}, which is not today, is for trials: this directory's configuration "
            "does not allow it (any_date)"
        )
    if last is None:
        return
    name = last.run or "its record cannot be read"
    if order.as_of < last.as_of:
        trial = (
            f"if this is a trial go on with --as-of {last.as_of} or a later day, else " if any_date else ""
        )
        way = (
            f'If the clock was wrong in that run: piactl runs rewind --to {order.as_of} --reason "..."'
            if not last.lost
            else f"If no run was made as of {last.as_of}: "
            f"delete {Places(settings.directory.state).last_run}, and the next run checks every account"
        )
        raise UnsafePlan(
            f"the date of this run, {order.as_of}, is before that of the last one, {last.as_of} "
            f"({name}):\n{trial}check the clock (`date`)\n{way}"
        )
    if last.as_of == date.min:  # lost, and no record of a run has its date
        return
    if order.as_of - last.as_of > FAR and not order.explicit:
        days = (order.as_of - last.as_of).days
        raise UnsafePlan(
            f"the date of this run, {order.as_of}, is {days} days after the last one ({name}): "
            f"if the clock is right, confirm it with --as-of {order.as_of}"
        )
