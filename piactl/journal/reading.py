"""Reading the journal for people: lines in order, by run, entry, user and period."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from piactl.core.journalline import BrokenLine, JournalLine, ended, parsed
from piactl.journal.files import files_of, raw_lines
from piactl.journal.unusable import unreadable


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which lines are wanted: all that is given must fit. `user` is the user, the sudo user or the login of
    the run; `since` and `until` are aware instants, both included. For `uid` the outcomes come along."""

    run: str | None = None
    uid: str | None = None
    user: str | None = None
    since: datetime | None = None
    until: datetime | None = None


def read_lines(path: str, wanted: Wanted | None = None) -> Iterator[JournalLine]:
    """The wanted lines, oldest first, rotated files included, read as they are asked for.

    Hashes are not proved (`verify` does that); a tail that is just being written is left out. No journal is
    no lines. Raises JournalUnusable at a line that cannot be read.
    """
    wanted = wanted or Wanted()
    since, until = _text(wanted.since), _text(wanted.until)
    runs: set[str] = set()
    intents: set[int] = set()
    for name in files_of(path):
        for line in lines_of(name):
            if line.type == "run" and wanted.user in _users(line):
                runs.add(line.run)
            if line.type == "intent" and line.fields.get("uid") == wanted.uid:
                intents.add(line.seq)
            if wanted.run is not None and line.run != wanted.run:
                continue
            if wanted.user is not None and line.run not in runs:
                continue
            if wanted.uid is not None and not {line.seq, line.fields.get("intent")} & intents:
                continue
            if (since is None or line.time >= since) and (until is None or line.time <= until):
                yield line


def lines_of(name: str, skips: Callable[[bytes], bool] | None = None) -> Iterator[JournalLine]:
    """The lines of one file, but for those that `skips` says need no parsing. Raises JournalUnusable."""
    number = 0
    try:
        for raw, more in raw_lines(name):
            number += 1
            if more and skips is not None and skips(raw):
                continue
            try:
                line = parsed(ended(raw))
            except BrokenLine as broken:
                if broken.torn and not more:
                    return
                raise
            yield line
    except BrokenLine as broken:
        raise unreadable(name, number, str(broken)) from None


def _users(line: JournalLine) -> tuple[object, ...]:
    return tuple(line.fields.get(name) for name in ("user", "sudo_user", "login"))


def _text(instant: datetime | None) -> str | None:
    return None if instant is None else text_of(instant)


def text_of(instant: datetime) -> str:
    """An aware instant in the form of the lines, where order of text is order of time."""
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
