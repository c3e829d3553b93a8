"""Queries the journal: lines, and changes (intent with outcome), by run, entry, user or period."""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from heapq import merge
from operator import attrgetter
from typing import Any

from piactl.core.journal_line import BrokenLine, JournalLine, ended, parsed
from piactl.journal.append_file import alive_runs
from piactl.journal.files import chains_of, files_from, files_of, lines_of, raw_lines
from piactl.journal.intent_format import settlement_of
from piactl.journal.origin_of_run import author_of
from piactl.journal.unusable import unreadable
from piactl.phrase import with_phrases


@dataclass(frozen=True, slots=True)
class LineFilter:
    """A filter of changes; every given field must match. `user` is the user, the sudo user or the login of
    the run; `since` and `until` are aware instants, both included."""

    run: str | None = None
    uid: str | None = None
    user: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    kind: str = ""


def read_lines(path: str, uid: str | None = None) -> Iterator[JournalLine]:
    """Yields the lines of each chain in turn, the closed ones first, oldest first, from the rotated files
    too; none without a journal. With `uid`, only the intents of that account with their outcomes, and the
    readings that name it. Raises JournalUnusable."""
    for chain in chains_of(path):
        numbers: set[int] = set()
        for line in (line for name in files_of(chain) for line in lines_of(name)):
            named = {"intent": "uid", "read": "first"}.get(line.type)
            if named is not None and line.fields.get(named) == uid:
                numbers.add(line.seq)
            if uid is None or {line.seq, line.fields.get("intent")} & numbers:
                yield line


def first_line(path: str) -> JournalLine | None:
    """The first line of the chain that is left, None if there is none. Raises JournalUnusable."""
    return next((line for name in files_of(path) for line in lines_of(name)), None)


def raw_period(path: str, since: datetime | None, until: datetime | None) -> Iterator[bytes]:
    """Yields the lines of a period (both instants included) as they are in the files, each chain in turn.
    Raises JournalUnusable for a line that cannot be read."""
    first, last = _period(since, until)
    for name in (name for chain in chains_of(path) for name in files_of(chain)):
        number = 0
        try:
            for raw in raw_lines(name):
                number += 1
                if first <= parsed(ended(raw)).time <= last:
                    yield raw
        except BrokenLine as broken:
            raise unreadable(name, number, str(broken)) from None


def _period(since: datetime | None, until: datetime | None) -> tuple[str, str]:
    return text_of(since) if since else "", text_of(until) if until else "~"


def text_of(instant: datetime) -> str:
    """An aware instant in the format of the journal, in which text order is time order."""
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


IN_DOUBT = "in doubt"
UNDER_WAY = "under way"

_OF_RUN = ("user", "sudo_user", "login", "origin", "host")
_INTENT_OF = re.compile(rb'"intent":(\d+)')
_TIME = re.compile(rb'"time":"([^"]*)","type":"')
_CSN = re.compile(rb'"csn":"([^"\\\\]+)"')


@dataclass(frozen=True, slots=True)
class JournalledChange:
    """One intent and its outcome. `seq` is the number of the intent's line, `time` and `settled` are UTC, ISO
    8601 ("" without an outcome). `user`, `sudo_user`, `login`, `origin` and `host` are those of the run.
    `attributes` are names. `outcome` is a word of OUTCOMES, IN_DOUBT if the run died before it was known,
    UNDER_WAY if the run is still alive. `csn` is the entryCSN that the write left, "" if it is not known."""

    seq: int
    time: str
    run: str
    user: str
    sudo_user: str
    login: str
    origin: str
    host: str
    command: tuple[str, ...]
    uid: str
    dn: str
    op: str
    kinds: tuple[str, ...]
    attributes: tuple[str, ...]
    reason: str
    settled: str = ""
    outcome: str = ""
    message: str = ""
    csn: str = ""

    @property
    def author(self) -> str:
        """The person who made it, as far as known."""
        return author_of(self.user, self.sudo_user, self.login)


def changes(path: str, wanted: LineFilter | None = None) -> Iterator[JournalledChange]:
    """Yields the wanted changes in the order of their intents, from the rotated files and the closed chains
    too.

    The period applies to the intents; files with earlier lines alone are not read. A change without an
    outcome is yielded in its place, once the whole journal is read. Raises JournalUnusable.
    """
    found = (_changes_of(chain, wanted or LineFilter()) for chain in chains_of(path))
    yield from merge(*found, key=attrgetter("time"))


def csns_since(path: str, since: datetime) -> set[str]:
    """The entryCSN of the writes whose outcomes were journalled from `since` on. Parses nothing: a line is
    looked at for its time and its entryCSN alone. Raises JournalUnusable."""
    first = text_of(since)
    csns: set[bytes] = set()
    for name in (name for chain in chains_of(path) for name in files_from(chain, time=first)):
        try:
            for raw in raw_lines(name):
                csn = _CSN.search(raw)
                if csn is not None and (time := _TIME.search(raw)) and time[1] >= first.encode("ascii"):
                    csns.add(csn[1])
        except BrokenLine as broken:
            raise unreadable(name, 0, str(broken)) from None
    return {csn.decode("ascii", "replace") for csn in csns}


def _changes_of(path: str, wanted: LineFilter) -> Iterator[JournalledChange]:
    """The wanted changes of one chain. Most lines need no parsing if one account or a period is wanted."""
    since, until = _period(wanted.since, wanted.until)
    named = (("uid", wanted.uid), ("run", wanted.run))
    needed = [_as_written(name, text) for name, text in named if text is not None]
    runs: dict[str, Mapping[str, Any]] = {}
    waiting: OrderedDict[int, JournalledChange] = OrderedDict()

    def skips(raw: bytes) -> bool:
        if match := _INTENT_OF.search(raw):
            return int(match[1]) not in waiting
        if b'"type":"intent"' not in raw:
            return False
        time = _TIME.search(raw) if since else None
        early = time is not None and time[1].decode("ascii", "replace") < since
        return early or not all(text in raw for text in needed)

    for line in (line for name in files_from(path, time=since) for line in lines_of(name, skips)):
        fields = line.fields
        if line.type == "run":
            runs[line.run] = fields
        elif line.type == "end":
            runs.pop(line.run, None)
        elif line.type == "intent":
            intended = _change(line, runs.get(line.run, {}))
            if since <= line.time <= until and _fits(intended, wanted):
                waiting[line.seq] = intended
        elif (settlement := settlement_of(line)) is not None and settlement.intent in waiting:
            outcome, message, csn = settlement.outcome, settlement.message, settlement.csn
            change = waiting[settlement.intent]
            change = replace(change, settled=line.time, outcome=outcome, message=message, csn=csn)
            waiting[change.seq] = change
            while waiting and next(iter(waiting.values())).outcome:
                yield waiting.popitem(last=False)[1]
    alive: set[str] = set()
    with suppress(OSError):  # a reader that may not open the head file
        alive = alive_runs(path, {change.run for change in waiting.values() if not change.outcome})
    for change in waiting.values():
        unknown = UNDER_WAY if change.run in alive else IN_DOUBT
        yield change if change.outcome else replace(change, outcome=unknown)


def _fits(change: JournalledChange, wanted: LineFilter) -> bool:
    return (
        wanted.uid in (None, change.uid)
        and wanted.run in (None, change.run)
        and wanted.user in (None, change.user, change.sudo_user, change.login)
        and (not wanted.kind or wanted.kind in change.kinds)
    )


def _change(line: JournalLine, run: Mapping[str, Any]) -> JournalledChange:
    facts: dict[str, Any] = {name: str(run.get(name, "")) for name in _OF_RUN}
    fields = with_phrases(line.fields)
    facts |= {name: str(fields.get(name, "")) for name in ("uid", "dn", "op", "reason")}
    facts |= {name: tuple(map(str, line.fields.get(name, ()))) for name in ("kinds", "attributes")}
    command = tuple(map(str, run.get("command", ())))
    return JournalledChange(line.seq, line.time, line.run, command=command, **facts)


def _as_written(name: str, text: str) -> bytes:
    return json.dumps({name: text}, separators=(",", ":"))[1:-1].encode("ascii")
