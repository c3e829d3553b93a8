"""The head file `<journal>.head`: where the chain ends, so that it goes on when the journal was rotated away.

One record of fixed length, overwritten in place: it lies within one sector, needs no new space on a full
disk, and its check tells damage. It is written after the journal was synced, so it is never ahead of it.
It is also what the locks are taken on, because rotation never touches it.
"""

from __future__ import annotations

import hashlib
import os
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
    """The record, None where none was ever written whole. Raises HeadDamaged."""
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


def write_head(fd: int, record: HeadRecord) -> None:
    """Overwrites the record and syncs it. Raises OSError."""
    raw = record.packed()
    written = os.pwrite(fd, raw, 0)
    while written < len(raw):
        written += os.pwrite(fd, raw[written:], written)
    os.fdatasync(fd)
