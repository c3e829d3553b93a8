"""What is said of a journal that was proved, and of one that was pruned."""

from __future__ import annotations

from typing import Protocol

from piactl.core.journal_line import Head, JournalLine
from piactl.core.text import counted
from piactl.report.escaping import shown


class Pruned(Protocol):
    """What a cut says of the lines that went."""

    @property
    def removed(self) -> Head: ...
    @property
    def before(self) -> str: ...
    @property
    def by(self) -> str: ...
    @property
    def time(self) -> str: ...
    @property
    def run(self) -> str: ...


class Proved(Protocol):
    """A chain without a problem."""

    @property
    def lines(self) -> int: ...
    @property
    def first(self) -> int: ...
    @property
    def head(self) -> Head: ...
    @property
    def uncovered(self) -> tuple[str, ...]: ...
    @property
    def cut(self) -> Pruned | None: ...
    @property
    def opening(self) -> JournalLine | None: ...


class Gone(Protocol):
    """Lines that were removed, or could be."""

    @property
    def removed(self) -> Head: ...
    @property
    def lines(self) -> int: ...
    @property
    def since(self) -> str: ...
    @property
    def kept(self) -> tuple[str, ...]: ...


def proof_text(proof: Proved, anchors: int | None) -> str:
    """A whole journal, in sentences; `anchors` is how many it was compared with, None for not compared."""
    whole = f"whole: {counted(proof.lines, 'line')}"
    if anchors is None:
        lines = [f"{whole}; not compared with the anchors of runs"]
    else:
        agree = anchors - len(proof.uncovered)
        lines = [f"{whole}, {counted(agree, 'anchor of a run agrees', 'anchors of runs agree')}"]
    lines += _cut_lines(proof.cut)
    if proof.uncovered:
        gone = "were pruned" if proof.cut else "are in files that were removed"
        one, more = "anchor of a run is", "anchors of runs are"
        lines.append(f"{counted(len(proof.uncovered), one, more)} older: their lines {gone}")
    return "".join(shown(line) + "\n" for line in lines)


def file_text(proof: Proved, *, anchored: bool) -> str:
    """A file that was proved by itself."""
    lines = [f"whole: {counted(proof.lines, 'line')}, {proof.first} to {proof.head.seq}"]
    opening = proof.opening
    if opening is not None and "host" in opening.fields:
        f = opening.fields
        period = " ".join(
            f"{word} {f[name]}" for word, name in (("from", "since"), ("to", "until")) if f.get(name)
        )
        made = f"exported from {f['host']} by {f.get('by')} at {opening.time}"
        lines.append(f"{made}{', the period ' + period if period else ''}")
    lines += _cut_lines(proof.cut)
    if anchored:
        lines.append("the head that was given is in it: it is the chain of which that head was kept")
    else:
        head = f"{proof.head.seq}:{proof.head.hash}"
        lines.append(f"head {head}: without one kept elsewhere (--head) all of it may have been made anew")
    return "".join(shown(line) + "\n" for line in lines)


def _cut_lines(cut: Pruned | None) -> list[str]:
    if cut is None:
        return []
    return [
        f"lines up to {cut.removed.seq}, written before {cut.before}, were pruned by {cut.by} at {cut.time} "
        f"(run {cut.run})"
    ]


def pruned_text(gone: Gone | None, before: str, *, trial: bool) -> str:
    """What went, or would go."""
    if gone is None:
        return f"no line of the journal before {before} can go; nothing was changed\n"
    verb = "would go" if trial else "removed"
    number = gone.removed.seq
    text = f"{counted(gone.lines, 'line')} {verb}, up to number {number}, the oldest of {gone.since[:10]}"
    lines = [text + ("" if trial else f"; the journal now begins with number {number + 1}")]
    if gone.kept:
        runs = ", ".join(gone.kept[:3]) + (", ..." if len(gone.kept) > 3 else "")
        one, more = "run", "runs"
        lines.append(
            f"lines before {before} of {counted(len(gone.kept), one, more)} stay, not over by then: {runs}"
        )
    return "".join(shown(line) + "\n" for line in lines)
