"""Whether a run meets the server and the directory that the last one left, before its first write.

A directory that was restored from a backup, or another server than the one that was written to, can lack runs
that were acknowledged. A server is known by its serverID and by the entryUUID of piactl's tree, never by its
address: hosts may name servers differently or in another order, and a load balancer has one address for two.
A journal that was removed lacks lines that the directory refers to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import cache

from piactl.core.model.settings import Settings
from piactl.core.plan.run_state import LastRun, ServerIdentity
from piactl.core.text import utc_instant
from piactl.directory import filters
from piactl.directory.client.failover_and_reader import shown_uri
from piactl.directory.dn import first_pair, normal_dn, under
from piactl.directory.port import RawEntry, Reader
from piactl.directory.store.accounts import IN_ACCOUNTS, UUID
from piactl.directory.store.context_csn import CONTEXT_CSN, context_of, csns_in
from piactl.directory.store.records import DATA, Places, Record, UnreadableRecords
from piactl.directory.store.run_records import read_run, read_runs, records_of
from piactl.directory.store.state_records import read_last
from piactl.errors import DirectoryOlder, JournalMissing, JournalUnusable, PiactlError
from piactl.flows.apply.run_lock import MARGIN
from piactl.journal.recorded_runs import (
    RecordedRun,
    StampedWrite,
    last_number,
    last_recorded,
    lines_lost,
    stamped_writes,
)
from piactl.private_files import this_user

Tolerated = tuple[type[PiactlError], ...]
LastOfDirectory = Callable[[], LastRun | None]
"""Reads the last run of the directory once."""

_LATELY, _SAMPLE = 500, 5
"""The `_SAMPLE` entries that were written last are compared, of those in the last `_LATELY` lines of the
journal."""

BEGIN = "piactl journal begin --reason TEXT"


def compare_runs(
    reader: Reader,
    host: str,
    settings: Settings,
    unreadable: UnreadableRecords,
    now: Callable[[], datetime],
    tolerated: Tolerated = (),
    say: Callable[[str], None] = lambda _text: None,
) -> bool:
    """Whether the directory has the last run of this host that left a record, the entries that this host
    wrote last are not as they were before, and the journal has its lines.

    Reads the end of the journal, the record of one run, the last run and a few entries. Raises DirectoryOlder
    and JournalMissing; one of these that is `tolerated` is reported instead, and the result is then false. It
    is also false for a journal that cannot be read, which is reported when it is opened for writing.
    """
    try:
        recorded = last_recorded(settings.journal_file)
        last_line, lost = last_number(settings.journal_file), lines_lost(settings.journal_file)
    except JournalUnusable:
        return False
    last_run = cache(lambda: read_last(reader, settings.directory.state, unreadable))
    try:
        if lost:
            raise _missing(settings.journal_file, lost)
        _check_journal(reader, host, settings, unreadable, now(), recorded, last_line, last_run)
        if recorded.run:
            _check_directory(reader, settings, now(), recorded, last_run)
        _check_accounts(reader, settings)
    except tolerated as error:
        say(f"warning: {str(error).splitlines()[0]}; the change is made nevertheless")
        return False
    return True


def server_of(reader: Reader, state: str, csn: str) -> ServerIdentity:
    """The server of `reader`, which made a write with this entryCSN; "" if that is unknown."""
    entry = reader.read(state, [UUID])
    return ServerIdentity.of(csn, entry.text(UUID) if entry is not None else "")


def server_csns(reader: Reader, suffix: str) -> dict[str, str]:
    """The contextCSN of the database that holds `suffix`, by serverID; empty if the server keeps none."""
    return csns_in(reader.read(context_of(reader.facts(), suffix), [CONTEXT_CSN]))


def written_elsewhere(server: ServerIdentity, csns: Mapping[str, str], last: LastRun | None) -> list[str]:
    """The serverIDs of other servers that were written to since the last night began, by the contextCSN at
    `server`."""
    if last is None or not last.csns or not server.number:
        return []
    return [n for n, csn in csns.items() if n != server.number and csn > last.csns.get(n, "")]


def check_server(
    reader: Reader,
    settings: Settings,
    unreadable: UnreadableRecords,
    server: ServerIdentity,
    tolerated: Tolerated = (),
    say: Callable[[str], None] = lambda _text: None,
) -> bool:
    """Whether `server`, which `reader` reads, is the one that the last run wrote to, according to `cn=state`,
    or without it to the record of the last run of this host. Raises DirectoryOlder, unless it is `tolerated`:
    then it is reported, and the result is false."""
    state = settings.directory.state
    last = read_last(reader, state, unreadable)
    known, run = (last.server, last.run) if last is not None else (ServerIdentity(), "")
    if not str(known):
        recorded = last_recorded(settings.journal_file)
        entry = reader.read(Places(state).run(recorded.run), [DATA]) if recorded.run else None
        record = unreadable.read(entry.dn, entry.first(DATA), read_run) if entry is not None else None
        if record is not None:
            known, run = ServerIdentity.read(str(record.get("server", ""))), record["run"]
    why = server.other_than(known)
    if not why:
        return True
    error = DirectoryOlder(
        f"{shown_uri(reader.facts().uri)} is not the server that run {run} wrote to: {why}.\n"
        "Nothing is written. What it lacks, and the way on: piactl recover"
    )
    if not isinstance(error, tolerated):
        raise error
    say(f"warning: {str(error).splitlines()[0]}; the change is made nevertheless")
    return False


def _check_directory(
    reader: Reader, settings: Settings, now: datetime, recorded: RecordedRun, last_run: LastOfDirectory
) -> None:
    ended = datetime.fromisoformat(recorded.ended)
    # a day less: the clocks of the hosts that delete old records may differ
    if now - ended > timedelta(days=settings.keep_runs_days - 1):
        return
    state = settings.directory.state
    if reader.read(Places(state).run(recorded.run), ["cn"]) is None:
        raise DirectoryOlder(_older(recorded.run, recorded.ended, "the directory does not have it"))
    if recorded.remembered:
        last = last_run()
        if last is not None and is_before(last, recorded.run):
            raise DirectoryOlder(
                _older(recorded.run, recorded.ended, f"the last run of the directory is {last.run}")
            )


def _check_accounts(reader: Reader, settings: Settings) -> None:
    """Raises DirectoryOlder if an entry that this host wrote lately is as before that write."""
    accounts, name = settings.directory.accounts, settings.directory.attributes.get("uid", "uid")
    lately: dict[str, tuple[StampedWrite, str]] = {}
    for write in stamped_writes(settings.journal_file, _LATELY):
        attribute, value = first_pair(write.dn)
        if attribute == name.lower() and under(write.dn, accounts):
            lately.setdefault(normal_dn(write.dn), (write, value))
        if len(lately) == _SAMPLE:
            break
    if not lately:
        return
    named = filters.any_of(*(filters.equals(name, value) for _, value in lately.values()))
    any_present = False
    for entry in reader.search(accounts, named, ["entryCSN"], few=True):
        known = lately.get(normal_dn(entry.dn))
        any_present = any_present or known is not None
        if known is not None and is_older(entry, known[0]):
            write = known[0]
            raise DirectoryOlder(_older(write.run, write.time, f"{entry.dn} is as it was before"))
    if not any_present and next(iter(reader.search(accounts, IN_ACCOUNTS, ["cn"])), None) is None:
        write, _ = next(iter(lately.values()))
        raise DirectoryOlder(_older(write.run, write.time, f"{accounts} has no account"))


def is_older(entry: RawEntry, write: StampedWrite) -> bool:
    """Whether an entry, read with its entryCSN, is as before a write of it. Unknown is no."""
    csn = entry.text("entryCSN")
    return bool(csn) and csn < write.csn


def is_before(last: LastRun, run: str) -> bool:
    """Whether the last run of the directory began before `run`, by more than two clocks may differ. Unknown
    is no."""
    began, other = began_at(last.run), began_at(run)
    return began is not None and other is not None and began < other - MARGIN


def began_at(run: str) -> datetime | None:
    """The instant at which a run began, by its id; None for an id of another form."""
    try:
        return utc_instant(run.partition("-")[0])
    except ValueError:
        return None


def _second(run: str) -> str:
    """The second in which a run began, by its id; the rest of an id gives no order."""
    return run.partition("-")[0]


def _older(run: str, when: str, why: str) -> str:
    return (
        f"the directory is older than the journal of this host: run {run} wrote on {when[:10]}, and {why}.\n"
        "Nothing is written. What is lacking, and the way on: piactl recover"
    )


def _check_journal(
    reader: Reader,
    host: str,
    settings: Settings,
    unreadable: UnreadableRecords,
    now: datetime,
    recorded: RecordedRun,
    last_line: int,
    last_run: LastOfDirectory,
) -> None:
    state = settings.directory.state
    if recorded.known:
        records = _last_of_directory(reader, state, unreadable, recorded, last_run())
    else:
        records = read_runs(reader, state, unreadable, now)
    for record in records_of(records, host, this_user()):
        seq = record["journal"]["seq"] if record.get("journal") else 0
        if seq > last_line:
            why = f"run {record['run']} of this host wrote its line {seq}, which is not there"
            raise _missing(settings.journal_file, why)


def _last_of_directory(
    reader: Reader,
    state: str,
    unreadable: UnreadableRecords,
    recorded: RecordedRun,
    last: LastRun | None,
) -> list[Record]:
    """The last run of the directory, if it is after the last run of the journal, which may be an old copy."""
    if last is None or (recorded.run and _second(last.run) <= _second(recorded.run)):
        return []
    entry = reader.read(Places(state).run(last.run), [DATA])
    record = unreadable.read(entry.dn, entry.first(DATA), read_run) if entry is not None else None
    return [record] if record is not None else []


def _missing(path: str, why: str) -> JournalMissing:
    return JournalMissing(
        f"{path}: the journal of this host is not whole: {why}.\n"
        f"No change is made. Restore it from a copy; if there is none: {BEGIN}"
    )
