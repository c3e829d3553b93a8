"""The proof of a chain, line by line: what `verify` and `verify_file` go by."""

from __future__ import annotations

from dataclasses import dataclass, replace

from piactl.core.journalline import (
    CUT,
    EXPORT,
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
from piactl.journal.files import raw_lines

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
