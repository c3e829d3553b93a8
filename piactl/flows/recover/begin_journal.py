"""Begins a new journal on this host after lines of the old one were lost."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from piactl.core.model.settings import Settings
from piactl.core.plan.run_state import RunStatus
from piactl.directory.port import Reader, Writer
from piactl.directory.store.records import UnreadableRecords
from piactl.errors import DirectoryOlder, JournalMissing, JournalUnusable, PiactlError
from piactl.flows.apply.restored_directory import compare_runs
from piactl.flows.apply.run import CommandRun
from piactl.journal.recorded_runs import rotated_without_journal


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
