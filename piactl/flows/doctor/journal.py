"""Checks of the journal: writable, intact, no writes in doubt. The checks create no file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from piactl.core.model.settings import Settings
from piactl.core.text import counted
from piactl.directory.port import Reader
from piactl.directory.store.records import UnreadableRecords
from piactl.directory.store.run_records import heads_of
from piactl.errors import DirectoryOlder, JournalMissing, PiactlError
from piactl.flows.apply.restored_directory import BEGIN, compare_runs
from piactl.flows.doctor.checks import Finding, Outcome, error, fine, skipped, unless_broken, warning
from piactl.flows.doctor.files import doctor_as, may_write, nearest_folder
from piactl.journal import Head, in_doubt, verify
from piactl.journal.append_file import open_private
from piactl.private_files import user_name

Runs = Sequence[Mapping[str, Any]]


def examine_journal(path: str, host: str, runs: Runs | None) -> Iterator[Finding]:
    """D08 to D10; `runs` are the records of runs in the directory, None where they could not be read."""
    yield unless_broken("D08", lambda: _writable(path))
    try:
        yield unless_broken("D09", lambda: _chain(path, _anchors(host, runs), known=runs is not None))
    except PiactlError as refused:
        yield error("D09", str(refused), "See: piactl journal verify")
    try:
        yield unless_broken("D10", lambda: _doubts(path))
    except PiactlError:
        yield skipped("D10", "the journal cannot be read (D09)")


def examine_runs(
    reader: Reader,
    host: str,
    settings: Settings,
    unreadable: UnreadableRecords,
    now: datetime,
    chain: Finding,
) -> Finding:
    """D40. Skipped where the chain of the journal is not whole, or the directory cannot be asked."""
    if chain.outcome is not Outcome.OK:
        return skipped("D40", "the journal is not whole (D09)")

    def compared() -> Finding:
        try:
            if not compare_runs(reader, host, settings, unreadable, lambda: now):
                return skipped("D40", "the journal cannot be read (D08)")
        except (DirectoryOlder, JournalMissing) as error_found:
            found, _, advice = str(error_found).partition("\n")
            return error("D40", found, advice)
        return fine("D40", "the directory has the last run of this host")

    try:
        return unless_broken("D40", compared)
    except PiactlError as refused:
        return skipped("D40", str(refused).split("\n", 1)[0])


def _writable(path: str) -> Finding:
    folder = nearest_folder(Path(path).parent)
    above = Path(path).parent
    if above.exists() and not above.is_dir():
        return error("D08", f"{above} is not a folder", "Name another file as `journal`.")
    if Path(path).is_dir():
        return error("D08", f"{path} is a folder", "Name the file in it as `journal`.")
    if not may_write(folder):
        return error("D08", f"this user cannot write to {folder}", doctor_as(folder))
    if folder.stat().st_mode & 0o022 and not folder.stat().st_mode & 0o1000:
        return error(
            "D08", f"others can write to {folder} and could replace the journal", f"chmod 700 {folder}"
        )
    found = []
    for name in (path, f"{path}.head"):
        if not os.path.lexists(name):  # also a symbolic link that leads nowhere
            continue
        try:
            os.close(open_private(name, os.O_RDWR))
        except OSError as refused:
            forbidden = isinstance(refused, PermissionError)
            advice = doctor_as(Path(name)) if forbidden else "Replace it by a regular file."
            return error("D08", f"{name}: {refused.strerror}", advice)
        except PiactlError as refused:
            words, _, advice = str(refused).rpartition("\n")
            return error("D08", words, advice)
        found.append(name)
    return fine("D08", path if found else f"{path} will be created by the first run")


def _anchors(host: str, runs: Runs | None) -> dict[str, Head]:
    """The heads that the runs of this host left in the directory."""
    return {
        str(run["run"]): Head(run["journal"]["seq"], run["journal"]["hash"])
        for run in heads_of(runs or (), host, user_name(os.getuid()))
    }


def _chain(path: str, anchors: Mapping[str, Head], *, known: bool) -> Finding:
    proof = verify(path, anchors)
    if proof.problem is not None:
        advice = (
            "Keep the file and its .head unchanged, find out who changed it, then restore it from a backup."
            if proof.lines
            else f"Restore it from a copy; if there is none: {BEGIN}"
        )
        return error("D09", str(proof.problem), advice)
    agree = len(anchors) - len(proof.uncovered)
    words = f"journal intact: {counted(proof.lines, 'line')}"
    if not known:
        return fine("D09", f"{words}; run anchors not compared")
    return fine("D09", f"{words}, {counted(agree, 'run anchor matches', 'run anchors match')}")


def _doubts(path: str) -> Finding:
    doubtful = in_doubt(path)
    if not doubtful:
        return fine("D10", "none")
    runs = ", ".join(sorted({intent.run for intent in doubtful}))
    writes, have = counted(len(doubtful), "write"), "has" if len(doubtful) == 1 else "have"
    found = f"{writes} of run {runs} {have} no outcome"
    return warning(
        "D10", found, "Run piactl nightly or apply: it first reads these entries and records the outcome."
    )
