"""Pruning the journal: what is removed and what never is, the proof that is left, and kills at any moment."""

from __future__ import annotations

import gzip
import json
import random
import shutil
import signal
import subprocess
import sys
import threading
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from piactl.core.journal_line import Head, sealed, sealed_in_place
from piactl.errors import JournalUnusable
from piactl.journal import Settlement, in_doubt, read_lines, verify
from piactl.journal.prune import cut_off, pruning, removable, remove_left_behind
from piactl.journal.rotated_files import files_of

from .journals import digest, intend, journal_path, make_journal
from .test_journal_tampering import TAMPERINGS, body, delete

__all__ = ["digest", "intend", "journal_path", "make_journal"]  # fixtures

SEED = 20270902
FAR = datetime(2030, 1, 1, tzinfo=UTC)


@dataclass
class Kept:
    """A journal of four runs with 8 lines each; `anchors` are the heads stored elsewhere."""

    path: Path
    anchors: dict[str, Head]
    make: object

    @property
    def lines(self) -> list[bytes]:
        return self.path.read_bytes().splitlines(keepends=True)

    def time_of(self, run: str) -> datetime:
        """When the first line of a run was written."""
        return next(datetime.fromisoformat(x.time) for x in read_lines(str(self.path)) if x.run == run)

    def prune(self, before: datetime, run: str = "pruner"):
        path = str(self.path)
        with pruning(path):
            remove_left_behind(path)
            gone = removable(path, before)
            if gone is not None:
                with self.make(run) as journal:
                    cut_off(
                        path, gone, journal, f"{before:%Y-%m-%d}", "alice", "2027-09-03T00:00:00.000Z", run
                    )
                    self.anchors[run] = journal.end({"pruned": gone.lines})
        return gone

    def proof(self):
        return verify(str(self.path), self.anchors)


def one_run(journal, intend, run: str) -> Head:
    numbers = journal.intents([intend(f"{run}.{i}") for i in range(3)])
    journal.outcomes([Settlement(number, "applied") for number in numbers])
    return journal.end({"applied": 3})


@pytest.fixture
def kept(make_journal, intend, journal_path) -> Kept:
    anchors = {}
    for run in ("one", "two", "three", "four"):
        with make_journal(run) as journal:
            anchors[run] = one_run(journal, intend, run)
    return Kept(Path(journal_path), anchors, make_journal)


def test_the_cut_is_reported_and_proved(kept: Kept, intend) -> None:
    before, second = kept.lines, kept.anchors["two"]
    gone = kept.prune(kept.time_of("three"))
    assert (gone.lines, gone.removed, gone.kept) == (16, second, ())
    proof = kept.proof()
    assert proof.problem is None
    assert (proof.first, proof.uncovered) == (17, ("one", "two"))
    assert (proof.cut.removed, proof.cut.lines, proof.cut.by) == (second, 16, "alice")
    assert kept.lines[1:17] == before[16:], "what stays is untouched"
    assert kept.path.stat().st_mode & 0o777 == 0o600
    with kept.make("five") as journal:
        kept.anchors["five"] = one_run(journal, intend, "five")
    assert kept.proof().problem is None
    assert kept.prune(kept.time_of("four"), "again").lines == 8
    proof = kept.proof()
    assert proof.problem is None
    assert (proof.first, proof.cut.run) == (25, "again")


def test_the_anchor_of_the_last_removed_line_must_match(kept: Kept) -> None:
    kept.prune(kept.time_of("three"))
    kept.anchors["two"] = Head(kept.anchors["two"].seq, "0" * 64)
    assert "anchors" in str(kept.proof().problem)


def test_nothing_to_prune_writes_nothing(kept: Kept) -> None:
    before = kept.lines
    assert kept.prune(kept.time_of("one")) is None
    assert kept.lines == before


def test_a_prune_of_everything_leaves_only_its_own_lines(kept: Kept) -> None:
    assert kept.prune(FAR).lines == 32
    assert kept.proof().problem is None
    assert [line.type for line in read_lines(str(kept.path))] == ["cut", "run", "prune", "end"]


def test_a_run_that_is_alive_or_in_doubt_stays_whole(kept: Kept, intend) -> None:
    alive = kept.make("alive").begin()
    with kept.make("doubt") as journal:
        journal.intents([intend("x.y")])
    with kept.make("later") as journal:
        one_run(journal, intend, "later")
    gone = removable(str(kept.path), FAR)
    assert gone.removed.seq == alive.seq - 1
    assert gone.kept == ("doubt", "alive")
    assert kept.prune(FAR).lines == 32
    assert kept.proof().problem is None
    assert [intent.uid for intent in in_doubt(str(kept.path))] == ["x.y"]


def test_an_intent_in_doubt_holds_all_that_follows_until_it_is_settled(kept: Kept, intend) -> None:
    with kept.make("doubt") as journal:
        (number,) = journal.intents([intend("x.y")])
    with kept.make("settler") as journal:
        assert removable(str(kept.path), FAR).kept == ("settler", "doubt")
        journal.resolved([Settlement(number, "applied")])
        journal.end({})
    # the outcome belongs to the run of its intent: both are kept or both are removed
    assert removable(str(kept.path), kept.time_of("settler")).kept == ("doubt",)
    assert removable(str(kept.path), FAR).kept == ()


def test_a_run_that_the_day_would_cut_in_two_stays_whole(kept: Kept) -> None:
    times = [datetime.fromisoformat(line.time) for line in read_lines(str(kept.path))]
    gone = removable(str(kept.path), times[20])
    assert (gone.removed, gone.kept) == (kept.anchors["two"], ("three",))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("day", "file_count"), [("two", 3), ("three", 2), ("four", 1)])
def test_rotated_files_are_removed_and_the_one_with_the_cut_is_rewritten(
    make_journal, intend, journal_path, packed, day, file_count
) -> None:
    kept = Kept(Path(journal_path), {}, make_journal)
    for number, run in enumerate(("one", "two", "three", "four"), start=1):
        with make_journal(run) as journal:
            kept.anchors[run] = one_run(journal, intend, run)
        if run != "four":
            old = kept.path.rename(f"{journal_path}-2027090{number}")
            if packed:
                with gzip.open(f"{old}.gz", "wb") as file:
                    file.write(old.read_bytes())
                old.unlink()
    gone = kept.prune(kept.time_of(day))
    assert gone is not None
    assert kept.proof().problem is None
    assert len(files_of(journal_path)) == file_count
    assert sorted(map(str, kept.path.parent.iterdir())) == sorted(
        [*files_of(journal_path), f"{journal_path}.head"]
    )
    assert {line.run for line in read_lines(journal_path)} >= {"four", "pruner"}
    assert next(read_lines(journal_path)).type == "cut"


def test_a_pruned_journal_can_be_rotated_and_pruned_again(kept: Kept, intend, journal_path) -> None:
    kept.prune(kept.time_of("three"))
    kept.path.rename(f"{journal_path}-20270904")
    with kept.make("five") as journal:
        kept.anchors["five"] = one_run(journal, intend, "five")
    assert kept.proof().problem is None
    assert kept.prune(FAR, "again") is not None
    assert kept.proof().problem is None


def test_two_prunes_cannot_run_at_once(kept: Kept, journal_path) -> None:
    with (
        pruning(journal_path),
        pytest.raises(JournalUnusable, match="pruned by another"),
        pruning(journal_path),
    ):
        pass


# ---- tampering with what is left


def test_every_tampering_with_a_pruned_journal_is_found(kept: Kept) -> None:
    kept.prune(kept.time_of("three"))
    original = kept.lines
    kept.path.with_name(f"{kept.path.name}.head").unlink()  # the attacker removed it too
    chance = random.Random(SEED)
    kept.anchors = {run: head for run, head in kept.anchors.items() if run in ("one", "four", "pruner")}
    for number in range(210):
        tampering = TAMPERINGS[number % len(TAMPERINGS)]
        try:
            lines, index = tampering(original, chance)
        except KeyError:  # the cut line lacks this
            continue
        if lines == original:
            lines, index = delete(original, chance)
        kept.path.write_bytes(b"".join(lines))
        assert kept.proof().problem is not None, f"seed {SEED}, {number}: {tampering.__name__} at {index}"
    kept.path.write_bytes(b"".join(original))
    assert kept.proof().problem is None


def forged_cut(original: list[bytes], count: int, **facts: object) -> list[bytes]:
    """A forged cut that removes `count` more lines than the real one, with correct hashes of its own."""
    last = json.loads(original[count])
    old = body(original[0]) | facts
    removed = (
        Head(last["seq"], last["hash"])
        if count
        else Head(*(json.loads(original[0])["removed"][k] for k in ("seq", "hash")))
    )
    old["removed"] = {"seq": removed.seq, "hash": removed.hash}
    return [sealed_in_place(old, removed), *original[1 + count :]]


def test_a_forged_cut_is_found_without_anchors(kept: Kept) -> None:
    """It is found without any anchor: a later line of the chain must name the cut."""
    kept.prune(kept.time_of("three"))
    original, path = kept.lines, str(kept.path)
    assert verify(path).ok
    early = json.loads(original[1])
    for lines in (
        forged_cut(original, 3),
        forged_cut(original, 0, by="mallory"),
        forged_cut(original, 0, lines=1),
        forged_cut(original, 0, told={"seq": early["seq"] - 1, "hash": early["prev"]}),
        forged_cut(original, 0, told={"seq": early["seq"], "hash": early["hash"]}),
        original[1:],
        [original[0], *original],
        [*original[:5], original[0], *original[5:]],
        [original[0], *original[2:]],
        original[:-2],
    ):
        kept.path.write_bytes(b"".join(lines))
        assert not verify(path).ok
    kept.path.write_bytes(b"".join(original))
    assert verify(path).ok


def test_a_cut_line_at_the_end_of_the_journal_is_a_problem(make_journal, journal_path) -> None:
    with make_journal("one") as journal:
        head = journal.end({})
    line = sealed({"type": "cut", "time": "2027-09-01T00:00:00.000Z", "run": "one"}, head)[0]
    with Path(journal_path).open("ab") as file:
        file.write(line)
    assert "where none can be" in str(verify(journal_path).problem)


# ---- kills and others at work

PRUNE = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from piactl.journal import Actor, Journal, RunContext
from piactl.journal.prune import cut_off, pruning, remove_left_behind
from piactl.journal.prune import removable
path, before = sys.argv[1], datetime.fromisoformat(sys.argv[2])
with pruning(path):
    remove_left_behind(path)
    gone = removable(path, before)
    if gone is not None:
        context = RunContext("pruner", ("piactl",), Actor("alice", "", "", "other", "host", 1))
        with Journal(path, now=lambda: datetime.now(UTC), digest=str, secret=(), context=context) as journal:
            cut_off(path, gone, journal, "2027-09-03", "alice", "2027-09-03T00:00:00.000Z", "pruner")
            journal.end({"pruned": gone.lines})
"""
CALLS = "write pwrite64 fsync fdatasync rename unlink".split()


def traced(path: Path, before: datetime, *options: str) -> tuple[int, str]:
    log = path.parent.parent / "strace.log"
    strace = ["strace", "-f", "-qq", "-o", str(log), *options]
    words = [*strace, sys.executable, "-B", "-c", PRUNE, str(path), before.isoformat()]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, log.read_text()


def calls_of(path: Path, before: datetime) -> list[tuple[str, int]]:
    code, log = traced(path, before, "-e", f"trace={','.join(CALLS)}")
    assert code == 0, log
    numbers: Counter[str] = Counter()
    calls = []
    for line in log.splitlines():
        name = line.split(None, 1)[1].partition("(")[0]
        if name in CALLS:
            numbers[name] += 1
            calls.append((name, numbers[name]))
    return calls


def survive_kills(folder: Path, make_journal, intend, rotated: int, some: int | None) -> Counter[str]:
    """kill -9 before system calls of a prune over several files; the cut is in the last or an earlier one.

    The journal is then the old or the new one and goes on, and a second prune finishes the first.
    """
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed: apt install strace")
    first = folder / "first" / "j"
    kept = Kept(first, {}, lambda run: make_journal(run, path=str(first)))
    for number, run in enumerate(("one", "two", "three", "four"), start=1):
        with kept.make(run) as journal:
            kept.anchors[run] = one_run(journal, intend, run)
        if number <= rotated:
            first.rename(f"{first}-2027090{number}")
    oldest, gone = ("four", {"one", "two", "three"}) if rotated == 2 else ("three", {"one", "two"})
    before, first_left = kept.time_of(oldest), max(kept.anchors[run].seq for run in gone) + 1
    shutil.copytree(first.parent, folder / "trial")
    calls = calls_of(folder / "trial" / "j", before)
    print(f"{len(calls)} calls: {calls}")
    assert ("unlink", 2) in calls, "both older files go"
    seen: Counter[str] = Counter()
    for call, number in calls if some is None else random.Random(SEED).sample(calls, some):
        shutil.rmtree(folder / "trial")
        shutil.copytree(first.parent, folder / "trial")
        path = folder / "trial" / "j"
        code, _ = traced(
            path, before, "-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={number}"
        )
        assert code == -signal.SIGKILL, (call, number, code)
        kept.path = path
        proof = kept.proof()
        assert proof.problem is None, (call, number, str(proof.problem))
        state = "old" if proof.first == 1 else "new"
        assert proof.first in (1, first_left)
        assert {run for run in kept.anchors if run in proof.uncovered} == (set() if state == "old" else gone)
        seen[state] += 1
        with make_journal("next", path=str(path)) as journal:
            one_run(journal, intend, "next")
        code, _ = traced(path, before, "-e", "trace=none")
        assert code == 0
        assert kept.proof().problem is None, (call, number)
        assert kept.proof().first == first_left
        remaining = ["j"] if rotated == 2 else ["j", "j-20270903"]
        assert sorted(p.name for p in path.parent.iterdir()) == sorted([*remaining, "j.head"])
        assert {line.run for line in read_lines(str(path))} >= {"four", "next"}
    print(f"seed {SEED}: {seen}")
    return seen


@pytest.mark.parametrize("rotated", [2, 3])
def test_a_prune_killed_at_some_system_calls_is_finished_by_the_next(
    tmp_path: Path, make_journal, intend, rotated: int
) -> None:
    assert survive_kills(tmp_path, make_journal, intend, rotated, 4).total() == 4


@pytest.mark.long
@pytest.mark.parametrize("rotated", [2, 3])
def test_a_prune_killed_at_any_system_call_is_finished_by_the_next(
    tmp_path: Path, make_journal, intend, rotated: int
) -> None:
    seen = survive_kills(tmp_path, make_journal, intend, rotated, None)
    assert seen["old"] >= 8
    assert seen["new"] >= 5


@pytest.mark.parametrize(
    "fault", ["rename:error=EIO:when=1", "write:error=ENOSPC:when=4", "fsync:error=EIO:when=4"]
)
def test_a_disk_that_fails_leaves_the_old_journal(kept: Kept, intend, fault: str) -> None:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed: apt install strace")
    before, lines = kept.time_of("three"), kept.lines
    code, log = traced(kept.path, before, "-e", f"trace={fault.split(':')[0]}", "-e", f"inject={fault}")
    assert code == 1, log
    assert "(INJECTED)" in log
    proof = kept.proof()
    assert (proof.problem, proof.first) == (None, 1)
    assert kept.lines[: len(lines)] == lines
    assert sorted(p.name for p in kept.path.parent.iterdir()) == [kept.path.name, f"{kept.path.name}.head"]
    with kept.make("next") as journal:
        one_run(journal, intend, "next")
    assert kept.prune(before).lines == 16
    assert kept.proof().problem is None


def test_processes_that_write_during_a_prune_lose_nothing(kept: Kept) -> None:
    """Two processes append while the journal is pruned three times: every confirmed line is there."""
    script = Path(__file__).with_name("journal_writer.py")
    writers = [
        subprocess.Popen(
            [sys.executable, str(script), str(kept.path), f"writer{n}", "150", "3"],
            stdout=subprocess.PIPE,
            text=True,
        )
        for n in range(2)
    ]
    outputs = ["", ""]
    readers = [
        threading.Thread(
            target=lambda index=index, w=w: outputs.__setitem__(index, w.communicate(timeout=60)[0])
        )
        for index, w in enumerate(writers)
    ]
    for reader in readers:
        reader.start()
    rounds = 0
    for run in ("two", "three", "four"):
        rounds += kept.prune(kept.time_of(run), f"pruner-{run}") is not None
    for reader in readers:
        reader.join()
    assert rounds == 3
    assert [w.returncode for w in writers] == [0, 0]
    assert kept.proof().problem is None
    logged = {line.seq for line in read_lines(str(kept.path)) if line.type == "intent"}
    synced = {
        int(n)
        for text in outputs
        for line in text.splitlines()
        if line.startswith("synced")
        for n in line.split()[1:]
    }
    assert len(synced) == 300
    assert synced <= logged
