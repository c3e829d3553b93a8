"""`journal prune` and `journal begin`: removes the oldest lines, begins a new journal after lines were lost.

The removal is recorded verifiably.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, time
from zoneinfo import ZoneInfo

from piactl.core.journal_line import Anchor, journal_owner
from piactl.core.model.settings import Settings
from piactl.core.plan.run_state import RunStatus
from piactl.dataclass import dataclass
from piactl.directory.port import EntryWrite, Reader, Writer
from piactl.directory.store.attribute_map import SECRETS
from piactl.directory.store.journal_heads import prunable_days, pruned_write
from piactl.directory.store.records import Places, UnreadableRecords
from piactl.errors import DirectoryOlder, JournalMissing, JournalUnusable, PiactlError
from piactl.flows.apply.executor import write_beside
from piactl.flows.apply.journal_heads import StoredHeads
from piactl.flows.apply.known_server import compare_runs
from piactl.flows.apply.run import CommandRun
from piactl.flows.plan.ready_plan import AccountWrite
from piactl.journal import Journal, RunContext, Verification, verify
from piactl.journal.heads import read_heads
from piactl.journal.prune import Removable, cut_off, pruning, removable, remove_left_behind
from piactl.journal.query_and_export import text_of
from piactl.journal.recorded_runs import extent, rotated_without_journal
from piactl.private_files import this_user


@dataclass(frozen=True, slots=True)
class Pruned:
    """`gone` describes the removed lines (in a trial: the removable ones), None if there are none; `after` is
    the verification of the journal afterwards."""

    gone: Removable | None
    after: Verification


def midnight(day: date, timezone: str) -> datetime:
    """The beginning of a day in a time zone."""
    return datetime.combine(day, time(), ZoneInfo(timezone))


def prune_journal(
    command: CommandRun,
    before: date,
    timezone: str,
    stored: StoredHeads,
    store: Callable[[Anchor], None],
    *,
    trial: bool,
) -> Pruned:
    """Removes the lines written before a day of `timezone`: only complete runs, and no line that is still
    needed. `store` stores the head of the journal elsewhere.

    Verifies the whole chain and its stored heads before and after. Raises JournalUnusable, with nothing
    removed, if the journal is not intact. A trial writes nothing.
    """
    path, order, now = command.settings.journal_file, command.order, command.now
    proof = _proved(path, stored)
    if trial or not proof.lines:
        return Pruned(removable(path, midnight(before, timezone)), proof)
    with pruning(path):
        remove_left_behind(path)
        gone = removable(path, midnight(before, timezone))
        if gone is None:
            return Pruned(None, proof)
        context = RunContext(order.run, order.command, order.actor, order.as_of, "", order.policy)
        with Journal(
            path,
            now=now,
            digest=command.keys.digester("journal"),
            secret=SECRETS,
            context=context,
        ) as journal:
            stamp = text_of(now())
            cut_off(path, gone, journal, before.isoformat(), order.actor.author, stamp, order.run)
            head = journal.end({"pruned": gone.lines})
            store(Anchor(text_of(now()), journal_owner(order.actor.user, order.actor.host), order.run, head))
    return Pruned(gone, _proved(path, stored))


def prune_heads(writer: Writer, run: CommandRun, before: date, *, trial: bool) -> int:
    """Removes the heads stored before a day (UTC) from the directory. Returns the number of entries, one for
    each journal and day; a trial only counts them.

    The record that they are pruned is written first, so that the next removal finishes one that was cut
    short.
    """
    places, by = Places(run.settings.directory.state), run.order.actor.author
    days = prunable_days(writer, places, before)
    record_write = None if trial else pruned_write(writer, places, run.keys, before, by)
    if trial or not (days or record_write):
        return len(days)
    writes = [record_write, *(EntryWrite("delete", dn) for dn in days)]
    reason = f"heads of journals before {before} pruned"
    with run.alone(writer) as begun:
        rows = [AccountWrite("", ("prune-heads",), reason, write) for write in writes if write is not None]
        done = write_beside(begun, rows)
        begun.journal.end(done.counts)
    if done.failed:
        raise PiactlError(f"{done.problems[0][2]}; the heads are not all removed. Repeat the command")
    return len(days)


def _proved(path: str, stored: StoredHeads) -> Verification:
    proof = verify(path, stored.heads, runs=stored.runs)
    if proof.problem is not None:
        raise JournalUnusable(
            f"{proof.problem}\nA damaged journal is not pruned, because the lines may be evidence. "
            "See: piactl journal verify"
        )
    return proof


def missing_lines(
    reader: Reader,
    host: str,
    settings: Settings,
    unreadable: UnreadableRecords,
    now: Callable[[], datetime],
) -> str:
    """The reason why lines of the journal count as missing. Raises PiactlError if none is missing."""
    try:
        compare_runs(reader, host, settings, unreadable, now, (DirectoryOlder,))
    except JournalMissing as missing:
        return str(missing).split("\n", 1)[0]
    heads, owner = settings.journal_heads, journal_owner(this_user(), host)
    ahead = max((a.head.seq for a in read_heads(heads) if a.owner == owner), default=0) if heads else 0
    last = extent(settings.journal_file).last
    if ahead > last:
        return f"{settings.journal_file} ends at line {last}, and {heads} has its head of line {ahead}"
    raise PiactlError(
        f"{settings.journal_file}: no line of the journal of this host is missing; there is nothing to begin"
    )


def begin_journal(writer: Writer, command: CommandRun, missing: str) -> None:
    """Starts a new chain with a line that names what is `missing` and the reason, and writes a record of it.

    Raises JournalUnusable if rotated files would mix with the new ones; then nothing is written.
    """
    path = command.settings.journal_file
    rotated = rotated_without_journal(path)
    if rotated:
        raise JournalUnusable(f"{path}: move {', '.join(rotated)} to safe keeping, then begin the journal")
    with command.locked(writer, tolerated=(JournalMissing, DirectoryOlder)) as run:
        run.record(RunStatus.RUNNING, begun=True)
        run.journal.begun(run.order.reason, missing)
        # later runs compare the directory with this one
        run.compared = True
        run.end({})
        run.record(
            RunStatus.DONE,
            begun=True,
            note="began the journal of this host anew",
        )
