"""The errors of an unusable journal, with advice."""

from __future__ import annotations

import errno
import stat

from piactl.errors import Exit, JournalUnusable, PiactlError, system_words
from piactl.host.private_files import may_not
from piactl.phrase import Phrase


class JournalForbidden(JournalUnusable):
    """This user may not use the journal."""

    exit_code = Exit.CONFIGURATION


class UnknownOperator(PiactlError):
    """The person behind this process is unknown, and the operation needs two known people."""


_ADVICE = {
    errno.ENOSPC: Phrase("Free space on its file system, then run again"),
    errno.EDQUOT: Phrase("Raise the quota or free space, then run again"),
    errno.EFBIG: Phrase("Raise the limit on file size (ulimit -f) or rotate it, then run again"),
    errno.EROFS: Phrase("Mount its file system writable, then run again"),
    errno.EPERM: Phrase(
        "Give this user the right to write it (an append-only flag, chattr +a, forbids repairs)"
    ),
    errno.ELOOP: Phrase("It is a symbolic link: name the file itself in the configuration"),
    errno.ETIMEDOUT: Phrase(
        "Find the process that hangs (fuser on its .head file) and end it, then run again"
    ),
}


def refused_by_system(path: str, error: OSError) -> JournalUnusable:
    """The error for a journal that the system does not let piactl use."""
    if error.errno == errno.EISDIR:
        return no_file(error.filename or path, stat.S_IFDIR)
    if error.errno == errno.EACCES:
        file = error.filename or path
        return JournalForbidden(
            Phrase(
                "{file}: {may_not}\nWithout the journal no change is made.",
                file=file,
                may_not=may_not(file, "use"),
            )
        )
    advice = _ADVICE.get(error.errno or 0, Phrase("Look at the disk and the system log, then run again"))
    reason = system_words(error)
    return JournalUnusable(
        Phrase(
            "{path}: the journal cannot be used: {reason}. Without it no change is made.\n{advice}.",
            path=path,
            reason=reason,
            advice=advice,
        )
    )


def no_file(path: str, mode: int) -> JournalUnusable:
    """The error for a path that is not a regular file; `mode` is its `st_mode`."""
    if stat.S_ISDIR(mode):
        return JournalUnusable(
            Phrase(
                "{path}: is a folder. Without a journal no change is made.\nName the file in it.", path=path
            )
        )
    return JournalUnusable(
        Phrase("{path}: is not a regular file, so it keeps nothing.\nName a file for the journal.", path=path)
    )


def chain_broken(path: str, why: str) -> JournalUnusable:
    """The error for a journal that was changed from outside, or restored from an old copy."""
    return JournalUnusable(
        Phrase(
            "{path}: the chain of the journal is broken: {why}. No change is made.\n"
            "See `piactl journal verify`. Restore the file, or move it and its .head file to safe "
            "keeping:\n"
            "a new chain then starts.",
            path=path,
            why=why,
        )
    )


def unreadable(path: str, line: int, why: str) -> JournalUnusable:
    """The error for a line that cannot be read; `line` counts from 1, 0 means unknown."""
    place = f"{path}:{line}" if line else path
    return JournalUnusable(
        Phrase(
            "{place}: a line {why}.\n"
            "See `piactl journal verify` for the first bad line. A rotated file that is damaged can be "
            "put back from a copy, or moved to safe keeping.",
            place=place,
            why=why,
        )
    )
