"""What the end of a journal says of its runs, found without reading the whole journal: the last run that left
a record in the directory, the last writes with their entryCSN, and how far the lines reach.

The `end` line of a recorded run says `recorded`. A `run` line carries `last`: the last recorded run among the
lines up to a number. So reading back from the end may stop at that number. The cost depends on what was
written since the last run began, not on the size of the journal.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from piactl.errors import JournalUnusable
from piactl.journal.append_file import stored_head
from piactl.journal.files import SUFFIX, files_of, newest_lines, unread
from piactl.journal.intent_format import settlement_of
from piactl.journal.unusable import unreadable
from piactl.phrase import Phrase


@dataclass(frozen=True, slots=True)
class RecordedRun:
    """A run that left a record in the directory, "" if there is none. `ended` is UTC, ISO 8601. `remembered`:
    it was then the last run of `cn=state`. `known` is false if no line says whether there is one: in a new
    journal, and before a line that cannot be read."""

    run: str = ""
    ended: str = ""
    remembered: bool = False
    known: bool = True

    def facts(self, upto: int) -> dict[str, object]:
        """The fields of a `run` line about it, for the lines up to number `upto`."""
        last = {"run": self.run, "ended": self.ended, "remembered": self.remembered}
        return {"last": last if self.run else None, "upto": upto}


def has_run(path: str, run: str) -> bool:
    """Whether the journal has lines of a run; False if it cannot be read back to them."""
    try:
        return any(line.run == run for line in newest_lines(path))
    except JournalUnusable:
        return False


def last_recorded(path: str) -> RecordedRun:
    """The last recorded run of a journal, read back from its end as far as needed, or as far as it can be
    read. Raises JournalUnusable if a line lacks what belongs to its type."""
    candidate = RecordedRun(known=False)
    upto = reached = 0
    try:
        for line in newest_lines(path):
            reached, fields = line.seq, line.fields
            if candidate.known and reached <= upto:
                break
            if line.type == "end" and fields.get("recorded") is True:
                return RecordedRun(line.run, line.time, fields.get("remembered") is True)
            if line.type == "run" and "last" in fields and not candidate.known:
                last, upto = fields["last"], int(fields["upto"])
                candidate = RecordedRun(**(last or {}))
    except JournalUnusable:
        pass  # a run that begins reads what it needs of the chain itself, and says what is wrong with it
    except (KeyError, TypeError, ValueError):
        raise unreadable(
            path, 0, Phrase("number {reached} lacks what belongs to its type", reached=reached)
        ) from None
    return candidate


@dataclass(frozen=True, slots=True)
class StampedWrite:
    """A write of an entry in a run whose `end` line says `acknowledged`, and the entryCSN that it left.
    `time` is UTC, ISO 8601."""

    run: str
    time: str
    dn: str
    csn: str


def stamped_writes(path: str, lines: int | None = None) -> Iterator[StampedWrite]:
    """Yields all such writes, newest first, since a loss was accepted or the journal was begun; only those
    among the last `lines` lines, None for all lines that can be read."""
    acknowledged: set[str] = set()
    stamps: dict[int, str] = {}
    try:
        for line in islice(newest_lines(path), lines):
            fields = line.fields
            if line.type in ("accepted", "begun") and line.run in acknowledged:
                return
            if line.type == "end" and fields.get("acknowledged") is True:
                acknowledged.add(line.run)
            elif (settled := settlement_of(line)) is not None and line.run in acknowledged and settled.csn:
                stamps[settled.intent] = settled.csn
            elif line.seq in stamps:
                yield StampedWrite(line.run, line.time, str(fields.get("dn", "")), stamps.pop(line.seq))
    except JournalUnusable:
        return


def last_number(path: str) -> int:
    """The number of the last line that exists, 0 for none. Raises JournalUnusable."""
    last = next(newest_lines(path), None)
    return last.seq if last is not None else 0


def lines_lost(path: str) -> str:
    """Why the journal lacks lines, as far as its own files show it, "" if they do not. Raises
    JournalUnusable."""
    rotated, written = rotated_without_journal(path), stored_head(path).seq
    if rotated:
        return Phrase("only {names} and no .head file are left of it", names=", ".join(rotated))
    # if the file has lines, the chain shows what is missing
    if (not Path(path).exists() or not Path(path).stat().st_size) and (last := last_number(path)) < written:
        words = Phrase(
            "line {written} was written, and lines after {last} are not there", written=written, last=last
        )
        return "; ".join(filter(None, (words, unread(path))))
    return ""


def rotated_without_journal(path: str) -> tuple[str, ...]:
    """The rotated files, if neither the journal nor its head file exists beside them; else none."""
    has_journal = Path(path).exists() or Path(path + SUFFIX).exists()
    return () if has_journal else files_of(path)
