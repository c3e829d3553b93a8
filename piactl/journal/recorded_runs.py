"""The last run of a journal that left a record in the directory, found without reading the whole journal.

The `end` line of such a run says `recorded`. A `run` line carries `last`: the last recorded run among the
lines up to a number. So reading back from the end may stop at that number. The cost depends on what was
written since the last run began, not on the size of the journal.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from piactl.errors import JournalUnusable
from piactl.journal.errors import unreadable
from piactl.journal.head_file import SUFFIX, stored_head
from piactl.journal.rotated_files import files_of, newest_lines


@dataclass(frozen=True, slots=True)
class RecordedRun:
    """A run that left a record in the directory. `ended` is UTC, ISO 8601. `remembered`: it was then the last
    run of `cn=state`."""

    run: str
    ended: str
    remembered: bool


def has_run(path: str, run: str) -> bool:
    """Whether the journal has lines of a run; False if it cannot be read back to them."""
    try:
        return any(line.run == run for line in newest_lines(path))
    except JournalUnusable:
        return False


@dataclass(frozen=True, slots=True)
class LastRecorded:
    """The last recorded run, None if there is none. `known` is false if no line says so: in a new
    journal, in one that only earlier versions wrote, and before a line that cannot be read."""

    run: RecordedRun | None
    known: bool

    def facts(self, upto: int) -> dict[str, object]:
        """The fields of a `run` line about it, for the lines up to number `upto`."""
        run = self.run
        return {"last": asdict(run) if run is not None else None, "upto": upto}


def last_recorded(path: str) -> LastRecorded:
    """The last recorded run of a journal, read back from its end as far as needed, or as far as it can be
    read. Raises JournalUnusable if a line lacks what belongs to its type."""
    candidate: LastRecorded | None = None
    upto = reached = 0
    try:
        for line in newest_lines(path):
            reached = line.seq
            if candidate is not None and line.seq <= upto:
                return candidate
            if line.type == "end" and line.fields.get("recorded") is True:
                remembered = line.fields.get("remembered") is True
                return LastRecorded(RecordedRun(line.run, line.time, remembered), known=True)
            if candidate is None and line.type == "run" and "last" in line.fields:
                candidate = LastRecorded(_recorded(line.fields["last"]), known=True)
                upto = int(line.fields["upto"])
    except JournalUnusable:
        pass  # a run that begins reads what it needs of the chain itself, and says what is wrong with it
    except (KeyError, TypeError, ValueError):
        raise unreadable(path, 0, f"number {reached} lacks what belongs to its type") from None
    return candidate or LastRecorded(None, known=False)


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
    ended: set[str] = set()
    stamps: dict[int, str] = {}
    try:
        for line in islice(newest_lines(path), lines):
            fields = line.fields
            if line.type in ("accepted", "begun") and line.run in ended:
                return
            if line.type == "end" and fields.get("acknowledged") is True:
                ended.add(line.run)
            elif line.type == "outcome" and fields.get("csn") and line.run in ended:
                stamps[fields.get("intent", 0)] = str(fields["csn"])
            elif line.seq in stamps:
                yield StampedWrite(line.run, line.time, str(fields.get("dn", "")), stamps.pop(line.seq))
    except JournalUnusable:
        return


def _recorded(facts: Mapping[str, Any] | None) -> RecordedRun | None:
    if facts is None:
        return None
    return RecordedRun(str(facts["run"]), str(facts["ended"]), facts["remembered"] is True)


@dataclass(frozen=True, slots=True)
class Extent:
    """The number of the last line that exists, 0 for none. `written` is the number of the last line ever
    written, according to the head file, 0 without that file. `empty`: the file that is appended to does not
    exist, or holds nothing yet."""

    last: int
    written: int
    empty: bool


def extent(path: str) -> Extent:
    """The lines of the journal that exist. Raises JournalUnusable."""
    written = stored_head(path).seq  # read first: a line that is appended meanwhile must not count as missing
    last = next(newest_lines(path), None)
    empty = not Path(path).exists() or not Path(path).stat().st_size
    return Extent(last.seq if last is not None else 0, written, empty)


def rotated_without_journal(path: str) -> tuple[str, ...]:
    """The rotated files, if neither the journal nor its head file exists beside them; else none."""
    has_journal = Path(path).exists() or Path(path + SUFFIX).exists()
    return () if has_journal else files_of(path)
