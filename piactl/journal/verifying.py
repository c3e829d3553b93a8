"""Proving the journal: every line unaltered, none missing, added or moved.

What can be proved by what:

- the file alone: any edit, removal, insertion or move of lines in the middle, unless every hash from there
  to the end was computed anew;
- the .head file beside it: that its end was not cut, against a hand that forgot that file;
- an anchor (kept where that hand does not reach): that nothing up to the anchored line was altered in any
  way, computed anew or not. What comes after the last anchor is only as safe as the first two make it.

Removal of the oldest rotated files is retention, not tampering: `first` says where the chain now begins.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from piactl.core.journalline import GENESIS, BrokenLine, Head, ended, gap, opens_file, proved
from piactl.journal.files import files_of, raw_lines
from piactl.journal.headfile import SUFFIX, HeadDamaged, read_head


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
    anchor proves (0: none); `uncovered` are runs whose anchor is older than the files that are left."""

    problem: Problem | None
    lines: int
    first: int
    head: Head
    torn: int
    anchored: int
    uncovered: tuple[str, ...]

    @property
    def ok(self) -> bool:
        return self.problem is None


class _Bad(Exception):
    def __init__(self, line: int, why: str) -> None:
        self.line = line
        super().__init__(why)


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
    proof = _Proof(named + ([("the .head file", local)] if local is not None else []))
    name, problem = path, None
    try:
        files = files_of(path)
        for name in files:
            proof.file(name, last=name == files[-1])
        name = path
        proof.finish()
    except _Bad as bad:
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
    )


class _Proof:
    """The chain so far."""

    def __init__(self, anchors: list[tuple[str, Head]]) -> None:
        self.at = GENESIS
        self.first = self.lines = self.torn = 0
        self.number = 0
        self._due: dict[int, list[tuple[str, str]]] = {}
        for label, anchor in anchors:
            if anchor.seq:
                self._due.setdefault(anchor.seq, []).append((label, anchor.hash))

    def file(self, name: str, *, last: bool) -> None:
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
            if self.number == 1 and not opens_file(line):
                raise _Bad(1, f"has number {line.seq} and begins the file: what was before it is missing")
            if self.first == 0:
                self.first = line.seq
                self.at = Head(line.seq - 1, line.prev)
            if why := gap(self.at, line):
                raise _Bad(self.number, why)
            for label, digest in self._due.pop(line.seq, ()):
                if digest != line.hash:
                    raise _Bad(
                        self.number, f"or one before it was replaced: it is not the one that {label} anchors"
                    )
            self.at = line.head
            self.lines += 1

    def finish(self) -> None:
        """Raises where an anchor lies beyond the end."""
        for seq in sorted(self._due):
            if seq > self.at.seq:
                label = self._due[seq][0][0]
                raise _Bad(
                    self.number + 1,
                    f"is missing: the file ends at number {self.at.seq}, {label} anchors {seq}",
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
