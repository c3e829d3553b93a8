"""Verifies the journal: no line was edited, removed, added or moved.

Three things detect tampering:

- The file alone shows every edit, removal, insertion or move of lines, unless all later hashes were rebuilt.
- The .head file beside it shows that the end was cut off, unless that file was changed too.
- A head that is stored elsewhere, on the record of a run or in syslog, shows every change up to its line,
  even with rebuilt hashes. Lines after the last such head have only the first two protections.

Removing the oldest files is retention, not tampering: `first` is the number of the first line left, and the
heads of earlier lines are not compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Self

from piactl.core.journal_line import (
    CLOSED,
    CUT,
    GENESIS,
    BrokenLine,
    Head,
    JournalLine,
    ended,
    gap,
    opens_file,
    proved,
    replaced,
)
from piactl.journal.append_file import stored_head
from piactl.journal.files import files_of, raw_lines
from piactl.phrase import Phrase


class EndedRun(NamedTuple):
    """A run that ended and did more than read, and the number of its `end` line."""

    seq: int
    run: str


class Problem(NamedTuple):
    """The first bad line: its file, its number (from 1), and the reason."""

    file: str
    line: int
    why: str

    def __str__(self) -> str:
        return Phrase("{name}: {text}", name=f"{self.file}:{self.line}", text=self.why)


class _Bad(Exception):
    """A line of a file is bad; the message says why."""


class _Missing(Exception):
    """A line after the last one is missing; the message says why."""


class Verification:
    """The result of a verification, up to the first `problem`, None if there is none.

    `lines` lines are intact, from number `first` to `head`. `torn` counts the bytes of an unfinished last
    line, which is harmless because it was never acknowledged. `ended` is the last run that ended. `closed`
    are the heads of the chains that this one goes on from, by name.
    """

    def __init__(self, heads: Mapping[str, Head], head_file: Head, runs: Mapping[str, str]) -> None:
        self.problem: Problem | None = None
        self.lines = self.first = self.torn = 0
        self.head = GENESIS
        self.ended: EndedRun | None = None
        self.closed: dict[str, Head] = {}
        self._heads = heads
        self._runs_missing = dict(runs)
        self._due: dict[int, list[tuple[str, str]]] = {}
        for label, head in (*heads.items(), (Phrase("the .head file"), head_file)):
            if head.seq:
                self._due.setdefault(head.seq, []).append((label, head.hash))

    @property
    def ok(self) -> bool:
        return self.problem is None

    @property
    def uncovered(self) -> tuple[str, ...]:
        """The labels of the heads of lines that are no longer in the files."""
        return tuple(sorted(label for label, head in self._heads.items() if 0 < head.seq < self.first))

    def of(self, path: str, files: Sequence[str], skipped: int = 0) -> Self:
        """Verifies the files of the chain at `path`, without the first `skipped` lines of each. Raises
        JournalUnusable if a file cannot be read."""
        name, number = path, 0
        try:
            for name in files:
                raws, number = raw_lines(name), 0
                for raw in raws:
                    number += 1
                    try:
                        line = proved(ended(raw)) if number > skipped else None
                    except BrokenLine as broken:
                        if not broken.torn or name != files[-1] or next(raws, None) is not None:
                            raise
                        self.torn, number = len(raw), number - 1
                    else:
                        if line is not None:
                            self._follow(line, opens=number == 1)
            name = path
            self._find_missing()
        except _Missing as fault:
            self.problem = Problem(name, number + 1, str(fault))
        except (_Bad, BrokenLine) as fault:
            self.problem = Problem(name, number, str(fault))
        return self

    def _follow(self, line: JournalLine, *, opens: bool) -> None:
        if line.type == CUT and opens and not self.first:
            # the beginning was removed by version 0.2.0
            self.head, self.first = replaced(line), line.seq + 1
            self._compare(self.head)
            return
        if opens and not opens_file(line):
            raise _Bad(
                Phrase("has number {seq} and begins the file: what was before it is missing", seq=line.seq)
            )
        if line.type == CUT:
            raise _Bad(Phrase("is the `cut` line of another file, where none can be"))
        if self.first == 0:
            self.first = line.seq
            self.head = Head(line.seq - 1, line.prev)
        if why := gap(self.head, line):
            raise _Bad(why)
        self._compare(line.head)
        if self.lines == 0:
            # the lines of a run before the first line that is left may have been removed
            self._runs_missing = {run: time for run, time in self._runs_missing.items() if time >= line.time}
        self._runs_missing.pop(line.run, None)
        if line.type == "end" and "read" not in line.fields.get("counts", {}):
            self.ended = EndedRun(line.seq, line.run)
        elif line.type == CLOSED:
            self.closed |= {name: Head.of(head) for name, head in line.fields.get("chains", {}).items()}
        self.head = line.head
        self.lines += 1

    def _compare(self, head: Head) -> None:
        for label, due in self._due.pop(head.seq, ()):
            if due != head.hash:
                raise _Bad(
                    Phrase(
                        "or one before it was replaced: it is not the one that {label} anchors", label=label
                    )
                )

    def _find_missing(self) -> None:
        """Raises _Missing if a head lies beyond the end, _Bad if a recorded run has no line."""
        for seq, ((label, _hash), *_) in sorted(self._due.items()):
            if seq > self.head.seq:
                raise _Missing(
                    Phrase(
                        "is missing: the file ends at number {seq}, {label} anchors {number}",
                        seq=self.head.seq,
                        label=label,
                        number=seq,
                    )
                )
        if self._runs_missing:
            run = min(self._runs_missing)
            raise _Bad(
                Phrase("is the last line, and run {run}, recorded in the directory, has none", run=run)
            )


def verify(
    path: str,
    heads: Mapping[str, tuple[int, str]] | None = None,
    runs: Mapping[str, str] | None = None,
    newest: int | None = None,
) -> Verification:
    """Verifies the whole chain, rotated files included, up to the first problem; with `newest`, only that
    many lines at the end of the newest file.

    `heads` are those stored elsewhere, by what stores them; the .head file beside the journal is compared
    too. `runs` are runs with their start (UTC, ISO 8601): each must have a line, unless it began before the
    first line. Raises JournalUnusable if a file cannot be read.
    """
    named = {label: Head(*head) for label, head in (heads or {}).items()}
    proof = Verification(named, stored_head(path), runs or {})
    files, skipped = files_of(path), 0
    if newest is not None:
        files = tuple(file for file in files if Path(file).stat().st_size)[-1:]
        skipped = max(0, sum(1 for file in files for _ in raw_lines(file)) - newest)
    return proof.of(path, files, skipped)


def verify_file(path: str) -> Verification:
    """Verifies one file by itself, a copy of a file of a journal, without any other file. The hashes of a
    whole file may have been rebuilt."""
    proof = Verification({}, GENESIS, {}).of(path, (path,))
    if proof.ok and not proof.lines:
        proof.problem = Problem(path, 1, Phrase("is missing: there is no line of a journal in the file"))
    return proof
