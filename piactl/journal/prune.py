"""Removes the oldest lines of the journal: whole runs that nothing needs any more.

The remaining file begins with a `cut` line. It names the number and hash of the last removed line, so that
the chain stays verifiable. It also names a `prune` line later in the chain, which was written before the
removal and has the same facts. A crash leaves the old journal or the new one: a rename replaces the file,
and rotated files before a cut are ignored.
"""

from __future__ import annotations

import gzip
import math
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from piactl.core.journal_line import CUT, Head, parsed, sealed_in_place
from piactl.dataclass import dataclass
from piactl.errors import JournalUnusable
from piactl.journal import heads as locks
from piactl.journal.append_file import open_private, same_file, sync_folder
from piactl.journal.errors import chain_broken, refused_by_system
from piactl.journal.heads import SUFFIX, HeadRecord, alive_runs, read_head, write_head
from piactl.journal.query_and_export import read_lines, text_of
from piactl.journal.rotated_files import files_of, left_behind, opened
from piactl.journal.writer import Journal


@dataclass(frozen=True, slots=True)
class Removable:
    """The lines that can be removed: `lines` of them, the oldest written at `since`, up to `removed`.

    `kept` are the runs that keep lines written before the day: in progress, in doubt, or still open that day.
    """

    removed: Head
    lines: int
    since: str
    kept: tuple[str, ...]


@dataclass(slots=True)
class _Extent:
    """The lines of one run: the number of the first, the hash before it, and the number of the last."""

    first: int
    after: str
    last: float


def removable(path: str, before: datetime) -> Removable | None:
    """The oldest lines, written before that instant, that no later line needs; None if there are none.

    Only whole runs are removed. A run that is alive, or has an intent without an outcome, stays with
    everything after its first line. Raises JournalUnusable.
    """
    limit = text_of(before)
    runs: dict[str, _Extent] = {}
    intents: dict[int, str] = {}  # still open: number, run
    bound: tuple[int, str] | None = None
    first, since, end = 0, "", (1, "")
    for line in read_lines(path):
        if line.type == CUT:
            continue
        if not first:
            first, since = line.seq, line.time
        if bound is None and line.time >= limit:
            bound = line.seq, line.prev
        runs.setdefault(line.run, _Extent(line.seq, line.prev, 0)).last = line.seq
        if line.type == "intent":
            intents[line.seq] = line.run
        elif line.type in ("outcome", "resolved"):
            # the outcome of an intent belongs to its run, no matter which run wrote it
            run = intents.pop(line.fields["intent"], "")
            if run in runs:
                runs[run].last = line.seq
        end = line.seq + 1, line.hash
    bound = bound or end
    for run in {*intents.values(), *alive_runs(path, runs)}:
        runs[run].last = math.inf
    place, kept_runs = _moved_back(bound, runs)
    if not first or place[0] <= first:
        return None
    return Removable(Head(place[0] - 1, place[1]), place[0] - first, since, kept_runs)


def _moved_back(bound: tuple[int, str], runs: dict[str, _Extent]) -> tuple[tuple[int, str], tuple[str, ...]]:
    """The cut, moved before each run that it would split, and these runs."""
    kept_runs = []
    for run, extent in sorted(runs.items(), key=lambda pair: pair[1].first, reverse=True):
        if extent.first < bound[0] <= extent.last:
            bound = extent.first, extent.after
            kept_runs.append(run)
    return bound, tuple(kept_runs)


_PRUNE = "prune"
_PATIENCE = 30.0
_PIECE = 1 << 20


@contextmanager
def pruning(path: str) -> Iterator[None]:
    """The lock of a prune: one process at a time. Raises JournalUnusable if another has it."""
    with _head_file(path) as fd:
        if not locks.say_alive(fd, _PRUNE):
            raise JournalUnusable(f"{path}: is being pruned by another process.\nWait for its end.")
        yield


@contextmanager
def _head_file(path: str) -> Iterator[int]:
    fd = open_private(path + SUFFIX, os.O_RDWR)
    try:
        yield fd
    finally:
        os.close(fd)


def cut_off(
    path: str, removable_lines: Removable, journal: Journal, before: str, by: str, now: str, run: str
) -> None:
    """Removes the lines that `removable` found. Call it under `pruning`, with an open `journal`: a `prune`
    line is written there first.

    Raises JournalUnusable; the journal is then unchanged except for the `prune` line.
    """
    facts: dict[str, Any] = {
        "removed": removable_lines.removed._asdict(),
        "lines": removable_lines.lines,
        "before": before,
        "by": by,
    }
    announced = journal.prune(facts)
    body = {**facts, "type": CUT, "time": now, "run": run, "told": announced._asdict()}
    opening = sealed_in_place(body, removable_lines.removed)
    try:
        _rewrite(
            path, _file_with(path, removable_lines.removed.seq + 1), removable_lines.removed.seq + 1, opening
        )
        remove_left_behind(path)
    except OSError as refused:
        raise refused_by_system(path, refused) from None


def remove_left_behind(path: str) -> int:
    """Removes rotated files and copies that an interrupted prune left; returns their number. Raises
    OSError."""
    folder = Path(path).parent
    gone = [*map(Path, left_behind(path)), *folder.glob(f".{Path(path).name}.cut-*")]
    for file in gone:
        file.unlink()
    if gone:
        sync_folder(folder)
    return len(gone)


def _file_with(path: str, seq: int) -> str:
    """The file with the line of that number, or the first file after it."""
    file_path = path
    for name in reversed(files_of(path)):
        file_path = name
        with opened(name) as file:
            first = file.readline()
        if first and parsed(first).seq <= seq:
            break
    return file_path


def _rewrite(path: str, name: str, seq: int, opening: bytes) -> None:
    """Replaces the file `name` of the journal `path` with a file of `opening` and its lines from number `seq`
    on."""
    temporary = Path(path).parent / f".{Path(path).name}.cut-{secrets.token_hex(8)}"
    packed = name.endswith(".gz")
    try:
        with opened(name) as source, _created(temporary, Path(name)) as target:
            offset = _offset(name, source, seq)
            source.seek(offset)
            if packed:
                with gzip.GzipFile("", "wb", fileobj=target) as packing:
                    packing.write(opening)
                    shutil.copyfileobj(source, packing, _PIECE)
            else:
                target.write(opening)
                shutil.copyfileobj(source, target, _PIECE)
            _sync(target)  # most of it before the lock, under which others wait
            with _head_file(path) as head_fd, locks.appending(head_fd, _PATIENCE):
                if not packed:
                    shutil.copyfileobj(source, target, _PIECE)  # what was appended meanwhile
                    _sync(target)
                _put_in_place(path, name, source.fileno(), temporary, len(opening) - offset, head_fd)
    finally:
        temporary.unlink(missing_ok=True)


def _put_in_place(path: str, name: str, old: int, temporary: Path, moved: int, head_fd: int) -> None:
    """Replaces the file and updates the head file: the journal now ends `moved` bytes later."""
    if not same_file(old, name):
        raise JournalUnusable(
            f"{name}: was rotated while it was being pruned; it is as it was.\nPrune again."
        )
    record = read_head(head_fd)
    temporary.replace(name)
    sync_folder(Path(path).parent)
    if name == path and record is not None:
        write_head(head_fd, HeadRecord(record.head, record.end + moved, Path(name).stat().st_ino))


def _offset(name: str, source: IO[bytes], seq: int) -> int:
    """The offset of the line with that number. Raises JournalUnusable."""
    offset = 0
    for raw in source:
        line = parsed(raw)
        if line.type != CUT and line.seq >= seq:
            return offset
        offset += len(raw)
    raise chain_broken(name, f"line {seq} is not in it any more")


@contextmanager
def _created(temporary: Path, like: Path) -> Iterator[IO[bytes]]:
    """A new file for writing, with the owner and the mode of another."""
    status = like.stat()
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        os.fchmod(fd, status.st_mode & 0o700)
        made = os.fstat(fd)
        if (status.st_uid, status.st_gid) != (made.st_uid, made.st_gid):
            os.fchown(fd, status.st_uid, status.st_gid)
        yield file


def _sync(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())
