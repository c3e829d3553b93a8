"""Events: changes of accounts, for other programs, read from the outcomes in the journal.

Each event has an id that no other event of any journal ever has: the number of the line of its outcome, its
place among the events of that line, and the beginning of the hash of the line, which covers run, host and
time. A program that keeps the id of the last event can continue after it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from piactl.core.journal_line import CUT, JournalLine
from piactl.errors import NotFound, UsageError
from piactl.journal.append_file import stored_head
from piactl.journal.files import files_from, lines_of, newest_lines
from piactl.journal.intent_format import settlement_of
from piactl.phrase import Phrase

_ID = re.compile(r"([0-9]{1,18})\.([0-9]{1,3})-([0-9a-f]{16})")
_SEQ = re.compile(rb'"seq":(\d+),"time":')
_MADE = ("applied", "unchanged")


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in the events of one journal: after event `place` of line `seq`. The hash of that line begins
    with `hash`."""

    seq: int
    place: int
    hash: str

    def __str__(self) -> str:
        return f"{self.seq}.{self.place}-{self.hash}"


def read_cursor(text: str) -> Cursor:
    """The cursor in the text of an event id. Raises UsageError."""
    match = _ID.fullmatch(text.strip())
    if match is None:
        raise UsageError(
            Phrase("--since {id}: is not the id of an event; give the last one that was dealt with", id=text)
        )
    return Cursor(int(match[1]), int(match[2]), match[3])


@dataclass(frozen=True, slots=True)
class Event:
    """One kind of change of one account. `at` is when its outcome was recorded, UTC, ISO 8601. `facts` are
    the facts of its write (see `piactl.directory.store.attribute_map`)."""

    cursor: Cursor
    run: str
    at: str
    uid: str
    kind: str
    facts: dict[str, Any]

    def record(self) -> dict[str, Any]:
        """The event as schemas/json/events.schema.json describes it."""
        facts = self.facts
        return {
            "id": str(self.cursor),
            "run": self.run,
            "at": self.at,
            "uid": self.uid,
            "kind": self.kind,
            "state": facts.get("state"),
            "services": {"added": facts.get("added", []), "removed": facts.get("removed", [])},
            "address": {"old": facts.get("old"), "new": facts.get("new")},
            "effective": facts["effective"][self.kind],
        }


_WHOLE_LINE = 999
"""The place of a cursor that is after all events of its line."""


def head_cursor(path: str) -> Cursor | None:
    """The end of the journal as it is now; None if it has no line. Raises JournalUnusable."""
    line = next(newest_lines(path), None)
    return _after(line) if line is not None else None


def _after(line: JournalLine) -> Cursor:
    return Cursor(line.seq, _WHOLE_LINE, line.hash[:16])


class EventStream:
    """The events of the journal at `path` after the cursor `since`; if it is None, all that are left."""

    def __init__(self, path: str, since: Cursor | None) -> None:
        self._path = path
        self.reached = since
        """The cursor after everything that was yielded; if nothing was read, the one that was given."""
        self._seen: tuple[int, ...] = ()

    def new(self) -> Iterator[Event]:
        """Yields the events since the last call, in the order of their outcomes.

        Only lines that are on the disk count: a crash cannot take back what was yielded. Raises NotFound if
        the lines after the cursor are no longer there, or never were; JournalUnusable.
        """
        try:
            status = Path(self._path).stat()
        except OSError:
            seen: tuple[int, ...] = ()
        else:
            seen = status.st_ino, status.st_size, status.st_mtime_ns
        if self.reached is not None and seen and seen == self._seen:
            return
        self._seen = seen
        since, written = self.reached, stored_head(self._path).seq
        intents: dict[int, JournalLine] = {}
        for line in self._lines(since):
            if written and line.seq > written:
                self._seen = ()
                return
            if since is None or line.seq >= since.seq:
                self.reached = _after(line)
            for event in _events(line, intents):
                if since is None or (event.cursor.seq, event.cursor.place) > (since.seq, since.place):
                    yield event

    def _lines(self, since: Cursor | None) -> Iterator[JournalLine]:
        start = self._start(since) if since is not None else 0
        for name in files_from(self._path, seq=start):
            for line in lines_of(name, lambda raw: _number(raw) < start):
                if line.type != CUT:
                    yield line

    def _start(self, since: Cursor) -> int:
        """The number of the first line that is needed. An outcome after the cursor may have its intent before
        it, but not before the first intent that was open at the last `run` or `end` line. Raises NotFound if
        the line of the cursor is not there."""
        met = False
        for line in newest_lines(self._path):
            if line.type == CUT:  # the beginning was removed by version 0.2.0
                break
            if not met and line.seq <= since.seq:
                if line.seq != since.seq or not line.hash.startswith(since.hash):
                    raise self._lost(
                        since.seq,
                        Phrase("are of another journal: of another host, or of before this one was begun"),
                    )
                met = True
            if met and line.type in ("run", "end"):
                return min(int(line.fields.get("clean", 0)), since.seq)
        if not met:
            raise self._lost(since.seq, Phrase("are not there any more: the files with them were removed"))
        return 0

    def _lost(self, seq: int, why: str) -> NotFound:
        return NotFound(
            Phrase(
                "{path}: the lines after event line {line} {why}.\n"
                "Take the accounts as they are (piactl account list), then the events that are left: without "
                "--since",
                path=self._path,
                line=seq,
                why=why,
            )
        )


def _events(line: JournalLine, intents: dict[int, JournalLine]) -> Iterator[Event]:
    """The events of an outcome; keeps the `intents` that have none yet."""
    if line.type == "intent" and line.fields.get("facts"):
        intents[line.seq] = line
    settlement = settlement_of(line)
    intent = intents.pop(settlement.intent, None) if settlement is not None else None
    if settlement is None or intent is None or not was_made(line.type, settlement.outcome):
        return
    for place, kind in enumerate(intent.fields["facts"]["effective"], 1):
        cursor = Cursor(line.seq, place, line.hash[:16])
        yield Event(cursor, intent.run, line.time, str(intent.fields["uid"]), kind, intent.fields["facts"])


def was_made(kind: str, outcome: str) -> bool:
    """Whether the write was made. A write that was read back after a crash, from an entry that others have
    changed since, may have been made, and counts: a superfluous event is better than a missing one."""
    return outcome in _MADE or (kind == "resolved" and outcome == "conflict")


def _number(raw: bytes) -> int:
    match = _SEQ.search(raw)
    return int(match[1]) if match else 0
