"""The errors of an unusable journal, with advice."""

from __future__ import annotations

import errno
import stat

from piactl.errors import Exit, JournalUnusable, PiactlError
from piactl.host.private_files import may_not


class JournalForbidden(JournalUnusable):
    """This user may not use the journal."""

    exit_code = Exit.CONFIGURATION


class UnknownOperator(PiactlError):
    """The person behind this process is unknown, and the operation needs two known people."""


_ADVICE = {
    errno.ENOSPC: "Free space on its file system, then run again",
    errno.EDQUOT: "Raise the quota or free space, then run again",
    errno.EFBIG: "Raise the limit on file size (ulimit -f) or rotate it, then run again",
    errno.EROFS: "Mount its file system writable, then run again",
    errno.EPERM: "Give this user the right to write it (an append-only flag, chattr +a, forbids repairs)",
    errno.ELOOP: "It is a symbolic link: name the file itself in the configuration",
    errno.ETIMEDOUT: "Find the process that hangs (fuser on its .head file) and end it, then run again",
}


def refused_by_system(path: str, error: OSError) -> JournalUnusable:
    """The error for a journal that the system does not let piactl use."""
    if error.errno == errno.EISDIR:
        return no_file(error.filename or path, stat.S_IFDIR)
    if error.errno == errno.EACCES:
        file = error.filename or path
        return JournalForbidden(f"{file}: {may_not(file, 'use')}\nWithout the journal no change is made.")
    advice = _ADVICE.get(error.errno or 0, "Look at the disk and the system log, then run again")
    reason = error.strerror or type(error).__name__
    return JournalUnusable(
        f"{path}: the journal cannot be used: {reason}. Without it no change is made.\n{advice}."
    )


def no_file(path: str, mode: int) -> JournalUnusable:
    """The error for a path that is not a regular file; `mode` is its `st_mode`."""
    if stat.S_ISDIR(mode):
        return JournalUnusable(
            f"{path}: is a folder. Without a journal no change is made.\nName the file in it."
        )
    return JournalUnusable(
        f"{path}: is not a regular file, so it keeps nothing.\nName a file for the journal."
    )


def chain_broken(path: str, why: str) -> JournalUnusable:
    """The error for a journal that was changed from outside, or restored from an old copy."""
    return JournalUnusable(
        f"{path}: the chain of the journal is broken: {why}. No change is made.\n"
        "See `piactl journal verify`. Restore the file, or move it and its .head file to safe keeping:\n"
        "a new chain then starts."
    )


def unreadable(path: str, line: int, why: str) -> JournalUnusable:
    """The error for a line that cannot be read; `line` counts from 1, 0 means unknown."""
    place = f"{path}:{line}" if line else path
    return JournalUnusable(
        f"{place}: a line {why}.\nSee `piactl journal verify` for the first bad line. "
        "A rotated file that is damaged can be put back from a copy, or moved to safe keeping."
    )
