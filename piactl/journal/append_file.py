"""The file of the journal: lines are appended under a lock and synced; the chain continues where it ended.

The head is written last, so the lines after the one in the head record were never acknowledged. After a
crash only these lines need a check, however large the file is: whole lines are kept, a torn one is
discarded, everything else is refused.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

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
from piactl.journal import head_file as locks
from piactl.journal.errors import chain_broken, no_file, refused_by_system
from piactl.journal.head_file import SUFFIX, HeadDamaged, HeadRecord, read_head, write_head
from piactl.journal.rotated_files import last_line
from piactl.private_files import user_name

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
        self._open_head()
        if not locks.say_alive(self._head_fd, run):
            raise JournalUnusable(
                f"{self.path}: run {run} is already under way in another process.\nWait for its end."
            )

    def append(self, bodies: Sequence[Body]) -> list[Head]:
        """Writes one line per body, in one write, and syncs; without bodies, only reads what others appended,
        and repairs. Raises OSError, JournalUnusable.

        After an error the file may end in lines, or a part of one, that were not acknowledged; the next
        append repairs it.
        """
        with locks.appending(self._head_fd, self._patience):
            if not same_file(self._head_fd, self.path + SUFFIX):
                raise chain_broken(self.path, "its .head file was replaced while this run had it open")
            self._open_journal()
            self._catch_up()
            return self._write([{**self._stamp(), **body} for body in bodies]) if bodies else []

    def close(self) -> None:
        for fd in (self._fd, self._head_fd):
            if fd >= 0:
                os.close(fd)
        self._fd = self._head_fd = -1

    def _open_head(self) -> None:
        make_folder(Path(self.path).parent)
        self._head_fd = open_private(self.path + SUFFIX, os.O_RDWR)

    def _open_journal(self) -> None:
        if self._fd >= 0 and same_file(self._fd, self.path):
            return
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        self._fd = open_private(self.path, os.O_RDWR | os.O_APPEND)

    def _write(self, bodies: Sequence[Body]) -> list[Head]:
        lines, heads, after = [], [], self._known.head
        for body in bodies:
            line, after = sealed(body, after)
            lines.append(line)
            heads.append(after)
        data = memoryview(b"".join(lines))
        end = self._known.end + len(data)
        while data:
            data = data[os.write(self._fd, data) :]
        os.fsync(self._fd)
        self._advance(after, end)
        return heads

    def _advance(self, head: Head, end: int) -> None:
        self._known = HeadRecord(head, end, os.fstat(self._fd).st_ino)
        write_head(self._head_fd, self._known)

    def _catch_up(self) -> None:
        """Updates `_known` to the true end of the file, even after a write by another process or a crash."""
        size, inode = os.fstat(self._fd).st_size, os.fstat(self._fd).st_ino
        try:
            record = read_head(self._head_fd)
        except HeadDamaged:
            record = None
            if size == 0:
                why = f"the journal is empty and its record {self.path}{SUFFIX} is damaged"
                raise chain_broken(self.path, why) from None
        if record is None:
            self._take_up(size, inode)
        elif (record, size) == (self._known, record.end) and record.inode == inode:
            return
        elif size >= record.end > 0 and self._ends_in(record):
            self._known = HeadRecord(record.head, record.end, inode)
            self._accept(size)
        elif record.head == GENESIS or size == 0 or record.inode != inode or self._continues(record.head):
            self._known = HeadRecord(record.head, 0, inode)
            self._accept(size)
            if self._known.end == 0 and record.head != GENESIS:
                self._write([self._continued(record.head)])
        else:
            raise chain_broken(
                self.path, f"line {record.head.seq}, the last that was written, is not where it was"
            )

    def _continued(self, head: Head) -> Body:
        return {**self._stamp(), "type": "continued", "after": head._asdict()}

    def _ends_in(self, record: HeadRecord) -> bool:
        return _head_of(last_line(self._fd, record.end)) == record.head

    def _continues(self, head: Head) -> bool:
        """Whether the file begins with a `continued` line that follows `head`."""
        first = self._first_line()
        return first is not None and first.type == "continued" and not gap(head, first)

    def _first_line(self) -> JournalLine | None:
        try:
            return proved(os.pread(self._fd, MAX_LINE, 0).split(b"\n", 1)[0])
        except BrokenLine:
            return None

    def _take_up(self, size: int, inode: int) -> None:
        """Continues without a head record: a new journal, or one whose head file was lost."""
        self._known = HeadRecord(GENESIS, 0, inode)
        if size == 0:
            self._advance(GENESIS, 0)
            return
        first = self._first_line()
        if first is None or not opens_file(first):
            raise chain_broken(
                self.path, "its first line is not one of a journal, and there is no .head file"
            )
        end = size
        try:
            if _is_torn(raw := last_line(self._fd, end)):
                end -= len(raw)
                raw = last_line(self._fd, end)
            head = proved(raw).head
        except BrokenLine as broken:
            raise chain_broken(self.path, f"its last line {broken}") from None
        self._known = HeadRecord(head, end, inode)
        self._accept(size)
        text = f"the head file was missing or damaged; the chain was taken up at line {head.seq}"
        self._write([{**self._stamp(), "type": "note", "text": text}])

    def _accept(self, size: int) -> None:
        """Checks the lines that were not acknowledged, from `_known.end` to the end of the file at `size`."""
        start = self._known.end
        data = _read(self._fd, start, size)
        head, end = self._known.head, start
        while end < size:
            raw = data[end - start : data.find(b"\n", end - start) + 1 or size - start]
            try:
                line = proved(ended(raw))
            except BrokenLine as broken:
                torn = broken.torn and (end + len(raw) == size or b"\0" in raw)
                if not torn:
                    raise chain_broken(self.path, f"after line {head.seq}, a line {broken}") from None
                break
            why = gap(head, line)
            if end == 0 and not why and not opens_file(line):
                why = f"begins the file and does not say that it continues line {head.seq}"
            if why:
                raise chain_broken(self.path, f"after line {head.seq}, a line {why}")
            head, end = line.head, end + len(raw)
        if end > start:
            # a sync that failed leaves pages marked clean that never reached the disk: write them again
            self._overwrite(data[: end - start], start)
            self._advance(head, end)
        if end < size:
            self._repair(data[end - start :])

    def _repair(self, torn: bytes) -> None:
        """Discards a torn tail: a `repair` line overwrites it, then the rest is cut off.

        In that order: after a crash in between, a shorter torn tail follows a valid line.
        """
        if self._known.end == 0 and self._known.head != GENESIS:
            line, head = sealed(self._continued(self._known.head), self._known.head)
        else:
            line, head = b"", self._known.head
        digest = hashlib.sha256(torn).hexdigest()
        repair, head = sealed(
            {**self._stamp(), "type": "repair", "length": len(torn), "sha256": digest}, head
        )
        line += repair
        end = self._known.end + len(line)
        self._overwrite(line, self._known.end)
        os.ftruncate(self._fd, end)
        os.fsync(self._fd)
        self._advance(head, end)

    def _overwrite(self, data: bytes, offset: int) -> None:
        """Writes and syncs at `offset`, through a descriptor without O_APPEND, which ignores offsets."""
        fd = os.open(self.path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            if os.fstat(fd).st_ino != os.fstat(self._fd).st_ino:
                raise OSError(errno.EAGAIN, "it was rotated away while it was being repaired")
            view, next_offset = memoryview(data), offset
            while view:
                written = os.pwrite(fd, view, next_offset)
                view, next_offset = view[written:], next_offset + written
            os.fsync(fd)
        finally:
            os.close(fd)


def _head_of(raw: bytes) -> Head | None:
    """The head of a line, None for a broken one."""
    try:
        return proved(ended(raw)).head
    except BrokenLine:
        return None


def _is_torn(raw: bytes) -> bool:
    try:
        proved(ended(raw))
    except BrokenLine as broken:
        return broken.torn
    return False


def _read(fd: int, start: int, end: int) -> bytes:
    """All bytes from `start` to `end`. Raises OSError if the file is shorter."""
    pieces = []
    while start < end:
        piece = os.pread(fd, end - start, start)
        if not piece:
            raise OSError(errno.EIO, "it got shorter while it was being read")
        pieces.append(piece)
        start += len(piece)
    return b"".join(pieces)


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
        raise JournalUnusable(f"{path}: can be written by others. No change is made.\nchmod 600 {path}")
    if status.st_uid not in (0, os.geteuid()):
        # never advises root to take the file: the nights could no longer write it
        as_user = f"Run piactl as that user: runuser -u {user_name(status.st_uid)} -- piactl ..."
        other = "Run piactl as that user, or give the file to the user that runs it."
        raise JournalUnusable(
            f"{path}: belongs to another user (uid {status.st_uid}). No change is made.\n"
            f"{as_user if os.geteuid() == 0 else other}"
        )


def same_file(fd: int, path: str) -> bool:
    """Whether `path` still names the file that `fd` has open."""
    try:
        status = Path(path).lstat()
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(fd), status)


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


def sync_folder(folder: Path) -> None:
    """Makes the names in `folder` durable. Raises OSError."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
