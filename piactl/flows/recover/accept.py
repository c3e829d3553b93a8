"""Accepts that the directory lacks runs, so that commands can write and sources accept their feeds again."""

from __future__ import annotations

from dataclasses import replace

from piactl.core.plan.run_state import RunStatus
from piactl.core.text import counted
from piactl.directory.port import Writer
from piactl.directory.store.records import DATA, record_write, stored
from piactl.directory.store.state_records import read_source, source_record
from piactl.errors import DirectoryOlder, PiactlError
from piactl.flows.apply.run import CommandRun, Run, must, unclean_last
from piactl.flows.recover.lost_runs import Feed, LostRun, feeds_to_apply, lost_runs


def accept_lost_runs(writer: Writer, command: CommandRun) -> tuple[list[LostRun], list[Feed]]:
    """Records in the journal and in the directory that the runs are lost. Returns these runs, and the feeds
    to apply again in order.

    Changes no account; the next night evaluates every account. Raises PiactlError if no run is lost,
    JournalMissing, LockHeld; then nothing is written.
    """
    settings, keys, unreadable = command.settings, command.keys, command.unreadable
    with command.locked(writer, tolerated=(DirectoryOlder,)) as run:
        lost = lost_runs(writer, settings, unreadable, run.now())
        if run.compared and not lost:
            raise PiactlError("the directory lacks no run of this host; there is nothing to accept")
        feeds = feeds_to_apply(writer, lost, settings, keys, unreadable)
        names = [run_lost.run for run_lost in lost]
        run.record(RunStatus.RUNNING)
        run.journal.accepted(names, run.order.reason)
        for feed in feeds:
            _take_again(run, feed)
        unclean_last(run)
        # later runs compare the directory with this one
        run.compared = True
        run.end({})
        run.record(
            RunStatus.DONE,
            note=f"accepted that the directory lacks {counted(len(names), 'run')}: {', '.join(names)}",
        )
    return lost, feeds


def _take_again(run: Run, feed: Feed) -> None:
    """Lets the source accept a feed once more, whatever its date."""
    dn = run.places.source(feed["source"])
    entry = run.writer.read(dn, [DATA])
    memory = run.unreadable.read(dn, entry.first(DATA), read_source) if entry is not None else None
    if memory is None:
        return  # no earlier feed of this source could refuse it
    again = dict.fromkeys([*memory.again, feed["digest"]])
    write = record_write(dn, stored(entry), source_record(replace(memory, again=tuple(again))))
    if write is not None:
        must(run.writer, write)
