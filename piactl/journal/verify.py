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

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

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
from piactl.journal.head_file import stored_head
from piactl.journal.rotated_files import files_of, raw_lines


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
        return f"{self.file}:{self.line}: {self.why}"


@dataclass(frozen=True, slots=True)
class Verification:
    """The result of a verification.

    `lines` lines are intact, from number `first` to `head`. `torn` counts the bytes of an unfinished last
    line, which is harmless because it was never acknowledged. `anchored` is the highest number covered by
    a head that is stored elsewhere (0: none). `uncovered` are the labels of heads of lines that are no longer
    in the files. `ended` is the last run that ended. `closed` are the heads of the chains that this one goes
    on from, by name.
    """

    problem: Problem | None
    lines: int
    first: int
    head: Head
    torn: int
    anchored: int
    uncovered: tuple[str, ...]
    ended: EndedRun | None = None
    closed: Mapping[str, Head] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return self.problem is None


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
    due = {**named, "the .head file": stored_head(path)}
    files, skipped = files_of(path), 0
    if newest is not None:
        files = tuple(file for file in files if Path(file).stat().st_size)[-1:]
        skipped = max(0, sum(1 for file in files for _ in raw_lines(file)) - newest)
    return _verified(path, files, named, due, runs or {}, skipped)


def verify_file(path: str) -> Verification:
    """Verifies one file by itself, a copy of a file of a journal, without any other file. The hashes of a
    whole file may have been rebuilt."""
    proof = _verified(path, (path,), {}, {}, {}, 0)
    if proof.ok and not proof.lines:
        why = "is missing: there is no line of a journal in the file"
        return Verification(Problem(path, 1, why), 0, 0, GENESIS, proof.torn, 0, ())
    return proof


class _Bad(Exception):
    """A line of a file is bad; the message says why."""


class _Proof:
    """The state of a verification: the head up to which all is proved, and what is still to be met."""

    def __init__(self, due: Mapping[str, Head], runs: Mapping[str, str]) -> None:
        self.at = GENESIS
        self.first = self.lines = self.torn = self.number = 0
        self.ended: EndedRun | None = None
        self.closed: dict[str, Head] = {}
        self._runs_missing = dict(runs)
        self._due: dict[int, list[tuple[str, str]]] = {}
        for label, head in due.items():
            if head.seq:
                self._due.setdefault(head.seq, []).append((label, head.hash))

    def file(self, lines: Iterable[tuple[bytes, bool]], skipped: int, *, last: bool) -> None:
        """Verifies the lines of one file after the first `skipped` ones. Raises _Bad, and BrokenLine for a
        line that cannot be parsed."""
        self.number = 0
        for raw, more_follows in lines:
            self.number += 1
            if self.number <= skipped:
                continue
            try:
                line = proved(ended(raw))
            except BrokenLine as broken:
                if broken.torn and last and not more_follows:
                    self.torn = len(raw)
                    self.number -= 1
                    return
                raise
            if line.type == CUT and self.number == 1 and not self.first:
                # the beginning was removed by version 0.2.0
                self.at, self.first = replaced(line), line.seq + 1
                self._compare(self.at)
            else:
                self._follow(line)

    def _follow(self, line: JournalLine) -> None:
        if self.number == 1 and not opens_file(line):
            raise _Bad(f"has number {line.seq} and begins the file: what was before it is missing")
        if line.type == CUT:
            raise _Bad("is the `cut` line of another file, where none can be")
        if self.first == 0:
            self.first = line.seq
            self.at = Head(line.seq - 1, line.prev)
        if why := gap(self.at, line):
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
        self.at = line.head
        self.lines += 1

    def _compare(self, head: Head) -> None:
        for label, due in self._due.pop(head.seq, ()):
            if due != head.hash:
                raise _Bad(f"or one before it was replaced: it is not the one that {label} anchors")

    def finish(self) -> None:
        """Raises _Bad if a head lies beyond the end, or if a recorded run has no line."""
        for seq in sorted(self._due):
            if seq > self.at.seq:
                self.number += 1
                label = self._due[seq][0][0]
                raise _Bad(f"is missing: the file ends at number {self.at.seq}, {label} anchors {seq}")
        if self._runs_missing:
            run = min(self._runs_missing)
            raise _Bad(f"is the last line, and run {run}, recorded in the directory, has none")


def _verified(
    path: str,
    files: tuple[str, ...],
    named: Mapping[str, Head],
    due: Mapping[str, Head],
    runs: Mapping[str, str],
    skipped: int,
) -> Verification:
    proof = _Proof(due, runs)
    name, problem = path, None
    try:
        for name in files:
            proof.file(raw_lines(name), skipped, last=name == files[-1])
        name = path
        proof.finish()
    except (_Bad, BrokenLine) as fault:
        problem = Problem(name, proof.number, str(fault))
    older = tuple(sorted(label for label, head in named.items() if 0 < head.seq < proof.first))
    covered = (h.seq for label, h in named.items() if label not in older and h.seq <= proof.at.seq)
    return Verification(
        problem, proof.lines, proof.first, proof.at, proof.torn, max(covered, default=0), older, proof.ended,
        proof.closed,
    )  # fmt: skip
