"""The output of `journal verify` and `journal prune`."""

from __future__ import annotations

from typing import Protocol

from piactl.core.journal_line import Head, JournalLine
from piactl.core.text import counted
from piactl.report.escaping_and_colours import shown


class Pruned(Protocol):
    """What a cut line records about the removed lines."""

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
    """A verified chain without a problem."""

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
    """Lines that were removed, or could be removed."""

    @property
    def removed(self) -> Head: ...
    @property
    def lines(self) -> int: ...
    @property
    def since(self) -> str: ...
    @property
    def kept(self) -> tuple[str, ...]: ...


def proof_text(proof: Proved, anchors: int | None, begun: str = "") -> str:
    """The result for an intact journal; `anchors` is how many stored heads were compared, None if none were
    read. `begun` is the run that began it anew."""
    intact = f"journal intact: {counted(proof.lines, 'line')}"
    if anchors is None:
        lines = [f"{intact}; stored heads not compared"]
    else:
        matching = anchors - len(proof.uncovered)
        lines = [f"{intact}, {counted(matching, 'stored head matches', 'stored heads match')}"]
    if begun:
        lines.append(f"run {begun} began the journal anew: heads before it are not compared")
    lines += _cut_lines(proof.cut)
    if proof.uncovered:
        gone = "were pruned" if proof.cut else "are in files that were removed"
        singular, plural = "stored head is", "stored heads are"
        lines.append(f"{counted(len(proof.uncovered), singular, plural)} older: their lines {gone}")
    return "".join(shown(line) + "\n" for line in lines)


def file_text(proof: Proved, *, anchored: bool) -> str:
    """The result for a file that was verified by itself."""
    lines = [f"journal intact: {counted(proof.lines, 'line')}, {proof.first} to {proof.head.seq}"]
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
        lines.append("the head given with --head is in this chain")
    else:
        head = f"{proof.head.seq}:{proof.head.hash}"
        lines.append(
            f"head {head}: without a head stored elsewhere (--head), the whole file may have been rebuilt"
        )
    return "".join(shown(line) + "\n" for line in lines)


def _cut_lines(cut: Pruned | None) -> list[str]:
    if cut is None:
        return []
    return [
        f"lines up to {cut.removed.seq}, written before {cut.before}, were pruned by {cut.by} at {cut.time} "
        f"(run {cut.run})"
    ]


def pruned_text(gone: Gone | None, before: str, *, trial: bool) -> str:
    """The lines that were removed, or with `trial` would be."""
    if gone is None:
        return f"no line before {before} can be removed; the journal is unchanged\n"
    verb = "would be removed" if trial else "removed"
    number = gone.removed.seq
    text = f"{counted(gone.lines, 'line')} {verb}, up to number {number}, the oldest of {gone.since[:10]}"
    lines = [text + ("" if trial else f"; the journal now begins with number {number + 1}")]
    if gone.kept:
        runs = ", ".join(gone.kept[:3]) + (", ..." if len(gone.kept) > 3 else "")
        number_of_runs = counted(len(gone.kept), "run")
        lines.append(f"lines before {before} of {number_of_runs} are kept, not over by then: {runs}")
    return "".join(shown(line) + "\n" for line in lines)
