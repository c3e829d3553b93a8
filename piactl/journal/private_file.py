"""Opens private files: never through a symbolic link, with mode 0600, created durably."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from piactl.errors import JournalUnusable
from piactl.journal.errors import no_file
from piactl.private_files import user_name


def open_private(path: str, flags: int) -> int:
    """A descriptor of the regular file at `path`, created with mode 0600 (whatever the umask) if missing.

    Raises OSError, and JournalUnusable where it is no regular file, or somebody else could write it.
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


def _refuse_shared(path: str, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise no_file(path, found.st_mode)
    if found.st_mode & 0o022:
        raise JournalUnusable(f"{path}: can be written by others. No change is made.\nchmod 600 {path}")
    if found.st_uid not in (0, os.geteuid()):
        # never advises root to take the file: the nights could no longer write it
        as_user = f"Run piactl as that user: runuser -u {user_name(found.st_uid)} -- piactl ..."
        other = "Run piactl as that user, or give the file to the user that runs it."
        raise JournalUnusable(
            f"{path}: belongs to another user (uid {found.st_uid}). No change is made.\n"
            f"{as_user if os.geteuid() == 0 else other}"
        )


def same_file(fd: int, path: str) -> bool:
    """Whether `path` still names the file that `fd` has open."""
    try:
        there = Path(path).lstat()
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(fd), there)


def make_folder(folder: Path) -> None:
    """Creates `folder`, and those above it, with mode 0700 where they are missing. Raises OSError."""
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
