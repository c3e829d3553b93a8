"""The heads of the journal outside it: on the records of runs, and in syslog.

A head proves every line up to it. A program that rewrites the journal cannot take a head back that is in
syslog of another host, and changes the records of runs only with the run lock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from piactl.core.journal_line import Anchor, Head, journal_owner
from piactl.core.model.settings import Settings
from piactl.directory.interfaces import Reader
from piactl.directory.store.record_entries import UnreadableRecords, instant_of
from piactl.directory.store.run_records import read_runs, records_of
from piactl.journal import Verification
from piactl.journal.append_file import alive_runs
from piactl.journal.query import text_of


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
