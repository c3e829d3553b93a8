"""Whether a run meets the server and the directory that the last one left, before its first write.

A directory that was restored from a backup, or another server than the one that was written to, can lack runs
that were acknowledged. A server is known by its serverID and by the entryUUID of piactl's tree, never by its
address: hosts may name servers differently or in another order, and a load balancer has one address for two.
A journal that was removed lacks lines that the directory refers to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from piactl.core.model.settings import Settings
from piactl.core.plan.state_between_runs import LastRun, ServerIdentity, began_at
from piactl.directory.client.usable_server import shown_uri
from piactl.directory.dn import first_pair, normal_dn, under
from piactl.directory.interfaces import RawEntry, Reader
from piactl.directory.same_on_servers import CONTEXT_CSN, context_of, csns_in
from piactl.directory.store.account_entries import IN_ACCOUNTS, UUID
from piactl.directory.store.record_entries import (
    OF_TREE,
    Places,
    Record,
    Records,
    UnreadableRecords,
    read_by_name,
)
from piactl.directory.store.run_records import read_runs, records_of, run_in
from piactl.directory.store.state_records import last_in
from piactl.errors import DirectoryOlder, JournalMissing, JournalUnusable
from piactl.host.caller import this_user
from piactl.journal.end_of_journal import (
    RecordedRun,
    StampedWrite,
    last_number,
    last_recorded,
    lines_lost,
    stamped_writes,
)
from piactl.phrase import Phrase, joined
from piactl.runs.run_lock import MARGIN

_LATELY, _SAMPLE = 500, 5
"""The `_SAMPLE` entries that were written last are compared, of those in the last `_LATELY` lines of the
journal."""

BEGIN = "piactl journal begin --reason TEXT"


@dataclass(frozen=True, slots=True)
class JournalEnd:
    """`lost` says why the journal lacks lines, "" if it does not; `lately` are the last writes of accounts,
    by the DN in normal spelling. All that is nothing if the journal is not `readable`."""

    recorded: RecordedRun = field(default_factory=lambda: RecordedRun(known=False))
    last_line: int = 0
    lost: str = ""
    lately: Mapping[str, StampedWrite] = field(default_factory=dict)
    readable: bool = True


@dataclass(frozen=True, slots=True)
class Met:
    """The server that a run meets, before anything is written: what one search found there of piactl's
    records (those of the last run of this host and of piactl's state), the entries that this host wrote last,
    the default password policy and the contextCSN, by serverID (empty if the server keeps none); what the
    end of the journal of this host says.

    `compared`: it is the one that the last run wrote to, and has the last run of this host."""

    records: Records
    journal: JournalEnd = field(default_factory=JournalEnd)
    accounts: Mapping[str, RawEntry] = field(default_factory=dict)
    has_policy: bool = False
    csns: Mapping[str, str] = field(default_factory=dict)
    identity: ServerIdentity = field(default_factory=ServerIdentity)
    compared: bool = False


def meet(reader: Reader, settings: Settings) -> Met:
    """Reads the end of the journal and, in one search, the entries to compare it with."""
    directory, journal = settings.directory, _end_of_journal(settings)
    places, policy = Places(directory.state), settings.password.policy
    context = context_of(reader.facts(), directory.suffix)
    run = [places.run(journal.recorded.run)] if journal.recorded.run else []
    own = [directory.state, places.last_run, places.lock, places.keys, *run]
    names = [context, *own, *([policy] if policy else []), *(write.dn for write in journal.lately.values())]
    entries = {
        normal_dn(entry.dn): entry
        for entry in read_by_name(reader, context, names, [*OF_TREE, "entryCSN", CONTEXT_CSN])
    }
    return Met(
        Records(reader, directory.state, (entries[dn] for dn in map(normal_dn, own) if dn in entries)),
        journal,
        {dn: entries[dn] for dn in journal.lately if dn in entries},
        not policy or normal_dn(policy) in entries,
        csns_in(entries.get(normal_dn(context))),
    )


def _end_of_journal(settings: Settings) -> JournalEnd:
    path = settings.journal_file
    try:
        recorded, last_line, lost = last_recorded(path), last_number(path), lines_lost(path)
    except JournalUnusable:
        return JournalEnd(readable=False)
    accounts, name = settings.directory.accounts, settings.directory.attributes.get("uid", "uid")
    lately: dict[str, StampedWrite] = {}
    for write in stamped_writes(path, _LATELY):
        if first_pair(write.dn)[0] == name.lower() and under(write.dn, accounts):
            lately.setdefault(normal_dn(write.dn), write)
        if len(lately) == _SAMPLE:
            break
    return JournalEnd(recorded, last_line, lost, lately)


def compare_runs(
    met: Met,
    host: str,
    settings: Settings,
    unreadable: UnreadableRecords,
    now: datetime,
) -> bool:
    """Raises DirectoryOlder unless the directory has the last run of this host that left a record, and the
    entries that this host wrote last are not as they were before; JournalMissing if the journal lacks lines.

    False if the journal cannot be read, which is reported when it is opened for writing.
    """
    journal = met.journal
    if not journal.readable:
        return False
    if journal.lost:
        raise _missing(settings.journal_file, journal.lost)
    last = last_in(met.records, unreadable)
    _check_journal(met.records, host, settings, unreadable, now, journal, last)
    if journal.recorded.run:
        _check_directory(met.records, settings, now, journal.recorded, last)
    _check_accounts(met, settings.directory.accounts, journal.lately)
    return True


def server_of(records: Records, csn: str) -> ServerIdentity:
    """The server of these records, which made a write with this entryCSN; "" if that is unknown."""
    state = records.entry(records.state)
    return ServerIdentity.of(csn, state.text(UUID) if state is not None else "")


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
    records: Records, unreadable: UnreadableRecords, server: ServerIdentity, recorded: RecordedRun
) -> None:
    """Raises DirectoryOlder unless `server`, which has the records, is the one that the last run wrote to,
    according to `cn=state`, or without it to the record of `recorded`, the last run of this host."""
    last = last_in(records, unreadable)
    known, run = (last.server, last.run) if last is not None else (ServerIdentity(), "")
    if not str(known):
        record = run_in(records, recorded.run, unreadable) if recorded.run else None
        if record is not None:
            known, run = ServerIdentity.read(str(record.get("server", ""))), record["run"]
    why = server.other_than(known)
    if not why:
        return
    problem = Phrase(
        "{server} is not the server that run {run} wrote to: {why}.",
        server=shown_uri(records.reader.facts().uri),
        run=run,
        why=why,
    )
    way_on = Phrase("Nothing is written. What it lacks, and the way on: piactl recover")
    raise DirectoryOlder(joined([problem, way_on], "{first}\n{second}"))


def _check_directory(
    records: Records, settings: Settings, now: datetime, recorded: RecordedRun, last: LastRun | None
) -> None:
    ended = datetime.fromisoformat(recorded.ended)
    # a day less: the clocks of the hosts that delete old records may differ
    if now - ended > timedelta(days=settings.keep_runs_days - 1):
        return
    if records.entry(records.places.run(recorded.run)) is None:
        raise DirectoryOlder(_older(recorded.run, recorded.ended, Phrase("the directory does not have it")))
    if recorded.remembered and last is not None and is_before(last, recorded.run):
        why = Phrase("the last run of the directory is {run}", run=last.run)
        raise DirectoryOlder(_older(recorded.run, recorded.ended, why))


def _check_accounts(met: Met, accounts: str, lately: Mapping[str, StampedWrite]) -> None:
    for dn, write in lately.items():
        entry = met.accounts.get(dn)
        if entry is not None and is_older(entry, write):
            why = Phrase("{dn} is as it was before", dn=entry.dn)
            raise DirectoryOlder(_older(write.run, write.time, why))
    reader = met.records.reader
    if lately and not met.accounts and next(iter(reader.search(accounts, IN_ACCOUNTS, ["cn"])), None) is None:
        write = next(iter(lately.values()))
        why = Phrase("{dn} has no account", dn=accounts)
        raise DirectoryOlder(_older(write.run, write.time, why))


def is_older(entry: RawEntry, write: StampedWrite) -> bool:
    """Whether an entry, read with its entryCSN, is as before a write of it. Unknown is no."""
    csn = entry.text("entryCSN")
    return bool(csn) and csn < write.csn


def is_before(last: LastRun, run: str) -> bool:
    """Whether the last run of the directory began before `run`, by more than two clocks may differ. Unknown
    is no."""
    began, other = began_at(last.run), began_at(run)
    return began is not None and other is not None and began < other - MARGIN


def _older(run: str, when: str, why: str) -> str:
    problem = Phrase(
        "the directory is older than the journal of this host: run {run} wrote on {day}, and {why}.",
        run=run,
        day=when[:10],
        why=why,
    )
    way_on = Phrase("Nothing is written. What is lacking, and the way on: piactl recover")
    return joined([problem, way_on], "{first}\n{second}")


def _check_journal(
    records: Records,
    host: str,
    settings: Settings,
    unreadable: UnreadableRecords,
    now: datetime,
    journal: JournalEnd,
    last: LastRun | None,
) -> None:
    if journal.recorded.known:
        runs = _last_of_directory(records, unreadable, journal.recorded, last)
    else:
        runs = read_runs(records.reader, records.state, unreadable, now)
    for record in records_of(runs, host, this_user()):
        seq = record["journal"]["seq"] if record.get("journal") else 0
        if seq > journal.last_line:
            why = Phrase(
                "run {run} of this host wrote its line {number}, which is not there",
                run=record["run"],
                number=seq,
            )
            raise _missing(settings.journal_file, why)


def _last_of_directory(
    records: Records, unreadable: UnreadableRecords, recorded: RecordedRun, last: LastRun | None
) -> list[Record]:
    """The last run of the directory, if it is after the last run of the journal, which may be an old copy."""
    # the beginning of an id is the second in which the run began; the rest gives no order
    if last is None or (recorded.run and last.run.partition("-")[0] <= recorded.run.partition("-")[0]):
        return []
    record = run_in(records, last.run, unreadable)
    return [record] if record is not None else []


def _missing(path: str, why: str) -> JournalMissing:
    problem = Phrase("{path}: the journal of this host is not whole: {why}.", path=path, why=why)
    way_on = Phrase("No change is made. Restore it from a copy; if there is none: {command}", command=BEGIN)
    return JournalMissing(joined([problem, way_on], "{first}\n{second}"))
