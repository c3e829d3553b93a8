"""No change without a journal line. Whichever write of the journal fails or kills the run: everything that
was reported as on the disk is there afterwards, nothing succeeds after a failure, and the chain goes on."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from piactl.errors import JournalUnusable
from piactl.journal import Settlement, in_doubt, read_lines, verify
from piactl.journal import append_file as locks

from .journals import digest, intend, journal_path, make_journal

__all__ = ["digest", "intend", "journal_path", "make_journal"]  # fixtures

WRITER = Path(__file__).with_name("journal_writer.py")
ENV = {"PYTHONPATH": str(Path(__file__).parents[2]), "PATH": os.environ["PATH"]}
SEED = 20270901
CALLS = ("write", "pwrite64", "fsync", "fdatasync", "openat", "fchmod")


def lines(path: str) -> list[dict]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def numbers_of(output: str, word: str) -> set[int]:
    """The numbers that a writer reported as synced or settled, without a line cut by its death."""
    complete_lines = output[: output.rfind("\n") + 1].splitlines()
    return {int(n) for line in complete_lines if line.startswith(word + " ") for n in line.split()[1:]}


def goes_on(make_journal, path: str, run: str, synced: set[int], settled: set[int]) -> None:
    """Opens the journal in the next run: the chain is whole, confirmed intents are there, others in doubt."""
    with make_journal(run, path) as journal:
        doubts = {intent.seq for intent in in_doubt(path)}
        known = list(read_lines(path))
        logged = {line.seq for line in known if line.type == "intent"}
        resolved = {line.fields["intent"] for line in known if line.type in ("outcome", "resolved")}
        assert synced <= logged, f"synced, then lost: {synced - logged}"
        assert settled <= resolved, f"settled, then lost: {settled - resolved}"
        assert doubts == logged - resolved
        journal.resolved([Settlement(number, "failed", "not applied") for number in sorted(doubts)])
        journal.end({})
    proof = verify(path)
    assert (proof.problem, proof.torn) == (None, 0)
    assert in_doubt(path) == []


def refused(call, *arguments) -> str:
    with pytest.raises(JournalUnusable) as refusal:
        call(*arguments)
    message = str(refusal.value)
    assert 2 <= len(message.splitlines()) <= 3, f"what, where, what next: {message!r}"
    return message


# --- failing system calls ----------------------------------------------------------------------------------


def traced(path: str, inject: str) -> subprocess.CompletedProcess[str]:
    """Runs a writer of three batches under strace, which strikes at one call on the journal's files."""
    command = ["strace", "-qq", "-o", os.devnull, "-P", path, "-P", path + ".head"]
    command += ["-P", str(Path(path).parent), "-e", f"trace={','.join(CALLS)}", "-e", inject]
    if ":error=" in inject:  # cheaper, but it sends no signal
        command += ["-f", "--seccomp-bpf"]
    return subprocess.run(
        [*command, sys.executable, WRITER, path, "traced", "6", "2"],
        env=ENV,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def at_calls(make_journal, path: str, fault: str, code: int, words: str = "", step: int = 1) -> None:
    """Strikes every `step`th call of each kind in turn until a run gets through; after a fault the next run
    goes on."""
    fired = dict.fromkeys(CALLS, 0)
    for name in CALLS:
        for number in range(1, 100, step):
            shutil.rmtree(Path(path).parent, ignore_errors=True)
            ended = traced(path, f"inject={name}:{fault}:when={number}")
            if ended.returncode == 0:
                break
            place = f"{fault} at {name} {number}"
            assert ended.returncode == code, f"{place}: {ended.stderr}"
            assert words in ended.stderr, place
            synced, settled = numbers_of(ended.stdout, "synced"), numbers_of(ended.stdout, "settled")
            goes_on(make_journal, path, f"{name}-{number}", synced, settled)
            fired[name] = number
    print(f"{fault}: {fired}")
    fewest = min(fired[name] for name in ("write", "pwrite64", "fsync", "fdatasync"))
    assert fewest + step > 8, "it did not fire"


needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="strace injects the failures")


steps = pytest.mark.parametrize("step", [4, pytest.param(1, marks=pytest.mark.long)])
"""Each batch makes the same calls, so a few of them are struck, and all of them in the long run."""


@needs_strace
@pytest.mark.long
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("EIO", "Input/output error"),
        ("ENOSPC", "Free space"),
        ("EROFS", "writable"),
        ("EDQUOT", "quota"),
        ("EFBIG", "ulimit"),
    ],
)
def test_every_kind_of_failure_stops_the_run(make_journal, journal_path, fault, words):
    at_calls(make_journal, journal_path, f"error={fault}", 3, words)


@needs_strace
@steps
def test_a_run_killed_at_any_system_call_leaves_a_whole_journal(make_journal, journal_path, step):
    at_calls(make_journal, journal_path, "signal=KILL", -signal.SIGKILL, step=step)


@needs_strace
def test_an_intent_is_on_the_disk_before_anybody_knows(journal_path, tmp_path):
    """The order of system calls is: line, its sync, head, its sync, and only then the answer."""
    log = tmp_path / "calls"
    trace = ["strace", "-qq", "-y", "-s", "6", "-o", log, "-e", f"trace={','.join(CALLS)}"]
    subprocess.run(
        [*trace, sys.executable, WRITER, journal_path, "traced", "3"],
        env=ENV,
        capture_output=True,
        timeout=60,
        check=True,
    )
    order = []
    for line in log.read_text().splitlines():
        name, _, rest = line.partition("(")
        if rest.startswith("1<"):
            order += [word for word in ("begun", "synced", "settle") if f'"{word}' in rest]
        elif f"{journal_path}>" in rest.split(",")[0] + rest.split(")")[0]:
            order.append(f"{name} line")
        elif f"{journal_path}.head>" in rest.split(",")[0] + rest.split(")")[0]:
            order.append(f"{name} head")
    synced = ["write line", "fsync line", "pwrite64 head", "fdatasync head"]
    each = [*synced, "synced", *synced, "settle"]
    told_so = order[order.index("begun") + 1 :]
    assert told_so[: 3 * len(each)] == each * 3


# --- limits, full and read-only file systems ---------------------------------------------------------------


WHOLE = 1 << 20


@pytest.fixture
def in_memory() -> Iterator[Path]:
    """A folder where syncing costs nothing; a limit on file size works the same everywhere."""
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="piactl-journal-", dir=place) as folder:
        yield Path(folder)


def limited(folder: Path, first: int, last: int) -> None:
    """Runs writers whose files may not exceed a number of bytes: a write is cut there, the next fails."""
    command = [sys.executable, WRITER, "limits", folder, str(first), str(last)]
    subprocess.run(command, env=ENV, capture_output=True, text=True, timeout=300, check=True)


def cut_short_at(make_journal, folder: Path, first: int, last: int) -> None:
    limited(folder, first, last)
    for limit in range(first, last + 1):
        place = folder / str(limit)
        output = (place / "said").read_text()
        assert (place / "code").read_text() == "3", f"limit {limit}: {output}"
        assert "File too large" in output
        goes_on(
            make_journal,
            str(place / "log" / "j"),
            "after",
            numbers_of(output, "synced"),
            numbers_of(output, "settled"),
        )
        shutil.rmtree(place)


def whole_size(folder: Path) -> int:
    limited(folder, WHOLE, WHOLE)
    assert (folder / str(WHOLE) / "code").read_text() == "0"
    return (folder / str(WHOLE) / "log" / "j").stat().st_size


@pytest.mark.long
def test_writes_cut_short_at_every_byte_lose_nothing_confirmed(make_journal, in_memory):
    size = whole_size(in_memory)
    print(f"every limit from 0 to {size - 1} bytes")
    cut_short_at(make_journal, in_memory, 0, size - 1)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 128 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=128k", "none", folder],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_read_only_file_system_is_refused_with_advice(make_journal, intend, small_disk):
    path = str(small_disk / "log" / "j")
    with make_journal("before", path) as journal:
        journal.end({})
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    for place in (path, str(small_disk / "other" / "j")):
        message = refused(make_journal("never", place).begin)
        assert "Read-only file system" in message
        assert "Mount its file system writable" in message
    assert verify(path).ok


# --- wrong files -------------------------------------------------------------------------------------------


def test_links_pipes_folders_and_files_writable_by_others_are_refused(make_journal, tmp_path):
    real = tmp_path / "real"
    real.touch(0o600)
    (tmp_path / "link").symlink_to(real)
    (tmp_path / "device").symlink_to("/dev/full")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe", 0o600)
    (tmp_path / "shared").touch()
    (tmp_path / "shared").chmod(0o622)
    expected = {
        "link": "symbolic link",
        "device": "symbolic link",
        "folder": "is a folder",
        "pipe": "not a regular file",
        "shared": "can be written by others",
        "real/below": "Not a directory",
    }
    for name, words in expected.items():
        assert words in refused(make_journal(name, str(tmp_path / name)).begin), name
    if os.geteuid() == 0:  # /dev has no head for others
        assert "not a regular file" in refused(make_journal("full", "/dev/full").begin)
    assert real.read_bytes() == b""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_somebody_else_is_refused(make_journal, journal_path):
    make_journal("mine").begin()
    os.chown(journal_path, 65534, 65534)
    assert "belongs to another user (uid 65534)" in refused(make_journal("other").begin)


def test_a_process_that_hangs_with_the_lock_does_not_hang_the_others(make_journal, journal_path):
    make_journal("first").begin()
    fd = os.open(journal_path + ".head", os.O_RDWR)
    try:
        with locks.appending(fd, 1.0):
            assert "fuser" in refused(make_journal("second", patience=0.2).begin)
    finally:
        os.close(fd)
    make_journal("third", patience=0.2).begin()


def test_a_head_file_replaced_under_a_run_stops_it(make_journal, journal_path):
    journal = make_journal()
    journal.begin()
    Path(journal_path + ".head").unlink()
    make_journal("other").begin()
    assert "was replaced" in refused(journal.note, "x")
    assert verify(journal_path).ok


# --- torn tails --------------------------------------------------------------------------------------------


@pytest.fixture
def torn(make_journal, intend, journal_path):
    """Makes the file what a crash leaves: a part of the last append, and the head record from before it."""
    with make_journal("whole") as journal:
        journal.intents([intend("a.b")])
        head = Path(journal_path + ".head").read_bytes()
        start = Path(journal_path).stat().st_size
        journal.intents([intend("c.d"), intend("e.f")])
    text = Path(journal_path).read_bytes()

    def tear(length: int, *, hole: bool = False) -> bytes:
        piece = text[start : start + length]
        if hole:
            piece = b"\0" * length + text[start + length :]
        Path(journal_path).write_bytes(text[:start] + piece)
        Path(journal_path + ".head").write_bytes(head)
        return piece

    tear.whole = len(text) - start  # type: ignore[attr-defined]
    return tear


def test_a_tail_torn_at_any_byte_is_repaired_and_recorded(make_journal, journal_path, torn):
    places = range(0, torn.whole + 1, 3)
    for length in places:
        piece = torn(length)
        intact = piece[: piece.rfind(b"\n") + 1]
        with make_journal(f"next-{length}"):
            pass
        repairs = [line for line in lines(journal_path) if line["type"] == "repair"]
        lost = piece[len(intact) :]
        expected = [(len(lost), hashlib.sha256(lost).hexdigest())] if lost else []
        assert [(r["length"], r["sha256"]) for r in repairs] == expected, length
        assert len(in_doubt(journal_path)) == 1 + intact.count(b"\n")
        proof = verify(journal_path)
        assert (proof.problem, proof.torn) == (None, 0), length


def test_a_hole_left_by_a_power_cut_is_repaired(make_journal, journal_path, torn):
    piece = torn(100, hole=True)
    with make_journal("next"):
        pass
    (repair,) = [line for line in lines(journal_path) if line["type"] == "repair"]
    assert (repair["length"], repair["sha256"]) == (len(piece), hashlib.sha256(piece).hexdigest())
    assert verify(journal_path).ok


def test_verify_says_that_a_tail_is_torn_without_calling_it_tampering(make_journal, journal_path, torn):
    torn(50)
    proof = verify(journal_path)
    assert (proof.problem, proof.torn, proof.lines) == (None, 50, 2)


def test_a_lost_or_damaged_head_file_is_made_anew_and_noted(make_journal, journal_path, torn):
    for damage in (None, b"", b"x" * 152, b"0" * 40):
        torn(60)
        head = Path(journal_path + ".head")
        if damage is None:
            head.unlink()
        else:
            head.write_bytes(damage)
        with make_journal("next"):
            pass
        types = [line["type"] for line in lines(journal_path)]
        assert types == ["run", "intent", "repair", "note", "run"]
        assert verify(journal_path).ok


def test_a_crash_at_the_first_line_after_rotation_does_not_break_the_chain(
    make_journal, intend, journal_path, torn
):
    with make_journal("before") as journal:
        head = journal.end({})
    record = Path(journal_path + ".head").read_bytes()
    Path(journal_path).rename(journal_path + ".1")
    with make_journal("rotated"):
        pass
    text = Path(journal_path).read_bytes()
    for length in (1, 80, text.index(b"\n"), text.index(b"\n") + 1, len(text) - 1, len(text)):
        Path(journal_path).write_bytes(text[:length])
        Path(journal_path + ".head").write_bytes(record)
        with make_journal(f"again-{length}"):
            pass
        journal_lines = lines(journal_path)
        assert journal_lines[0]["after"] == {"seq": head.seq, "hash": head.hash}
        assert verify(journal_path, {"before": head}).problem is None


# --- killed at random --------------------------------------------------------------------------------------


def kill_writers(make_journal, path: str, rounds: int) -> None:
    """Runs two writers at once on one journal and kills both at random moments, `rounds` times."""
    chance = random.Random(SEED)
    synced: set[int] = set()
    settled: set[int] = set()
    for number in range(rounds):
        writers = [
            subprocess.Popen(
                [sys.executable, WRITER, path, f"{side}-{number}", "0", str(chance.choice((1, 3, 40)))],
                env=ENV,
                stdout=subprocess.PIPE,
                text=True,
            )
            for side in ("left", "right")
        ]
        for writer in writers:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "begun\n"
            threading.Timer(chance.uniform(0, 0.15), writer.kill).start()
        for writer in writers:
            output, _ = writer.communicate(timeout=60)
            assert writer.returncode == -signal.SIGKILL
            synced |= numbers_of(output, "synced")
            settled |= numbers_of(output, "settled")
        goes_on(make_journal, path, f"after-{number}", synced, settled)
    torn = sum(1 for line in read_lines(path) if line.type == "repair")
    resolved = sum(1 for line in read_lines(path) if line.type == "resolved")
    print(
        f"seed {SEED}: {2 * rounds} kills, {len(synced)} intents kept, {resolved} in doubt, {torn} torn tails"
    )
    assert len(synced) >= rounds
    assert resolved > 0, "no kill came between an intent and its outcome: nothing was shown"


def test_writers_killed_at_random_lose_nothing_confirmed(make_journal, journal_path):
    kill_writers(make_journal, journal_path, 3)


@pytest.mark.long
def test_writers_killed_often_at_random_lose_nothing_confirmed(make_journal, journal_path):
    kill_writers(make_journal, journal_path, 60)
