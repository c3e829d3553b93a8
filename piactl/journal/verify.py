"""Verifies the journal: no line was edited, removed, added or moved.

Three things detect tampering:

- The file alone shows every edit, removal, insertion or move of lines, unless all later hashes were rebuilt.
- The .head file beside it shows that the end was cut off, unless that file was changed too.
- An anchor, stored elsewhere (flows/apply/journal_heads.py), shows every change up to the anchored line, even
  with rebuilt hashes. Lines after the last anchor have only the first two protections.

Removing the oldest rotated files is retention, not tampering: `first` is the number of the first line left.
A pruned journal begins with a cut line. It names the last removed line, and a `prune` line later in the chain
must have the same facts. The chain and its anchors cover the `prune` line, so a cut cannot be forged before
the last anchor. An anchor older than the cut (`uncovered`) belongs to a pruned line.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import asdict, replace
from hashlib import sha256
from typing import Any, NamedTuple

from piactl.core.journal_line import (
    CUT,
    EXPORT,
    GENESIS,
    MAX_LINE,
    BrokenLine,
    Head,
    JournalLine,
    ended,
    gap,
    opens_file,
    parsed,
    proved,
    replaced,
)
from piactl.dataclass import dataclass
from piactl.journal.heads import stored_head
from piactl.journal.rotated_files import files_of, opened, pieces, raw_lines

CUT_FACTS = ("removed", "lines", "before", "by")
"""Facts that a `cut` line and its `prune` line must have in common."""


@dataclass(frozen=True, slots=True)
class Cut:
    """The facts of a prune: `removed` is the last removed line, `lines` their number, all written before the
    day `before` (ISO). `by`, `time` and `run` name the user, the time and the run."""

    removed: Head
    lines: int
    before: str
    by: str
    time: str
    run: str


class EndedRun(NamedTuple):
    """A run that ended and did more than read, and the number of its `end` line."""

    seq: int
    run: str


@dataclass(frozen=True, slots=True)
class Proved:
    """The part of a journal that was proved: its first `size` bytes, of all files together and decompressed,
    with their SHA-256. `anchors` are the heads, and `runs` the runs, whose lines are in this part."""

    size: int
    digest: str
    first: int
    lines: int
    head: Head
    anchors: frozenset[Head]
    runs: frozenset[str]
    cut: Cut | None = None
    ended: EndedRun | None = None

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "anchors": sorted(self.anchors), "runs": sorted(self.runs)}

    @classmethod
    def from_json(cls, content: Any) -> Proved | None:
        """The value that `as_json` made; None for anything else."""
        try:
            cut, ended_run = content["cut"], content["ended"]
            return cls(
                int(content["size"]), str(content["digest"]), int(content["first"]), int(content["lines"]),
                Head(*content["head"]), frozenset(Head(*anchor) for anchor in content["anchors"]),
                frozenset(map(str, content["runs"])),
                Cut(**{**cut, "removed": Head(*cut["removed"])}) if cut else None,
                EndedRun(*ended_run) if ended_run else None,
            )  # fmt: skip
        except (KeyError, TypeError, ValueError):
            return None


class Bad(Exception):
    """A line is bad: `line` is its number in the file (from 1), the message says why."""

    def __init__(self, line: int, why: str) -> None:
        self.line = line
        super().__init__(why)


class Proof:
    """The state of the verification. `opener` is the type of the line that may precede the chain."""

    def __init__(self, anchors: list[tuple[str, Head]], opener: str = CUT) -> None:
        self.at = GENESIS
        self.first = self.lines = self.torn = 0
        self.number = 0
        self.cut: Cut | None = None
        self.opening: JournalLine | None = None
        self.end: Head | None = None
        self.ended: EndedRun | None = None
        self.runs_missing: dict[str, str] = {}
        self._opener = opener
        self.size, self.digest = 0, sha256()
        self._announced: tuple[int, dict[str, object]] | None = None
        self._due: dict[int, list[tuple[str, str]]] = {}
        for label, anchor in anchors:
            self.expect(label, anchor)

    def expect(self, label: str, anchor: Head) -> None:
        """Requires the line with the anchor's number to have the anchor's hash."""
        if anchor.seq:
            self._due.setdefault(anchor.seq, []).append((label, anchor.hash))

    def rest(self, proved: Proved, files: tuple[str, ...]) -> list[tuple[str, int]]:
        """Accepts the lines that were proved before. Returns the files that continue after them, each with
        its offset. Raises Bad if the bytes of these lines are not the same, or if one of them has an anchor
        that was not compared with it."""
        self.at, self.first, self.lines = proved.head, proved.first, proved.lines
        self.cut, self.ended = proved.cut, proved.ended
        due = [seq for seq in self._due if seq <= proved.head.seq]
        heads = {Head(seq, digest) for seq in due for _, digest in self._due.pop(seq)}
        if not {head for head in heads if head.seq >= proved.first} <= proved.anchors | {proved.head}:
            raise Bad(1, "has an anchor that was not compared")
        for run in proved.runs:
            self.runs_missing.pop(run, None)
        for number, name in enumerate(files):
            before = self.size
            for piece in pieces(name, proved.size - before):
                self.digest.update(piece)
                self.size += len(piece)
            if self.size == proved.size:
                if self.digest.hexdigest() != proved.digest:
                    raise Bad(1, "was changed after it was proved")
                return [(name, self.size - before), *((later, 0) for later in files[number + 1 :])]
        raise Bad(1, "is shorter than when it was proved")

    def file(self, name: str, *, last: bool, start: int = 0) -> None:
        """Verifies one file, from an offset. Raises Bad, and BrokenLine for a line that cannot be parsed."""
        self.number = 1 if start else 0
        for raw, more_follows in raw_lines(name, start):
            self.number += 1
            try:
                line = proved(ended(raw))
            except BrokenLine as broken:
                if broken.torn and last and not more_follows:
                    self.torn = len(raw)
                    self.number -= 1
                    return
                raise
            if line.type in (CUT, EXPORT):
                self._open(line)
            else:
                self._follow(line)
            self.digest.update(raw)
            self.size += len(raw)

    def _open(self, line: JournalLine) -> None:
        if line.type != self._opener or self.number > 1 or self.opening is not None or self.first:
            raise Bad(self.number, f"is the `{line.type}` line of another file, where none can be")
        self.opening = line
        self.at = replaced(line)
        self.first = line.seq + 1
        self._compare(line.seq, line.prev)
        try:
            if line.type == CUT:
                self._take_cut(line)
            else:
                self.end = Head.of(line.fields["head"])
                self._expect_later("its first line", self.end)
        except (KeyError, TypeError, ValueError):
            raise Bad(self.number, "lacks what belongs to its type") from None

    def _take_cut(self, line: JournalLine) -> None:
        f = line.fields
        removed = Head.of(f["removed"])
        if removed != self.at:
            raise Bad(self.number, "is a cut whose number or hash is not that of the last line removed")
        announced = Head.of(f["told"])
        self.cut = Cut(removed, int(f["lines"]), str(f["before"]), str(f["by"]), line.time, line.run)
        self._announced = announced.seq, {name: f[name] for name in CUT_FACTS}
        self._expect_later("the cut", announced)

    def _expect_later(self, label: str, head: Head) -> None:
        if head.seq < self.first:
            raise Bad(self.number, f"names number {head.seq}, which is before the lines that follow it")
        self.expect(label, head)

    def _follow(self, line: JournalLine) -> None:
        if self.number == 1 and not opens_file(line):
            raise Bad(1, f"has number {line.seq} and begins the file: what was before it is missing")
        if self.first == 0:
            self.first = line.seq
            self.at = Head(line.seq - 1, line.prev)
        if why := gap(self.at, line):
            raise Bad(self.number, why)
        self._compare(line.seq, line.hash)
        if self._announced is not None and self._announced[0] == line.seq:
            facts = {name: line.fields.get(name) for name in CUT_FACTS}
            if line.type != "prune" or facts != self._announced[1]:
                raise Bad(self.number, "does not announce the cut that the file begins with")
            if self.cut is not None:
                self.cut = replace(self.cut, time=line.time, run=line.run)
        if self.lines == 0:
            # the lines of a run before the first line that is left may have been pruned
            self.runs_missing = {run: time for run, time in self.runs_missing.items() if time >= line.time}
        self.runs_missing.pop(line.run, None)
        if line.type == "end" and "read" not in line.fields.get("counts", {}):
            self.ended = EndedRun(line.seq, line.run)
        self.at = line.head
        self.lines += 1

    def _compare(self, seq: int, digest: str) -> None:
        for label, due in self._due.pop(seq, ()):
            if due != digest:
                why = f"or one before it was replaced: it is not the one that {label} anchors"
                raise Bad(self.number, why)

    def finish(self) -> None:
        """Raises Bad if an anchor lies beyond the end, if an export continues after its last line, or if a
        recorded run has no line."""
        for seq in sorted(self._due):
            if seq > self.at.seq:
                label = self._due[seq][0][0]
                why = f"is missing: the file ends at number {self.at.seq}, {label} anchors {seq}"
                raise Bad(self.number + 1, why)
        if self.end is not None and self.at != self.end:
            why = f"goes on after number {self.end.seq}, which its first line calls the last"
            raise Bad(self.number, why)
        if self.runs_missing:
            run = min(self.runs_missing)
            raise Bad(self.number, f"is the last line, and run {run}, recorded in the directory, has none")

    def problem(self, file: str, fault: Bad | BrokenLine) -> Problem:
        """The fault as a problem of `file`, with the number of its line."""
        return Problem(file, fault.line if isinstance(fault, Bad) else self.number, str(fault))

    def result(
        self,
        problem: Problem | None,
        anchored: int,
        uncovered: tuple[str, ...] = (),
        proved: Proved | None = None,
    ) -> Verification:
        return Verification(
            problem, self.lines, self.first, self.at, self.torn, anchored, uncovered, self.cut, self.opening,
            self.ended, proved,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Problem:
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
    an anchor (0: none). `uncovered` are anchors of lines that are no longer in the files. `cut` describes
    pruned lines, `opening` is the first line of an export, `ended` the last run that ended. `proved` is what
    a later verification may take as proved, None if there is nothing or if there is a problem.
    """

    problem: Problem | None
    lines: int
    first: int
    head: Head
    torn: int
    anchored: int
    uncovered: tuple[str, ...]
    cut: Cut | None = None
    opening: JournalLine | None = None
    ended: EndedRun | None = None
    proved: Proved | None = None

    @property
    def ok(self) -> bool:
        return self.problem is None


def verify(
    path: str,
    anchors: Mapping[str, tuple[int, str]] | None = None,
    head: tuple[int, str] | None = None,
    runs: Mapping[str, str] | None = None,
    proved: Proved | None = None,
) -> Verification:
    """Verifies the whole chain, rotated files included, up to the first problem.

    `anchors` are heads by what stores them, `head` is a head stored elsewhere; the .head file beside the
    journal is compared too. `runs` are runs with their start (UTC, ISO 8601): each must have a line. `proved`
    is what an earlier verification proved: its lines are not proved again if their bytes are the same. If
    they are not, or if a later line is bad, every line is proved again. Raises JournalUnusable if a file
    cannot be read.
    """
    named = [(label, Head(*anchor)) for label, anchor in (anchors or {}).items()]
    named += [("the head that was given", Head(*head))] if head is not None else []
    if proved is not None:
        shorter = _verified(path, named, runs or {}, proved)
        if shorter.ok:
            return shorter
    return _verified(path, named, runs or {})


def _verified(
    path: str, named: list[tuple[str, Head]], runs: Mapping[str, str], before: Proved | None = None
) -> Verification:
    proof = Proof([*named, ("the .head file", stored_head(path))])
    proof.runs_missing.update(runs)
    name, problem = path, None
    try:
        files = files_of(path)
        for name, start in proof.rest(before, files) if before else [(file, 0) for file in files]:
            proof.file(name, last=name == files[-1], start=start)
        name = path
        proof.finish()
    except (Bad, BrokenLine) as fault:
        problem = proof.problem(name, fault)
    older = {label for label, anchor in named if 0 < anchor.seq < proof.first}
    proved = None
    if problem is None and proof.lines:
        compared = {anchor for _label, anchor in named if proof.first <= anchor.seq}
        proved = Proved(
            proof.size, proof.digest.hexdigest(), proof.first, proof.lines, proof.at, frozenset(compared),
            frozenset(runs), proof.cut, proof.ended,
        )  # fmt: skip
    covered = (anchor.seq for label, anchor in named if label not in older and anchor.seq <= proof.at.seq)
    return proof.result(problem, max(covered, default=0), tuple(sorted(older)), proved)


def verify_file(path: str, head: tuple[int, str] | None = None) -> Verification:
    """Verifies one file by itself: an export, or a copied file of a journal.

    The first line of an export names the last one, so a cut end is detected. Only a `head` stored elsewhere
    detects rebuilt hashes. No other file is read.
    """
    with opened(path) as file:
        try:
            kind = parsed(file.readline(MAX_LINE)).type
        except (BrokenLine, OSError, EOFError, zlib.error):  # the verification will report the problem
            kind = CUT
    proof = Proof(
        [("the head that was given", Head(*head))] if head is not None else [],
        EXPORT if kind == EXPORT else CUT,
    )
    problem = None
    try:
        proof.file(path, last=kind != EXPORT)
        proof.finish()
        if head is not None and 0 < head[0] < proof.first:
            problem = Problem(path, 1, f"begins after number {head[0]}, that of the head that was given")
        elif proof.first == 0:
            problem = Problem(path, 1, "is missing: there is no line of a journal in the file")
    except (Bad, BrokenLine) as fault:
        problem = proof.problem(path, fault)
    anchored = head[0] if head is not None and head[0] <= proof.at.seq else 0
    return proof.result(problem, anchored)
