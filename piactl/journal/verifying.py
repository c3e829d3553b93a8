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
from dataclasses import dataclass

from piactl.core.journalline import CUT, EXPORT, MAX_LINE, BrokenLine, Head, JournalLine, parsed
from piactl.journal.files import files_of, opened
from piactl.journal.headfile import SUFFIX, HeadDamaged, read_head
from piactl.journal.proof import Bad, Cut, Proof


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
