"""No journal, no change: wherever the journal fails, every write that was made has its intent in it."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.outside import ACCOUNTS, STATE

from .moments import need_strace
from .survival import check_half, check_survived, story
from .world import NEXT, Ended, World


def check_nothing_written(
    world: World, before: frozenset[tuple[str, bytes]], ended: Ended, *words: str
) -> None:
    """Checks that no entry changed, nobody holds the lock, and the message says so and what to do."""
    assert ended.code == 1, (ended.code, ended.said)
    assert "no change is made" in ended.said.lower(), ended.said
    for word in words:
        assert word in ended.said, ended.said
    assert len(ended.said.strip().splitlines()) <= 3, ended.said
    assert world.stamps() == before
    assert world.lock() is None


def test_no_change_is_made_if_the_journal_folder_cannot_be_made(world: World) -> None:
    """It is below a regular file, where not even root can write."""
    before = world.stamps()
    config = world.configure("nofolder.yaml", journal="policy.yaml/journal/piactl.jsonl")
    ended = world.run(world.night(config=config))
    check_nothing_written(world, before, ended, "the journal cannot be used", "policy.yaml/journal")


def _edited(path: Path) -> None:
    """Changes one letter of the last line."""
    raw = path.read_bytes()
    path.write_bytes(raw[:-200] + bytes([raw[-200] ^ 1]) + raw[-199:])


def _cut(path: Path) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-2]))


def _moved(path: Path) -> None:
    *first, penultimate, last = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*first, last, penultimate]))


def _strange(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b'{"seq":1}\n')


@pytest.mark.parametrize("harm", [_edited, _cut, _moved, _strange], ids=lambda harm: harm.__name__[1:])
def test_no_change_is_made_if_the_chain_of_the_journal_is_broken(
    world: World, harm: Callable[[Path], None]
) -> None:
    harm(world.journal)
    before, journal = world.stamps(), world.journal.read_bytes()
    ended = world.run(world.night())
    # the directory has the number of the last line: a journal without it may also be an old copy
    cut = ("the journal of this host is not whole", "Restore it from a copy")
    words = ("the chain of the journal is broken", "journal verify")
    check_nothing_written(world, before, ended, *(cut if harm is _cut else words))
    assert world.journal.read_bytes() == journal


@pytest.fixture
def full_disk(world: World, tmp_path: Path) -> Iterator[Path]:
    """A separate file system with the journal, which was just rotated, and 288 KB of room."""
    files = (world.journal, Path(f"{world.journal}.head"))
    size = sum(-(-file.stat().st_size // 4096) * 4 for file in files) + 288
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", str(tmp_path)], check=False
    )
    if done.returncode:
        pytest.skip("mounting a tmpfs needs root")
    shutil.copy2(files[0], tmp_path / f"{files[0].name}.1")
    shutil.copy2(files[1], tmp_path)
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


def fill(path: Path) -> None:
    """Fills the file system."""
    with path.open("wb", buffering=0) as ballast, pytest.raises(OSError, match="No space"):
        ballast.writelines(itertools.repeat(b"x" * 4096))


def test_no_change_is_made_if_the_disk_is_full_from_the_start(world: World, full_disk: Path) -> None:
    fill(full_disk / "ballast")
    before = world.stamps()
    config = world.configure("full.yaml", journal=str(full_disk / "piactl.jsonl"))
    ended = world.run(world.night(config=config))
    check_nothing_written(world, before, ended, "No space left on device", "Free space on its file system")


def test_every_write_is_journalled_if_the_disk_fills_up_in_mid_run(world: World, full_disk: Path) -> None:
    journal = full_disk / "piactl.jsonl"
    config = world.configure("filling.yaml", journal=str(journal))
    before = world.stamps(f"ou=sources,{STATE}")
    ended = world.run(world.night(config=config))
    assert ended.code == 1, ended.said
    assert "No space left on device" in ended.said
    done = check_half(world)
    print(f"the disk was full after {len(done)} of {len(world.changed)} writes")
    assert 0 < len(done) < len(world.changed)
    assert world.stamps(f"ou=sources,{STATE}") == before
    # everything that was written is in the journal
    text = journal.read_text()
    assert all(f'"dn":"{name}"' in text for name in done)


def limited(world: World, room: int) -> Ended:
    """Applies the plan of a night in a process whose files cannot get longer than the journal is now plus
    `room` bytes. The plan, which is longer than that, was written before."""
    own = world.folder / "own.json"
    made = world.run(world.command("plan", "--as-of", str(NEXT), *world.feeds, "--out", str(own)))
    assert made.code == 0, made.said
    plan = world.folder / "state" / "plans" / f"{json.loads(own.read_bytes())['fingerprint'][:16]}.json"
    plan.parent.mkdir(mode=0o700, exist_ok=True)
    own.rename(plan)
    size = world.journal.stat().st_size + room

    # after piactl's own look at its limits, as a full quota comes
    limit = f"""
import resource
import piactl.cli.main as entry
entry.take_limits = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, resource.RLIM_INFINITY))
"""
    return world.run(world.command("apply", str(plan), prelude=limit))


@pytest.mark.parametrize(
    "room",
    [0, 250_000, *(pytest.param(room, marks=pytest.mark.long) for room in (40, 90_000, 330_000, 420_000))],
)
def test_every_write_is_journalled_if_the_file_size_is_limited(world: World, room: int) -> None:
    before = world.stamps(ACCOUNTS)
    ended = limited(world, room)
    assert ended.code == 1, (ended.code, ended.said)
    assert "File too large" in ended.said
    assert "ulimit -f" in ended.said
    done = check_half(world)
    print(f"room for {room} bytes: {len(done)} of {len(world.changed)} made")
    if room < 100:
        assert world.stamps(ACCOUNTS) == before
    assert world.lock() is None, "the lock was not given back"
    # everything that was made has an intent on the disk; the next run repairs the torn end and goes on
    assert done <= {name for _, name in story(world).names.values()} or room < 100
    failed = [record for record in world.runs().values() if record["status"] == "failed"]
    assert len(failed) == (room > 100)
    assert all("File too large" in record["note"] for record in failed)
    check_survived(world)


@pytest.mark.long
@pytest.mark.parametrize("call", ["write", "fsync", "pwrite64", "fdatasync"])
def test_every_write_is_journalled_whichever_call_on_the_journal_fails(world: World, call: str) -> None:
    """ENOSPC or EIO strikes at each system call of that name on the journal and its head file."""
    need_strace(of_paths=True)
    error = "ENOSPC" if call in ("write", "pwrite64") else "EIO"
    fired = 0
    for number in range(1, 40):
        world.reset()
        log = world.folder / "strace.log"
        paths = ["-P", str(world.journal), "-P", f"{world.journal}.head"]
        fault = ["-e", f"trace={call}", "-e", f"inject={call}:error={error}:when={number}"]
        before = world.stamps(ACCOUNTS)
        ended = world.run(["strace", "-qq", "-o", str(log), *paths, *fault, *world.night()])
        if "INJECTED" not in log.read_text():
            assert ended.code == 0, ended.said
            break
        fired += 1
        assert ended.code == 1, (call, number, ended.code, ended.said)
        assert "journal cannot be used" in ended.said
        done = check_half(world)
        assert done <= {name for _, name in story(world).names.values()}
        assert done or world.stamps(ACCOUNTS) == before
        check_survived(world)
    print(f"{call}: {error} at each of {fired} calls")
    assert fired >= 8
