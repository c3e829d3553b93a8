"""The head file `<journal>.head`: the record of the last line, and the locks.

The record lets the chain continue after the journal is rotated away. It has a fixed length and is overwritten
in place: it fits into one sector, needs no new space on a full disk, and its checksum detects damage. It is
written after the journal is synced, so it is never ahead of it.

The locks are taken on the head file, because rotation never touches it: one to append, and one for each run
that is alive. They are open-file-description locks on byte ranges: the kernel drops them when their process
ends, and closing another descriptor of the file does not drop them (as it would with POSIX locks).
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import struct
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from piactl.core.journal_line import GENESIS, Head

SUFFIX = ".head"
_LENGTH = 20 + 1 + 64 + 1 + 20 + 1 + 20 + 1 + 16 + 1


class HeadDamaged(Exception):
    """The head record is damaged."""


@dataclass(frozen=True, slots=True)
class HeadRecord:
    """The last line written, the offset in bytes at which it ends, and the inode of the file it is in."""

    head: Head
    end: int
    inode: int

    def packed(self) -> bytes:
        text = f"{self.head.seq:020d} {self.head.hash} {self.end:020d} {self.inode:020d}"
        return f"{text} {_check(text)}\n".encode("ascii")


def _check(text: str) -> str:
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:16]


def read_head(fd: int) -> HeadRecord | None:
    """The record; None if none was written yet. Raises HeadDamaged."""
    raw = os.pread(fd, _LENGTH, 0)
    if len(raw) < _LENGTH:
        return None
    try:
        text, check = raw.decode("ascii").rstrip("\n").rsplit(" ", 1)
        seq, digest, end, inode = text.split(" ")
        record = HeadRecord(Head(int(seq), digest), int(end), int(inode))
    except ValueError:
        raise HeadDamaged from None
    if record.packed() != raw or check != _check(text) or (record.head.seq == 0 and record.head != GENESIS):
        raise HeadDamaged
    return record


def stored_head(path: str) -> Head:
    """The last line that was synced, according to the head file of the journal at `path`; GENESIS if it has
    no record that can be read."""
    try:
        with _head_file(path) as fd:
            record = read_head(fd)
    except (HeadDamaged, OSError):
        return GENESIS
    return record.head if record else GENESIS


@contextmanager
def _head_file(path: str) -> Iterator[int]:
    """The head file of the journal at `path`, open for reading. Raises OSError."""
    fd = os.open(path + SUFFIX, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def write_head(fd: int, record: HeadRecord) -> None:
    """Overwrites the record and syncs it. Raises OSError."""
    raw = record.packed()
    written = os.pwrite(fd, raw, 0)
    while written < len(raw):
        written += os.pwrite(fd, raw[written:], written)
    os.fdatasync(fd)


_FLOCK = "hhqqi4x"  # struct flock of 64-bit Linux
_APPEND_BYTE = 1 << 32
_TURN_BYTE = _APPEND_BYTE + 1
_RUN_BYTES = 1 << 33
_PAUSE = 0.0005
_LONGEST_PAUSE = 0.05


def _ask(fd: int, command: int, kind: int, start: int) -> int:
    request = struct.pack(_FLOCK, kind, os.SEEK_SET, start, 1, 0)
    answer: int = struct.unpack(_FLOCK, fcntl.fcntl(fd, command, request))[0]
    return answer


def _run_byte(run: str) -> int:
    return _RUN_BYTES + int.from_bytes(hashlib.sha256(run.encode()).digest()[:6], "big")


@contextmanager
def appending(fd: int, patience: float) -> Iterator[None]:
    """Holds the lock to append. Raises TimeoutError after about `patience` seconds, so that one process that
    hangs with the lock does not block all others for ever.

    A waiting process holds the turn lock, so that a process that appends without a pause cannot keep it out.
    """
    patience -= _wait_for(fd, _TURN_BYTE, patience)
    try:
        _wait_for(fd, _APPEND_BYTE, patience)
    finally:
        _ask(fd, fcntl.F_OFD_SETLK, fcntl.F_UNLCK, _TURN_BYTE)
    try:
        yield
    finally:
        _ask(fd, fcntl.F_OFD_SETLK, fcntl.F_UNLCK, _APPEND_BYTE)


def _wait_for(fd: int, byte: int, patience: float) -> float:
    """Locks a byte; returns the seconds that this took. Raises TimeoutError."""
    waited, pause = 0.0, _PAUSE
    while not _taken(fd, byte):
        if waited >= patience:
            raise TimeoutError(errno.ETIMEDOUT, "another process does not let go of it")
        time.sleep(pause)
        waited, pause = waited + pause, min(pause * 1.5, _LONGEST_PAUSE)
    return waited


def _taken(fd: int, byte: int) -> bool:
    try:
        _ask(fd, fcntl.F_OFD_SETLK, fcntl.F_WRLCK, byte)
    except OSError as refused:
        if refused.errno not in (errno.EAGAIN, errno.EACCES):
            raise
        return False
    return True


def say_alive(fd: int, run: str) -> bool:
    """Marks `run` as alive until `fd` is closed or the process ends; False if another process did so."""
    return _taken(fd, _run_byte(run))


def is_alive(fd: int, run: str) -> bool:
    """Whether `run` is alive on this host, through a descriptor other than `fd`."""
    return _ask(fd, fcntl.F_OFD_GETLK, fcntl.F_WRLCK, _run_byte(run)) != fcntl.F_UNLCK


def alive_runs(path: str, runs: Collection[str]) -> set[str]:
    """The `runs` that are alive on this host, for the journal at `path`. Raises OSError."""
    if not runs:
        return set()
    try:
        with _head_file(path) as fd:
            return {run for run in runs if is_alive(fd, run)}
    except FileNotFoundError:
        return set()
