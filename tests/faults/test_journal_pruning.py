"""Removing old files of the journal: what goes and what never does, and kills in between."""

from __future__ import annotations

import gzip
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from piactl.core.journal_line import Head, sealed
from piactl.journal import Settlement, in_doubt, read_lines, verify
from piactl.journal.files import files_of
from piactl.journal.writer import close_chain
from piactl.runs.journal_upkeep import old_files, remove_files

from .journals import digest, intend, journal_path, make_journal

__all__ = ["digest", "intend", "journal_path", "make_journal"]  # fixtures

FAR = datetime(2030, 1, 1, tzinfo=UTC)


@dataclass
class Kept:
    """A journal of four runs, each in a file of its own, the last in the one that is appended to."""

    path: Path
    make: object
    heads: dict[str, Head] = field(default_factory=dict)

    def run(self, intend, name: str) -> None:
        with self.make(name) as journal:
            numbers = journal.intents([intend(f"{name}.{i}") for i in range(3)])
            journal.outcomes([Settlement(number, "applied") for number in numbers])
            self.heads[name] = journal.end({"applied": 3})

    def rotate(self, number: int, *, packed: bool = False) -> None:
        old = self.path.rename(f"{self.path}-2027090{number}")
        if packed:
            Path(f"{old}.gz").write_bytes(gzip.compress(old.read_bytes()))
            old.unlink()

    def time_of(self, run: str) -> datetime:
        """When the first line of a run was written."""
        return next(datetime.fromisoformat(x.time) for x in read_lines(str(self.path)) if x.run == run)

    def names(self, before: datetime) -> list[str]:
        return [Path(old).name for old in old_files(str(self.path), before)]


@pytest.fixture(params=[False, True], ids=["plain", "packed"])
def kept(make_journal, intend, journal_path, request) -> Kept:
    kept = Kept(Path(journal_path), make_journal)
    for number, run in enumerate(("one", "two", "three", "four"), start=1):
        kept.run(intend, run)
        if run != "four":
            kept.rotate(number, packed=request.param)
    return kept


def test_only_whole_old_files_go_and_the_rest_is_verified(kept: Kept, intend) -> None:
    every = [Path(name).name for name in files_of(str(kept.path))]
    assert kept.names(kept.time_of("one")) == []
    assert kept.names(kept.time_of("three")) == every[:2]
    assert kept.names(FAR) == every[:3], "not the file that is appended to"
    remove_files(old_files(str(kept.path), kept.time_of("three")))
    assert [Path(name).name for name in files_of(str(kept.path))] == every[2:]
    proof = verify(str(kept.path), kept.heads)
    assert (proof.problem, proof.uncovered) == (None, ("one", "two"))
    assert proof.first == kept.heads["two"].seq + 1
    kept.run(intend, "five")
    kept.rotate(5)
    kept.run(intend, "six")
    assert verify(str(kept.path), kept.heads).problem is None


def test_a_file_with_an_open_intent_and_all_after_it_stay(make_journal, intend, journal_path) -> None:
    kept = Kept(Path(journal_path), make_journal)
    kept.run(intend, "one")
    kept.rotate(1)
    with make_journal("doubt") as journal:
        (number,) = journal.intents([intend("x.y")])
    kept.rotate(2)
    kept.run(intend, "three")
    kept.rotate(3)
    kept.run(intend, "four")
    assert kept.names(FAR) == [f"{kept.path.name}-20270901"]
    assert [intent.uid for intent in in_doubt(str(kept.path))] == ["x.y"]
    with make_journal("settler") as journal:
        journal.resolved([Settlement(number, "applied")])
        journal.end({})
    assert len(kept.names(FAR)) == 3


def test_a_journal_that_0_2_0_pruned_is_read_and_verified(make_journal, intend, journal_path) -> None:
    """It begins with a line that replaces the removed ones."""
    kept = Kept(Path(journal_path), make_journal)
    for run in ("one", "two", "three"):
        kept.run(intend, run)
    lines, removed = kept.path.read_bytes().splitlines(keepends=True), kept.heads["one"]
    body = {"type": "cut", "time": "2027-09-03T00:00:00.000Z", "run": "pruner", "removed": removed._asdict()}
    cut, _ = sealed(body, Head(removed.seq - 1, removed.hash))
    kept.path.write_bytes(b"".join([cut, *lines[removed.seq :]]))
    Path(f"{kept.path}.head").unlink()
    proof = verify(str(kept.path), kept.heads)
    assert (proof.problem, proof.first, proof.uncovered) == (None, removed.seq + 1, ("one",))
    assert not verify(str(kept.path), {"one": Head(removed.seq, "0" * 64)}).ok
    kept.run(intend, "four")
    assert verify(str(kept.path), kept.heads).ok
    kept.rotate(1)
    kept.run(intend, "five")
    assert verify(str(kept.path), kept.heads).ok
    assert {line.run for line in read_lines(str(kept.path))} == {"pruner", "two", "three", "four", "five"}
    assert kept.names(FAR) == [f"{kept.path.name}-20270901"]


def test_a_closed_chain_goes_with_its_folder(kept: Kept, intend, make_journal) -> None:
    chain = kept.path.parent / "closed" / "piactl-desk" / "journal.jsonl"
    desk = Kept(chain, lambda run: make_journal(run, path=str(chain)))
    desk.run(intend, "five")
    desk.rotate(1)
    desk.run(intend, "six")
    close_chain(str(chain), lambda: {"time": "2028-01-01T00:00:00.000Z", "run": "seven"}, [])
    early = datetime(2027, 12, 1, tzinfo=UTC)
    assert kept.names(early) == ["journal.jsonl-20270901", *kept.names(early)[1:]], "the closed ones first"
    assert "journal.jsonl" not in kept.names(early), "its last line is younger"
    remove_files(old_files(str(kept.path), FAR))
    assert not chain.parent.exists()
    assert files_of(str(kept.path)) == (str(kept.path),)


PRUNE = """
import sys
from datetime import datetime
from piactl.runs.journal_upkeep import old_files, remove_files
remove_files(old_files(sys.argv[1], datetime.fromisoformat(sys.argv[2])))
"""


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace kills at a system call")
@pytest.mark.parametrize(("number", "left"), [(1, 4), (2, 3), (3, 2)])
def test_a_kill_between_two_removals_leaves_a_whole_journal(kept: Kept, number: int, left: int) -> None:
    """The oldest file goes first, so no gap is left; the next prune removes the rest."""
    before = kept.time_of("four").isoformat()
    strace = ["strace", "-qq", "-o", "/dev/null", "-e", f"inject=unlink:signal=KILL:when={number}"]
    words = [*strace, sys.executable, "-B", "-c", PRUNE, str(kept.path), before]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert len(files_of(str(kept.path))) == left
    assert verify(str(kept.path), kept.heads).problem is None
    remove_files(old_files(str(kept.path), datetime.fromisoformat(before)))
    assert files_of(str(kept.path)) == (str(kept.path),)
    assert verify(str(kept.path), kept.heads).problem is None
