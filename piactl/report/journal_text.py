"""The output of `journal verify` and `journal prune`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from piactl.core.journal_line import Head
from piactl.core.text import counted
from piactl.report.escaping_and_colours import shown


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


def proof_text(proof: Proved, heads: int | None, begun: str = "") -> str:
    """The result for an intact journal; `heads` is how many stored heads were compared, None if none were
    read. `begun` is the run that began it anew."""
    intact = f"journal intact: {counted(proof.lines, 'line')}"
    if heads is None:
        lines = [f"{intact}; stored heads not compared"]
    else:
        matching = heads - len(proof.uncovered)
        lines = [f"{intact}, {counted(matching, 'stored head matches', 'stored heads match')}"]
    if begun:
        lines.append(f"run {begun} began the journal anew: heads before it are not compared")
    if proof.first > 1:
        lines.append(f"it begins with number {proof.first}: the files with the lines before it were removed")
    if proof.uncovered:
        older = counted(len(proof.uncovered), "stored head is", "stored heads are")
        lines.append(f"{older} older: their lines are in files that were removed")
    return "".join(shown(line) + "\n" for line in lines)


def closed_text(name: str, proof: Proved) -> str:
    """The result for an intact chain that the journal goes on from."""
    return shown(f"{name}: closed, intact: {counted(proof.lines, 'line')}") + "\n"


def file_text(proof: Proved) -> str:
    """The result for a file that was verified by itself."""
    lines = [
        f"journal intact: {counted(proof.lines, 'line')}, {proof.first} to {proof.head.seq}",
        f"head {proof.head.seq}:{proof.head.hash}: unless syslog has a head in this file, the whole file may "
        "have been rebuilt",
    ]
    return "".join(shown(line) + "\n" for line in lines)


def pruned_text(files: Sequence[str], before: str, *, trial: bool) -> str:
    """The files that were removed, or with `trial` would be."""
    if not files:
        return f"no file has only lines before {before}; the journal is unchanged\n"
    verb = "would be removed" if trial else "removed"
    return "".join(f"{shown(file)}: {verb}\n" for file in files)
