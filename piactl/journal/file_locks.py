"""Locks on the head file: one for appending, and one per run that says that the run is alive.

They are open-file-description locks on byte ranges: the kernel drops them when their process dies, however
it dies, and closing another descriptor of the same file does not (as it would with POSIX locks).
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager

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
    """Holds the right to append. TimeoutError after some `patience` seconds: a process that hangs while it
    holds the lock must not hang all others for ever.

    Whoever waits keeps the turn, so that one that appends without a pause cannot keep all others out.
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
    """Takes the lock on a byte and returns how long that took, some seconds. Raises TimeoutError."""
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
    """Marks `run` as alive until `fd` is closed or the process ends; False where another already is it."""
    return _taken(fd, _run_byte(run))


def is_alive(fd: int, run: str) -> bool:
    """Whether a process of this host, other than through `fd`, is `run` now."""
    return _ask(fd, fcntl.F_OFD_GETLK, fcntl.F_WRLCK, _run_byte(run)) != fcntl.F_UNLCK
