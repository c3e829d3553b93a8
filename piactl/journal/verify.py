"""Proving the journal: every line unaltered, none missing, added or moved.

What can be proved by what:

- the file alone: any edit, removal, insertion or move of lines in the middle, unless every hash from there
  to the end was computed anew;
- the .head file beside it: that its end was not cut, against a hand that forgot that file;
- an anchor (kept where that hand does not reach): that nothing up to the anchored line was altered in any
  way, computed anew or not. What comes after the last anchor is only as safe as the first two make it.

Removal of the oldest rotated files is retention, not tampering: `first` says where the chain now begins.
Where lines were pruned, the file begins with a cut: it names the last line that went, and a `prune` line
further on, which the chain and its anchors cover, must say the same. So a cut cannot be made up behind the
last anchor's back, and an anchor older than the cut (`uncovered`) is one of a line that was pruned.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

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
from piactl.journal.head_file import SUFFIX, HeadDamaged, read_head
from piactl.journal.rotated_files import files_of, opened, raw_lines

# The proof of a chain, line by line: what `verify` and `verify_file` go by.

CUT_FACTS = ("removed", "lines", "before", "by")
"""What a `cut` line and the `prune` line that announced it say alike."""


@dataclass(frozen=True, slots=True)
class Cut:
    """What is known of the lines that were pruned: `removed` is the last of them, `lines` how many this cut
    took, all written before the day `before` (ISO); `by` whom, at what `time`, in which run."""

    removed: Head
    lines: int
    before: str
    by: str
    time: str
    run: str


class Bad(Exception):
    """The line with that number in its file (from 1) is bad, and why."""

    def __init__(self, line: int, why: str) -> None:
        self.line = line
        super().__init__(why)


class Proof:
    """The chain so far. `opener` is what else than a journal's own lines the chain may begin with."""

    def __init__(self, anchors: list[tuple[str, Head]], opener: str = CUT) -> None:
        self.at = GENESIS
        self.first = self.lines = self.torn = 0
        self.number = 0
        self.cut: Cut | None = None
        self.opening: JournalLine | None = None
        self.end: Head | None = None
        self._opener = opener
        self._announced: tuple[int, dict[str, object]] | None = None
        self._due: dict[int, list[tuple[str, str]]] = {}
        for label, anchor in anchors:
            self.expect(label, anchor)

    def expect(self, label: str, anchor: Head) -> None:
        """The line with the anchor's number must be the anchor's."""
        if anchor.seq:
            self._due.setdefault(anchor.seq, []).append((label, anchor.hash))

    def file(self, name: str, *, last: bool) -> None:
        """Goes over one file. Raises Bad, and BrokenLine for a line that is none."""
        self.number = 0
        for raw, more in raw_lines(name):
            self.number += 1
            try:
                line = proved(ended(raw))
            except BrokenLine as broken:
                if broken.torn and last and not more:
                    self.torn = len(raw)
                    self.number -= 1
                    return
                raise
            if line.type in (CUT, EXPORT):
                self._open(line)
            else:
                self._follow(line)

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
                last = line.fields["head"]
                self.end = Head(int(last["seq"]), str(last["hash"]))
                self._expect_later("its first line", self.end)
        except (KeyError, TypeError, ValueError):
            raise Bad(self.number, "lacks what belongs to its type") from None

    def _take_cut(self, line: JournalLine) -> None:
        f = line.fields
        removed = Head(int(f["removed"]["seq"]), str(f["removed"]["hash"]))
        if removed != self.at:
            raise Bad(self.number, "is a cut whose number or hash is not that of the last line removed")
        told = Head(int(f["told"]["seq"]), str(f["told"]["hash"]))
        self.cut = Cut(removed, int(f["lines"]), str(f["before"]), str(f["by"]), line.time, line.run)
        self._announced = told.seq, {name: f[name] for name in CUT_FACTS}
        self._expect_later("the cut", told)

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
            said = {name: line.fields.get(name) for name in CUT_FACTS}
            if line.type != "prune" or said != self._announced[1]:
                raise Bad(self.number, "does not announce the cut that the file begins with")
            if self.cut is not None:
                self.cut = replace(self.cut, time=line.time, run=line.run)
        self.at = line.head
        self.lines += 1

    def _compare(self, seq: int, digest: str) -> None:
        for label, due in self._due.pop(seq, ()):
            if due != digest:
                why = f"or one before it was replaced: it is not the one that {label} anchors"
                raise Bad(self.number, why)

    def finish(self) -> None:
        """Raises where an anchor lies beyond the end, or an export goes on after its own."""
        for seq in sorted(self._due):
            if seq > self.at.seq:
                label = self._due[seq][0][0]
                raise Bad(
                    self.number + 1,
                    f"is missing: the file ends at number {self.at.seq}, {label} anchors {seq}",
                )
        if self.end is not None and self.at != self.end:
            raise Bad(
                self.number, f"goes on after number {self.end.seq}, which its first line calls the last"
            )


@dataclass(frozen=True, slots=True)
class Problem:
    """The first bad line: the file, its line (from 1), and why it is bad."""

    file: str
    line: int
    why: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.why}"


@dataclass(frozen=True, slots=True)
class Verification:
    """What was proved. `lines` were good, from number `first` to `head`; `torn` bytes of an unfinished line
    at the very end are no problem: they were never acknowledged. `anchored` is the highest number that an
    anchor proves (0: none); `uncovered` are runs whose anchor is older than the files that are left. `cut`
    is what the journal says of the lines that were pruned, `opening` the first line of an export."""

    problem: Problem | None
    lines: int
    first: int
    head: Head
    torn: int
    anchored: int
    uncovered: tuple[str, ...]
    cut: Cut | None = None
    opening: JournalLine | None = None

    @property
    def ok(self) -> bool:
        return self.problem is None


def verify(
    path: str, anchors: Mapping[str, tuple[int, str]] | None = None, head: tuple[int, str] | None = None
) -> Verification:
    """Reads the whole chain, rotated files included, one line at a time, up to the first problem.

    `anchors` are heads by run, `head` is the last one known from elsewhere; the .head file beside the
    journal is a further one. Raises JournalUnusable where a file cannot be read at all.
    """
    named = [(f"run {run}", Head(*anchor)) for run, anchor in (anchors or {}).items()]
    named += [("the head that was given", Head(*head))] if head is not None else []
    local = _local_head(path)
    proof = Proof(named + ([("the .head file", local)] if local is not None else []))
    name, problem = path, None
    try:
        files = files_of(path)
        for name in files:
            proof.file(name, last=name == files[-1])
        name = path
        proof.finish()
    except Bad as bad:
        problem = Problem(name, bad.line, str(bad))
    except BrokenLine as broken:
        problem = Problem(name, proof.number, str(broken))
    reached = proof.at.seq
    older = {label for label, anchor in named if 0 < anchor.seq < proof.first}
    return Verification(
        problem,
        proof.lines,
        proof.first,
        proof.at,
        proof.torn,
        max(
            (anchor.seq for label, anchor in named if label not in older and anchor.seq <= reached), default=0
        ),
        tuple(sorted(label.removeprefix("run ") for label in older)),
        proof.cut,
        proof.opening,
    )


def verify_file(path: str, head: tuple[int, str] | None = None) -> Verification:
    """The same for one file by itself: an export, or one file of a journal that was copied elsewhere.

    Of an export the first line names the last, so its end cannot be cut unseen; `head`, kept elsewhere, is
    what a hand that knows how to make hashes anew cannot get past. Nothing beside the file is looked at.
    """
    with opened(path) as file:
        try:
            kind = parsed(file.readline(MAX_LINE)).type
        except (BrokenLine, OSError, EOFError, zlib.error):  # what is wrong with it, the proof will say
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
    except Bad as bad:
        problem = Problem(path, bad.line, str(bad))
    except BrokenLine as broken:
        problem = Problem(path, proof.number, str(broken))
    anchored = head[0] if head is not None and head[0] <= proof.at.seq else 0
    return Verification(
        problem, proof.lines, proof.first, proof.at, proof.torn, anchored, (), proof.cut, proof.opening
    )


def _local_head(path: str) -> Head | None:
    try:
        fd = os.open(path + SUFFIX, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        record = read_head(fd)
    except (HeadDamaged, OSError):  # damaged, or a folder
        return None
    finally:
        os.close(fd)
    return record.head if record else None
