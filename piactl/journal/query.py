"""Queries the journal: lines, and changes (intent with outcome), by run, entry, user or period."""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from heapq import merge
from itertools import takewhile
from typing import Any

from piactl.core.journal_line import (
    NAMES,
    BrokenLine,
    JournalLine,
    current_outcome,
    ended,
    parsed,
    with_names,
)
from piactl.journal.actor import author_of
from piactl.journal.chains import chains_of
from piactl.journal.errors import unreadable
from piactl.journal.head_file import alive_runs
from piactl.journal.rotated_files import files_of, newest_lines, raw_lines, raw_newest_first


@dataclass(frozen=True, slots=True)
class LineFilter:
    """A filter of changes; every given field must match. `user` is the user, the sudo user or the login of
    the run; `since` and `until` are aware instants, both included."""

    run: str | None = None
    uid: str | None = None
    user: str | None = None
    since: datetime | None = None
    until: datetime | None = None


def read_lines(path: str, uid: str | None = None) -> Iterator[JournalLine]:
    """Yields the lines of each chain in turn, the closed ones first, oldest first, from the rotated files
    too; none without a journal. With `uid`, only the intents of that account with their outcomes, and the
    readings that name it.

    Hashes are not proved (`verify` does that); a last line that is still being written is left out. Raises
    JournalUnusable for a line that cannot be read.
    """
    for chain in chains_of(path):
        numbers: set[int] = set()
        for line in (line for name in files_of(chain) for line in lines_of(name)):
            named = {"intent": "uid", "read": "first"}.get(line.type)
            if named is not None and line.fields.get(named) == uid:
                numbers.add(line.seq)
            if uid is None or {line.seq, line.fields.get("intent")} & numbers:
                yield line


def raw_period(path: str, since: datetime | None, until: datetime | None) -> Iterator[bytes]:
    """Yields the lines of a period (both instants included) as they are in the files, each chain in turn.
    Raises JournalUnusable for a line that cannot be read."""
    first, last = text_of(since) if since else "", text_of(until) if until else "~"
    for name in (name for chain in chains_of(path) for name in files_of(chain)):
        number = 0
        try:
            for raw, _more in raw_lines(name):
                number += 1
                if first <= parsed(ended(raw)).time <= last:
                    yield raw
        except BrokenLine as broken:
            raise unreadable(name, number, str(broken)) from None


def lines_of(name: str, skips: Callable[[bytes], bool] | None = None) -> Iterator[JournalLine]:
    """Yields the lines of one file, except those that `skips` selects; intents have their names
    (`with_names`). Raises JournalUnusable."""
    number, names = 0, None
    try:
        for raw, more_follows in raw_lines(name):
            number += 1
            if more_follows and skips is not None and skips(raw):
                continue
            try:
                line = with_names(parsed(ended(raw)), names)
            except BrokenLine as broken:
                if broken.torn and not more_follows:
                    return
                raise
            names = line if line.type == NAMES else names
            yield line
    except BrokenLine as broken:
        raise unreadable(name, number, str(broken)) from None


def _period(wanted: LineFilter) -> tuple[str, str]:
    """The first and the last time of the wanted lines, in the format of the journal."""
    return text_of(wanted.since) if wanted.since else "", text_of(wanted.until) if wanted.until else "~"


def text_of(instant: datetime) -> str:
    """An aware instant in the format of the journal, in which text order is time order."""
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


IN_DOUBT = "in doubt"
UNDER_WAY = "under way"

_INTENT_OF = re.compile(rb'"intent":(\d+)')
_NOTHING: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class JournalledChange:
    """One intent and its outcome. `seq` is the number of the intent's line, `time` and `settled` are UTC, ISO
    8601 ("" without an outcome). `user`, `sudo_user` and `login` are those of the run. `attributes`
    are names. `outcome` is a word of OUTCOMES, IN_DOUBT if the run died before it was known, UNDER_WAY if the
    run is still alive."""

    seq: int
    time: str
    settled: str
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
    outcome: str
    message: str
    csn: str = ""
    """The entryCSN that the write left, "" if it is not known."""

    @property
    def author(self) -> str:
        """The person who made it, as far as known."""
        return author_of(self.user, self.sudo_user, self.login)


def changes(path: str, wanted: LineFilter | None = None, kind: str = "") -> Iterator[JournalledChange]:
    """Yields the wanted changes in the order of their intents, from the rotated files and the closed chains
    too.

    The period applies to the intents. A change without an outcome is yielded in its place, once the whole
    journal is read. Hashes are not proved. Raises JournalUnusable.
    """
    found = (_changes_of(chain, wanted or LineFilter(), kind) for chain in chains_of(path))
    yield from merge(*found, key=_moment)


def _moment(change: JournalledChange) -> str:
    return change.time


def _changes_of(path: str, wanted: LineFilter, kind: str) -> Iterator[JournalledChange]:
    reading = _Reading(wanted, kind)
    for name in files_of(path):
        for line in lines_of(name, reading.skips):
            yield from reading.take(line)
    yield from reading.rest(path)


def first_line(path: str) -> JournalLine | None:
    """The first line that is left, None if there is none. Raises JournalUnusable."""
    return next((line for name in files_of(path) for line in lines_of(name)), None)


def changes_since(path: str, since: datetime) -> Iterator[JournalledChange]:
    """Yields the changes whose intents were written from `since` on, like `changes`; reads back from the end.
    Raises JournalUnusable."""
    found = (_changes_of_chain_since(chain, text_of(since)) for chain in chains_of(path))
    yield from merge(*found, key=_moment)


def _changes_of_chain_since(path: str, first: str) -> Iterator[JournalledChange]:
    reading = _Reading(LineFilter(), "")
    lines = list(takewhile(lambda line: line.time >= first, newest_lines(path)))
    for line in reversed(lines):
        yield from reading.take(line)
    yield from reading.rest(path)


_TIME = re.compile(rb'"time":"([^"]+)","type":"')
_CSN = re.compile(rb'"csn":"([^"\\\\]+)"')


def csns_since(path: str, since: datetime) -> set[str]:
    """The entryCSN of the writes whose outcomes were journalled from `since` on. Reads back from the end, and
    parses nothing: a line is looked at for its time and its entryCSN alone. Raises JournalUnusable."""
    first = text_of(since).encode("ascii")
    csns: set[bytes] = set()
    for name in (name for chain in chains_of(path) for name in reversed(files_of(chain))):
        try:
            for raw in raw_newest_first(name):
                time = _TIME.search(raw)
                if time is not None and time[1] < first:
                    break
                if csn := _CSN.search(raw):
                    csns.add(csn[1])
        except BrokenLine as broken:
            raise unreadable(name, 0, str(broken)) from None
    return {csn.decode("ascii", "replace") for csn in csns}


class _Reading:
    """Intents in order: those without an outcome yet, and later ones that are settled."""

    def __init__(self, wanted: LineFilter, kind: str) -> None:
        self._wanted = wanted
        self._kind = kind
        self._since, self._until = _period(wanted)
        named = (("uid", wanted.uid), ("run", wanted.run))
        self._needed = [_as_written(name, text) for name, text in named if text is not None]
        self._runs: dict[str, Mapping[str, Any]] = {}
        self._waiting: OrderedDict[int, JournalledChange] = OrderedDict()

    def skips(self, raw: bytes) -> bool:
        """Whether a line needs no parsing; most need none if one account is wanted."""
        match = _INTENT_OF.search(raw)
        if match is not None:
            return int(match[1]) not in self._waiting
        return b'"type":"intent"' in raw and not all(text in raw for text in self._needed)

    def take(self, line: JournalLine) -> Iterator[JournalledChange]:
        if line.type == "run":
            self._runs[line.run] = line.fields
        elif line.type == "end":
            self._runs.pop(line.run, None)
        elif line.type == "intent":
            change = _change(line, self._runs.get(line.run, _NOTHING))
            if self._fits(change):
                self._waiting[line.seq] = change
        elif line.type in ("outcome", "resolved"):
            self._settle(line)
            while self._waiting and (first := next(iter(self._waiting.values()))).outcome:
                yield self._waiting.pop(first.seq)

    def _settle(self, line: JournalLine) -> None:
        number = line.fields.get("intent")
        change = self._waiting.get(number) if isinstance(number, int) else None
        if change is not None:
            outcome = current_outcome(str(line.fields.get("outcome")))
            message = str(line.fields.get("message", ""))
            csn = str(line.fields.get("csn", ""))
            self._waiting[change.seq] = replace(
                change, settled=line.time, outcome=outcome, message=message, csn=csn
            )

    def _fits(self, change: JournalledChange) -> bool:
        wanted = self._wanted
        return (
            wanted.uid in (None, change.uid)
            and wanted.run in (None, change.run)
            and wanted.user in (None, change.user, change.sudo_user, change.login)
            and (not self._kind or self._kind in change.kinds)
            and self._since <= change.time <= self._until
        )

    def rest(self, path: str) -> Iterator[JournalledChange]:
        """The changes left once the journal at `path` is read; those without an outcome are IN_DOUBT or
        UNDER_WAY."""
        alive: set[str] = set()
        with suppress(OSError):  # a reader that may not open the head file
            alive = alive_runs(path, {change.run for change in self._waiting.values() if not change.outcome})
        for change in self._waiting.values():
            if change.outcome:
                yield change
            else:
                yield replace(change, outcome=UNDER_WAY if change.run in alive else IN_DOUBT)


def _change(line: JournalLine, run: Mapping[str, Any]) -> JournalledChange:
    f = line.fields
    return JournalledChange(
        seq=line.seq,
        time=line.time,
        settled="",
        run=line.run,
        user=str(run.get("user", "")),
        sudo_user=str(run.get("sudo_user", "")),
        login=str(run.get("login", "")),
        origin=str(run.get("origin", "")),
        host=str(run.get("host", "")),
        command=tuple(map(str, run.get("command", ()))),
        uid=str(f.get("uid", "")),
        dn=str(f.get("dn", "")),
        op=str(f.get("op", "")),
        kinds=tuple(map(str, f.get("kinds", ()))),
        attributes=tuple(map(str, f.get("attributes", ()))),
        reason=str(f.get("reason", "")),
        outcome="",
        message="",
    )


def _as_written(name: str, text: str) -> bytes:
    """A field as a journal line writes it."""
    return json.dumps({name: text}, separators=(",", ":"))[1:-1].encode("ascii")
