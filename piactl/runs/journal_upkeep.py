"""`journal prune`, `begin` and `close`: removes old files, begins a new chain after lines were lost, ends the
chains that the journal goes on from. And the heads of the journal outside it: on the records of runs, and in
syslog.

A head proves every line up to it. A program that rewrites the journal cannot take a head back that is in
syslog of another host, and changes the records of runs only with the run lock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date, datetime, time
from pathlib import Path
from zoneinfo import ZoneInfo

from piactl.core.journal_line import CLOSED, Anchor, Head, journal_owner
from piactl.core.model.settings import Settings
from piactl.directory.interfaces import Reader, Writer
from piactl.directory.store.record_entries import UnreadableRecords, instant_of
from piactl.directory.store.run_records import read_runs, records_of
from piactl.errors import DirectoryOlder, JournalMissing, JournalUnusable, PiactlError
from piactl.host.caller import this_user
from piactl.host.private_files import sync_folder
from piactl.journal import Verification, in_doubt, verify
from piactl.journal.append_file import alive_runs
from piactl.journal.end_of_journal import last_number, rotated_without_journal
from piactl.journal.files import SUFFIX, chains_of, closed_chains, files_of, newest_line, newest_lines
from piactl.journal.intent_format import unsettled
from piactl.journal.query import text_of
from piactl.journal.unusable import refused_by_system
from piactl.journal.writer import close_chain
from piactl.phrase import Phrase, first_line
from piactl.runs.begin_run import begin_run
from piactl.runs.known_server import compare_runs, meet
from piactl.runs.run import CommandRun, journal_of
from piactl.runs.write_ahead import read_back


def prune_journal(
    command: CommandRun, before: date, timezone: str, stored: StoredHeads, *, trial: bool
) -> list[str]:
    """Removes the files whose lines were all written before a day of `timezone`. A trial writes nothing.

    Raises JournalUnusable, with nothing removed, if the journal is not intact.
    """
    path = command.settings.journal_file
    proof = verify(path, stored.heads, runs=stored.runs)
    if proof.problem is not None:
        raise JournalUnusable(
            Phrase(
                "{problem}\n"
                "A damaged journal is not pruned, because the lines may be evidence. See: piactl journal "
                "verify",
                problem=proof.problem,
            )
        )
    old = old_files(path, datetime.combine(before, time(), ZoneInfo(timezone)))
    if old and not trial:
        with journal_of(command) as journal:
            names = [Path(file).name for file in old]
            journal.record("prune", files=names, before=before.isoformat())
            remove_files(old)
            journal.end({"pruned": len(old)})
    return old


def missing_lines(
    reader: Reader,
    host: str,
    settings: Settings,
    unreadable: UnreadableRecords,
    now: Callable[[], datetime],
    syslog: Iterable[Anchor],
) -> str:
    """The reason why lines of the journal count as missing; `syslog` are heads from there. Raises PiactlError
    if none is missing."""
    try:
        with suppress(DirectoryOlder):
            compare_runs(meet(reader, settings), host, settings, unreadable, now())
    except JournalMissing as missing:
        return first_line(str(missing))
    owner, last = journal_owner(this_user(), host), last_number(settings.journal_file)
    ahead = max((anchor.head.seq for anchor in syslog if anchor.owner == owner), default=0)
    if ahead > last:
        return Phrase(
            "{journal} ends at line {last}, and syslog has its head of line {ahead}",
            journal=settings.journal_file,
            last=last,
            ahead=ahead,
        )
    raise PiactlError(
        Phrase(
            "{journal_file}: no line of the journal of this host is missing; there is nothing to begin",
            journal_file=settings.journal_file,
        )
    )


def begin_journal(writer: Writer, command: CommandRun, missing: str) -> None:
    """Starts a new chain with a line that names what is `missing` and the reason, and writes a record of it.

    Raises JournalUnusable if rotated files would mix with the new ones; then nothing is written.
    """
    path = command.settings.journal_file
    rotated = rotated_without_journal(path)
    if rotated:
        raise JournalUnusable(
            Phrase(
                "{path}: move {names} to safe keeping, then begin the journal",
                path=path,
                names=", ".join(rotated),
            )
        )
    with begin_run(command, writer, locked=True, tolerated=(JournalMissing, DirectoryOlder)) as run:
        run.begin_to_write(begun=True)
        run.journal.record("begun", reason=run.order.reason, why=missing)
        # later runs compare the directory with this one
        run.compared = True
        run.end(note=Phrase("began the journal of this host anew"))


def open_chains(path: str) -> dict[str, str]:
    """The chains in the folder `closed` that the journal does not name yet, by name. Raises
    JournalUnusable."""
    chains = closed_chains(path)
    lines = newest_lines(path) if chains else ()
    named = {name for line in lines if line.type == CLOSED for name in line.fields["chains"]}
    return {name: chain for name, chain in chains.items() if name not in named}


def close_chains(writer: Writer, command: CommandRun, chains: Mapping[str, str]) -> None:
    """Ends each chain with the outcomes of the writes that were in doubt, and a last line; the journal gets a
    line with their heads."""

    def stamp() -> dict[str, object]:
        return {"time": text_of(command.now()), "run": command.order.run}

    with begin_run(command, writer, locked=True) as run:
        run.begin_to_write()
        heads = {
            name: close_chain(chain, stamp, read_back(writer, in_doubt(chain), command.keys))
            for name, chain in chains.items()
        }
        run.journal.record(CLOSED, chains={name: head._asdict() for name, head in heads.items()})
        run.counts = {"closed": len(heads)}
        run.end(note=Phrase("closed the journals {names}", names=", ".join(heads)))


def old_files(path: str, before: datetime) -> list[str]:
    """The oldest files of the journal at `path` and of its closed chains whose lines were all written before
    that instant, oldest first: not the file that is appended to, and none with an intent that is not
    settled. Raises JournalUnusable."""
    old = []
    for chain in chains_of(path):
        settled = unsettled(chain).clean
        for name in files_of(chain):
            last = newest_line(name)
            if chain == path == name or last is None or last.time >= text_of(before) or last.seq >= settled:
                break
            old.append(name)
    return old


def remove_files(files: Iterable[str]) -> None:
    """Removes the files, and the folder of a closed chain with its last file. Raises JournalUnusable."""
    for name in files:
        file, head_file = Path(name), Path(name + SUFFIX)
        try:
            file.unlink(missing_ok=True)
            sync_folder(file.parent)
            if head_file.exists():  # the file that a closed chain ended in
                head_file.unlink()
                file.parent.rmdir()
        except OSError as refused:
            raise refused_by_system(name, refused) from None


# ---- the heads of the journal outside it


@dataclass(frozen=True, slots=True)
class StoredHeads:
    """The stored heads of the journal of `owner`, by where they are stored.

    `runs` are the runs that have a record in the directory, with their start (UTC, ISO 8601): each has lines
    in the journal. `begun` is the run that began the journal anew at `since`, both "" for none: what is older
    is not compared.
    """

    owner: str
    heads: Mapping[str, Head]
    runs: Mapping[str, str]
    begun: str = ""
    since: str = ""

    def with_syslog(self, anchors: Iterable[Anchor]) -> StoredHeads:
        """These heads, and those of this journal in syslog."""
        named = {
            f"the head in syslog of run {a.run} ({a.head.seq}:{a.head.hash[:8]})": a.head
            for a in anchors
            if a.owner == self.owner and a.time >= self.since
        }
        return replace(self, heads={**self.heads, **named})

    def uncovered(self, path: str, proof: Verification) -> str:
        """The last run that ended after the highest stored head, "" if there is none. A run that is still
        alive is about to send its own to syslog."""
        highest = max((head.seq for head in self.heads.values()), default=0)
        if proof.ended is None or proof.ended.seq <= highest or alive_runs(path, [proof.ended.run]):
            return ""
        return proof.ended.run


def recorded_heads(
    reader: Reader, settings: Settings, unreadable: UnreadableRecords, user: str, host: str, now: datetime
) -> StoredHeads:
    """The heads on the records of the runs that a Unix user of a host made. Raises PiactlError."""
    heads: dict[str, Head] = {}
    runs: dict[str, str] = {}
    begun = since = ""
    for record in records_of(read_runs(reader, settings.directory.state, unreadable, now), host, user):
        runs[record["run"]] = text_of(instant_of(record["started"]))
        if record.get("journal"):
            heads[f"run {record['run']}"] = Head(record["journal"]["seq"], record["journal"]["hash"])
            if record.get("begun"):
                begun, since = record["run"], runs[record["run"]]
    return StoredHeads(journal_owner(user, host), heads, runs, begun, since)
