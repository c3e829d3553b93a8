"""The file of the journal: lines are appended under a lock and synced; the chain continues where it ended.

`<journal>.head` beside it holds the record of the last line, and the locks. The record lets the chain go on
after the journal was rotated away. It has a fixed length and is overwritten in place: it fits into one
sector, needs no space on a full disk, and a checksum detects damage. It is written after the journal is
synced, so the lines after the recorded one were never acknowledged: after a crash only these are checked,
however large the file is. Whole lines are kept, a torn one is removed, everything else is refused.

The locks are open-file-description locks on bytes of the head file, which rotation never touches: one to
append, and one for each run that is alive. The kernel drops them when their process ends.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import stat
import struct
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from piactl.core.journal_line import (
    GENESIS,
    MAX_LINE,
    BrokenLine,
    Head,
    JournalLine,
    ended,
    gap,
    opens_file,
    proved,
    sealed,
)
from piactl.errors import JournalUnusable
from piactl.host.caller import user_name
from piactl.host.private_files import sync_folder
from piactl.journal.files import SUFFIX, lines_backwards, lines_in, proved_from_end, read_between
from piactl.journal.unusable import chain_broken, no_file, refused_by_system
from piactl.phrase import Phrase

Body = Mapping[str, object]

_ROOM = 1 << 16
"""More bytes than the lines of a command that acts on one account."""


def require_room(path: str) -> None:
    """Raises JournalUnusable if the lines of a command on one account would not fit on the disk now."""
    try:
        make_folder(Path(path).parent)
        with tempfile.TemporaryFile(dir=Path(path).parent) as file:
            file.write(os.urandom(_ROOM))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise refused_by_system(path, error) from None


class ChainFile:
    """The journal at `path`, open in one process; `stamp` gives the time and the run of each line."""

    def __init__(self, path: str, stamp: Callable[[], Body], *, patience: float = 30.0) -> None:
        self.path = path
        self._stamp = stamp
        self._patience = patience
        self._fd = self._head_fd = -1
        self._known = HeadRecord(GENESIS, 0, 0)

    @property
    def head(self) -> Head:
        """The last line that this process wrote or saw."""
        return self._known.head

    def hold(self, run: str) -> None:
        """Opens the files and marks `run` as alive. Raises OSError, JournalUnusable."""
        make_folder(Path(self.path).parent)
        self._head_fd = open_private(self.path + SUFFIX, os.O_RDWR)
        if not _taken(self._head_fd, _run_byte(run)):
            raise JournalUnusable(
                Phrase(
                    "{path}: run {run} is already under way in another process.\nWait for its end.",
                    path=self.path,
                    run=run,
                )
            )

    def append(self, bodies: Sequence[Body]) -> list[Head]:
        """Writes one line per body, in one write, and syncs; without bodies, only takes up what others
        appended. Raises OSError, JournalUnusable.

        After an error the file may end in lines, or a part of one, that were not acknowledged; the next
        append deals with them.
        """
        with appending(self._head_fd, self._patience):
            if not same_file(self._head_fd, self.path + SUFFIX):
                raise chain_broken(
                    self.path, Phrase("its .head file was replaced while this run had it open")
                )
            if self._fd < 0 or not same_file(self._fd, self.path):
                self._close_journal()
                self._fd = open_private(self.path, os.O_RDWR | os.O_APPEND)
            self._catch_up()
            return self._write(bodies) if bodies else []

    def close(self) -> None:
        self._close_journal()
        if self._head_fd >= 0:
            os.close(self._head_fd)
        self._head_fd = -1

    def _close_journal(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    def _write(self, bodies: Sequence[Body]) -> list[Head]:
        lines, heads, head = [], [], self._known.head
        for body in bodies:
            line, head = sealed({**self._stamp(), **body}, head)
            lines.append(line)
            heads.append(head)
        self._put(b"".join(lines), head)
        return heads

    def _put(self, lines: bytes, head: Head) -> None:
        end = self._known.end + len(lines)
        data = memoryview(lines)
        while data:
            data = data[os.write(self._fd, data) :]
        os.fsync(self._fd)
        self._known = HeadRecord(head, end, os.fstat(self._fd).st_ino)
        write_head(self._head_fd, self._known)

    def _catch_up(self) -> None:
        """Brings `_known` to the true end of the file, even after a write by another process or a crash."""
        size, inode = os.fstat(self._fd).st_size, os.fstat(self._fd).st_ino
        record = read_head(self._head_fd)
        if record is None:
            self._take_up(size, inode)
        elif (record, size, inode) != (self._known, record.end, record.inode):
            in_this_file = 0 < record.end <= size and self._line_before(record.end) == record.head
            if not in_this_file and record.end and size and record.inode == inode and not self._first_line():
                why = Phrase(
                    "line {seq}, the last that was written, is not where it was", seq=record.head.seq
                )
                raise chain_broken(self.path, why)
            self._known = HeadRecord(record.head, record.end if in_this_file else 0, inode)
            self._accept(size)

    def _line_before(self, end: int) -> Head | None:
        try:
            return next((line.head for line, _ in proved_from_end(lines_backwards(self._fd, end), end)), None)
        except BrokenLine:
            return None

    def _take_up(self, size: int, inode: int) -> None:
        """Continues without a record: a new journal, or one whose head file was lost or damaged."""
        if size == 0:
            if os.fstat(self._head_fd).st_size >= _LENGTH:
                why = Phrase(
                    "the journal is empty and its record {path}{suffix} is damaged",
                    path=self.path,
                    suffix=SUFFIX,
                )
                raise chain_broken(self.path, why)
            self._known = HeadRecord(GENESIS, 0, inode)
            write_head(self._head_fd, self._known)
            return
        first = self._first_line()
        if first is None or not opens_file(first):
            raise chain_broken(
                self.path, Phrase("its first line is not one of a journal, and there is no .head file")
            )
        try:
            line, end = next(proved_from_end(lines_backwards(self._fd, size), size))
        except BrokenLine as broken:
            raise chain_broken(self.path, Phrase("its last line {broken}", broken=str(broken))) from None
        self._known = HeadRecord(line.head, end, inode)
        self._accept(size)
        text = Phrase(
            "the head file was missing or damaged; the chain was taken up at line {seq}", seq=line.seq
        )
        self._write([{"type": "note", "text": text}])

    def _first_line(self) -> JournalLine | None:
        try:
            return proved(os.pread(self._fd, MAX_LINE, 0).split(b"\n", 1)[0])
        except BrokenLine:
            return None

    def _accept(self, size: int) -> None:
        """Checks the lines that were not acknowledged, from `_known.end` to the end of the file at `size`,
        and begins a file that has none."""
        start, head, end = self._known.end, self._known.head, self._known.end
        data = read_between(self._fd, start, size)
        for raw in lines_in(data):
            try:
                line = proved(ended(raw))
            except BrokenLine as broken:
                if broken.torn and (end + len(raw) == size or b"\0" in raw):
                    break
                raise chain_broken(
                    self.path, Phrase("after line {seq}, a line {broken}", seq=head.seq, broken=str(broken))
                ) from None
            why = gap(head, line)
            if end == 0 and not why and not opens_file(line):
                why = Phrase("begins the file and does not say that it continues line {seq}", seq=head.seq)
            if why:
                raise chain_broken(self.path, Phrase("after line {seq}, a line {why}", seq=head.seq, why=why))
            head, end = line.head, end + len(raw)
        if size > start:
            # a sync that failed leaves pages marked clean that never reached the disk: write them again
            os.ftruncate(self._fd, start)
            self._put(data[: end - start], head)
        if end == 0 and head != GENESIS:
            self._write([{"type": "continued", "after": head._asdict()}])
        if size > end:
            torn = data[end - start :]
            self._write([{"type": "repair", "length": len(torn), "sha256": hashlib.sha256(torn).hexdigest()}])


# ---- files


def open_private(path: str, flags: int) -> int:
    """A descriptor of the regular file at `path`, created with mode 0600 (whatever the umask) if missing.

    Raises OSError, and JournalUnusable if it is not a regular file or others can write it.
    """
    flags |= os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    while True:
        try:
            fd = os.open(path, flags)
            break
        except FileNotFoundError:
            pass
        try:
            fd = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            continue
        os.fchmod(fd, 0o600)
        sync_folder(Path(path).parent)
        break
    try:
        _refuse_shared(path, os.fstat(fd))
    except JournalUnusable:
        os.close(fd)
        raise
    return fd


def _refuse_shared(path: str, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise no_file(path, status.st_mode)
    if status.st_mode & 0o022:
        raise JournalUnusable(
            Phrase("{path}: can be written by others. No change is made.\nchmod 600 {path}", path=path)
        )
    if status.st_uid not in (0, os.geteuid()):
        # never advises root to take the file: the nights could no longer write it
        as_user = Phrase(
            "Run piactl as that user: runuser -u {name} -- piactl ...",
            name=user_name(status.st_uid),
        )
        other = Phrase("Run piactl as that user, or give the file to the user that runs it.")
        raise JournalUnusable(
            Phrase(
                "{path}: belongs to another user (uid {uid}). No change is made.\n{way_on}",
                path=path,
                uid=status.st_uid,
                way_on=as_user if os.geteuid() == 0 else other,
            )
        )


def same_file(fd: int, path: str) -> bool:
    """Whether `path` still names the file that `fd` has open."""
    try:
        return os.path.samestat(os.fstat(fd), Path(path).lstat())
    except FileNotFoundError:
        return False


def make_folder(folder: Path) -> None:
    """Creates `folder`, and the folders above it, with mode 0700 if they are missing. Raises OSError."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    try:
        folder.mkdir(0o700)
    except FileExistsError:
        return
    folder.chmod(0o700)
    sync_folder(folder.parent)


# ---- the record of the last line


class HeadRecord(NamedTuple):
    """The last line written, the offset in bytes at which it ends, and the inode of the file it is in."""

    head: Head
    end: int
    inode: int


_LENGTH = 20 + 1 + 64 + 1 + 20 + 1 + 20 + 1 + 16 + 1


def _packed(record: HeadRecord) -> bytes:
    text = f"{record.head.seq:020d} {record.head.hash} {record.end:020d} {record.inode:020d}"
    return f"{text} {hashlib.sha256(text.encode()).hexdigest()[:16]}\n".encode()


def read_head(fd: int) -> HeadRecord | None:
    """The record; None if there is none, or a damaged one."""
    raw = os.pread(fd, _LENGTH, 0)
    try:
        seq, digest, end, inode, _check = raw.decode("ascii").split()
        record = HeadRecord(Head(int(seq), digest), int(end), int(inode))
    except ValueError:
        return None
    return record if _packed(record) == raw and (record.head.seq or record.head == GENESIS) else None


def write_head(fd: int, record: HeadRecord) -> None:
    """Overwrites the record and syncs it. Raises OSError."""
    raw = _packed(record)
    written = os.pwrite(fd, raw, 0)
    while written < len(raw):
        written += os.pwrite(fd, raw[written:], written)
    os.fdatasync(fd)


def stored_head(path: str) -> Head:
    """The last line that was synced, according to the head file of the journal at `path`; GENESIS if it has
    no record that can be read."""
    try:
        with _head_file(path) as fd:
            record = read_head(fd)
    except OSError:
        return GENESIS
    return record.head if record else GENESIS


@contextmanager
def _head_file(path: str) -> Iterator[int]:
    fd = os.open(path + SUFFIX, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


# ---- locks

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
            raise TimeoutError(errno.ETIMEDOUT, Phrase("another process does not let go of it"))
        time.sleep(pause)
        waited, pause = waited + pause, min(pause * 1.5, _LONGEST_PAUSE)
    return waited


def _taken(fd: int, byte: int) -> bool:
    """Locks a byte until `fd` is closed or the process ends; False if another process has it."""
    try:
        _ask(fd, fcntl.F_OFD_SETLK, fcntl.F_WRLCK, byte)
    except OSError as refused:
        if refused.errno not in (errno.EAGAIN, errno.EACCES):
            raise
        return False
    return True


def alive_runs(path: str, runs: Collection[str]) -> set[str]:
    """The `runs` that are alive on this host, for the journal at `path`. Raises OSError."""
    if not runs:
        return set()
    try:
        with _head_file(path) as fd:
            return {
                run
                for run in runs
                if _ask(fd, fcntl.F_OFD_GETLK, fcntl.F_WRLCK, _run_byte(run)) != fcntl.F_UNLCK
            }
    except FileNotFoundError:
        return set()
