"""One run: its order, and what it has while it is under way. `begin_run` begins and ends it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from piactl.core.model.keyed_digests import DigestKeys, masked
from piactl.core.model.settings import IdentityName, Settings
from piactl.core.plan.state_between_runs import RunStatus, ServerIdentity
from piactl.core.plan.write import Write
from piactl.directory.interfaces import Writer
from piactl.directory.store.attribute_map import SECRETS, event_facts
from piactl.directory.store.record_entries import Places, Records, UnreadableRecords
from piactl.directory.store.run_records import put_run_record
from piactl.errors import JournalUnusable, PiactlError
from piactl.journal import Intent, Journal, Order
from piactl.phrase import Phrase
from piactl.runs.run_lock import NoLock, RunLock


@dataclass(slots=True)
class CommandRun:
    """The run of a command before it begins: its order, and what it needs; `say` prints a message for the
    user.

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


@dataclass(frozen=True, slots=True)
class Promise:
    """The notices of what a run was about to change after line `after` of the journal, as the hook gets
    them."""

    run: str
    after: int
    accounts: Sequence[Mapping[str, Any]]


@dataclass(slots=True, kw_only=True)
class Run(CommandRun):
    """A run under way."""

    writer: Writer
    journal: Journal
    lock: RunLock | NoLock
    records: Records
    """What was there beside the accounts when the run began: under the lock, as all of it stays."""
    started: datetime
    unstored: list[Promise]
    """Notices to owners that could not be stored."""
    compared: bool = True
    """Whether the directory has the last run of this host, on the server that the last run wrote to; else no
    later run is compared with this one."""
    server: ServerIdentity = field(default_factory=ServerIdentity)
    csns: Mapping[str, str] = field(default_factory=dict)
    """The contextCSN of the server when the run began, by serverID."""
    writes: bool = False
    """Whether it has begun to write: what ends it from now on is a failure, and no refusal."""
    ended: bool = False
    in_directory: bool = False
    """Whether its record is in the directory."""
    remembered: bool = False
    """Whether it is the last run of `cn=state`."""
    facts: dict[str, Any] = field(default_factory=dict)
    """What its record says beside what every record says."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """What its end in the journal counts: its writes by outcome, or what else it did."""
    unmade: Sequence[Intent] = ()
    """The writes that earlier runs left in doubt and that were read back as not made, by this run or by an
    earlier one."""

    @property
    def places(self) -> Places:
        return Places(self.settings.directory.state)

    def while_locked(self, writes: Iterable[Write]) -> Iterator[Write]:
        """The writes, for each of which the lock is renewed first if it is due."""
        for write in writes:
            self.lock.renew()
            yield write

    def begin_to_write(self, **facts: Any) -> None:
        """Writes the record of the run, which says `facts` and that it is under way, before its first
        write."""
        self.writes = True
        self.facts |= facts
        self.record(RunStatus.RUNNING)

    def end(self, status: RunStatus = RunStatus.DONE, note: str = "") -> None:
        """Writes the end of the run to the journal, with what later runs compare with the directory, and to
        its record; if one cannot be written, the other still is. Later runs leave out a run that failed or
        was refused.

        Raises PiactlError if one cannot be written and the run did not fail: then its own error counts."""
        self.ended = True
        failed = status in (RunStatus.FAILED, RunStatus.REFUSED)
        acknowledged = self.compared and not failed
        recorded = acknowledged and self.in_directory
        first: PiactlError | None = None
        try:
            self.journal.end(
                self.counts,
                recorded=recorded,
                remembered=recorded and self.remembered,
                acknowledged=acknowledged,
                feeds=self.facts.get("feeds", ()) if self.writes else (),
            )
        except PiactlError as error:
            first, note = error, note or str(error)
        try:
            self.record(status, note)
        except PiactlError as error:
            cause = self.lock.cause(error)
            self.say(Phrase("the record of the run could not be finished: {why}", why=str(cause)))
            first = first or cause
        if first is not None and not failed:
            raise first

    def record(self, status: RunStatus, note: str = "") -> None:
        """Writes the record of the run. That of a run that is over has the time and the head of the
        journal."""
        if not self.recorded:
            return
        order = self.order
        head = {"seq": self.journal.head.seq, "hash": self.journal.head.hash}
        over = {"ended": self.now().isoformat(timespec="milliseconds"), "journal": head}
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
            **({} if status is RunStatus.RUNNING else over),
            **self.facts,
            **({"note": note} if note else {}),
        }
        dn = self.places.run(order.run)
        put_run_record(self.writer, dn, without_numens(record), first=not self.in_directory)
        self.in_directory = True


def without_numens(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record with everything masked that looks like a NUMEN in the text of users and messages."""
    texts = ("command", "reason", "note", "break_glass")
    written = {name: masked(str(record[name])) for name in texts if record.get(name)}
    problems = [{**problem, "message": masked(problem["message"])} for problem in record.get("problems", [])]
    return {**record, **written, **({"problems": problems} if problems else {})}


def note_afterwards(run: CommandRun, text: str) -> None:
    """Journals a sentence about a run that has ended. Raises JournalUnusable."""
    with journal_of(run) as journal:
        journal.note(text)
        journal.end({})


def journal_reading(run: CommandRun, identity: IdentityName, kind: str, uids: Sequence[str]) -> None:
    """Journals that private data of these accounts are about to be shown, read as `identity`. `kind` says
    which. Raises JournalUnusable: what cannot be recorded is not shown."""
    try:
        with journal_of(run) as journal:
            first = min(uids, default="")
            journal.record("read", identity=identity.value, data=kind, accounts=len(uids), first=first)
            journal.end({"read": len(uids)})
    except JournalUnusable as error:
        raise JournalUnusable(
            Phrase("{error}\nPrivate data are shown only where the journal can record it", error=str(error))
        ) from None


def journal_of(run: CommandRun, *, compared: bool = False) -> Journal:
    """The journal of a run, which has not begun there. `compared` is as in Journal."""
    order = run.order
    return Journal(
        run.settings.journal_file,
        now=run.now,
        digest=lambda value: run.keys.digest("journal", value),
        secret=SECRETS,
        order=order,
        compared=compared,
        facts=lambda write: event_facts(write, order.as_of, run.settings.directory.attributes, order.urn),
    )
