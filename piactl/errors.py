"""The expected errors of piactl and their exit codes; `cli.main` ends the process with the code.

A message says what, where and what next, in one to three lines, and never holds a secret.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Any, NamedTuple, Self

from piactl.phrase import Phrase, joined


class Exit(IntEnum):
    """Exit codes of the command; each has one meaning."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    CHANGES = 3
    REFUSED = 4
    PARTLY = 5
    FEED_REFUSED = 6
    LOCKED = 7
    UNREACHABLE = 8
    NOT_FOUND = 9
    CONFIGURATION = 10
    OLDER = 11
    DECLINED = 12
    BUG = 70
    INTERRUPTED = 130


class PiactlError(Exception):
    """An expected error; the user is shown `str(error)` and nothing else."""

    exit_code = Exit.FAILED
    options: tuple[str, ...] = ()
    """The options, each with its value, with which an administrator goes on all the same: piactl then says
    the command as it was typed, with these."""

    def with_options(self, *options: str) -> Self:
        """This error, with options with which the command goes on."""
        self.options = (*self.options, *options)
        return self

    @property
    def note(self) -> str:
        """What the record of a run that it ends says of it."""
        return str(self)


class Mistake(NamedTuple):
    """One mistake in a file written by hand; `line` and `column` count from 1, 0 means unknown."""

    file: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        place = self.file
        if self.line:
            place += f":{self.line}"
            if self.column:
                place += f":{self.column}"
        return Phrase("{name}: {text}", name=place, text=self.message)


class ConfigurationInvalid(PiactlError):
    """Configuration, policy or establishment register cannot be used; `mistakes` holds all of them."""

    exit_code = Exit.CONFIGURATION

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__(joined(map(str, self.mistakes), "{first}\n{second}"))

    @classmethod
    def of(cls, file: object, message: str, line: int = 0, column: int = 0) -> Self:
        """The error for one mistake."""
        return cls([Mistake(str(file), line, column, message)])


def system_words(error: Exception) -> Phrase:
    """What the system says of an error, mostly a word of the catalogue. A ValueError is that of a path with
    a NUL or half a character."""
    if isinstance(error, ValueError):
        return Phrase("the path is not valid")
    return Phrase(getattr(error, "strerror", None) or str(error) or type(error).__name__)


class Declined(PiactlError):
    """The user answered no to a confirmation question; nothing was changed."""

    exit_code = Exit.DECLINED


class Interrupted(PiactlError):
    """Ctrl-C ended the command; `changed` says what became of its changes, where that is known."""

    exit_code = Exit.INTERRUPTED

    def __init__(self, changed: str = "") -> None:
        super().__init__(joined([Phrase("interrupted"), *filter(None, [changed])]))


class UsageError(PiactlError):
    """The command line is wrong."""

    exit_code = Exit.USAGE


REASON = '--reason "..."'


def accepting(digest: str) -> tuple[str, ...]:
    """The options that let a feed through."""
    return f"--accept-feed {digest}", REASON


class ReasonMissing(UsageError):
    """The command needs a reason, before it did anything; on a terminal it is asked for."""


class FeedRefused(PiactlError):
    """A whole feed is refused and nothing of it is used; `refusals` are the (code, message) pairs, `rows` is
    the number of rows read, None if unknown. `digest` is that of a feed that may be accepted by hand."""

    exit_code = Exit.FEED_REFUSED

    def __init__(
        self,
        file: str,
        refusals: Sequence[tuple[str, str]],
        source: str = "",
        rows: int | None = None,
        digest: str = "",
    ) -> None:
        self.file, self.source, self.rows = file, source, rows
        self.digest, self.options = digest, accepting(digest) if digest else ()
        self.refusals = tuple(refusals)
        lines = (
            Phrase("{file}: feed refused: {message} [{code}]", file=file, message=message, code=code)
            for code, message in self.refusals
        )
        super().__init__(joined(lines, "{first}\n{second}"))

    def feeds(self) -> list[dict[str, Any]]:
        """What is known of each refused feed, for the record of a run; it names no person."""
        why = list(dict.fromkeys(code for code, _ in self.refusals))
        name = self.file.rsplit("/", 1)[-1]
        accept = {"digest": self.digest} if self.digest else {}
        return [{"source": self.source, "file": name, "rows": self.rows, "why": why, **accept}]


class FeedsRefused(FeedRefused):
    """Several feeds of one run are refused; `errors` holds one error for each."""

    def __init__(self, errors: Sequence[FeedRefused]) -> None:
        self.errors = tuple(errors)
        self.file = ", ".join(error.file for error in errors)
        self.refusals = tuple(refusal for error in errors for refusal in error.refusals)
        # one that cannot be accepted would refuse the same command again
        if all(error.options for error in errors):
            digests = dict.fromkeys(error.options[0] for error in errors)
            self.options = (*digests, REASON)
        PiactlError.__init__(self, joined(map(str, errors), "{first}\n{second}"))

    def feeds(self) -> list[dict[str, Any]]:
        return [facts for error in self.errors for facts in error.feeds()]


class DirectoryUnreachable(PiactlError):
    """No configured server can be used."""

    exit_code = Exit.UNREACHABLE


class DirectoryTruncated(PiactlError):
    """A search was truncated (size or time limit, referral); its result must not be used."""


class DirectoryRefused(PiactlError):
    """The server refuses all operations, not only this one; `result` is the LDAP result code."""

    def __init__(self, message: str, result: int) -> None:
        self.result = result
        super().__init__(message)


class RecordChanged(PiactlError):
    """Another program changed a record of piactl since it was read."""


class ReplyLost(PiactlError):
    """Writes were sent without an answer: each may or may not have been made.

    `doubtful` holds the DNs of their entries.
    """

    exit_code = Exit.UNREACHABLE

    def __init__(self, message: str, doubtful: Sequence[str] = ()) -> None:
        self.doubtful = tuple(doubtful)
        super().__init__(message)


class NotFound(PiactlError):
    """There is no such account, run, case, request, service, profile, source, server or key."""

    exit_code = Exit.NOT_FOUND


class LockHeld(PiactlError):
    """Another run holds the lock of the directory."""

    exit_code = Exit.LOCKED


class LockLost(PiactlError):
    """The lock of this run was taken over or has expired; no further write is made."""

    exit_code = Exit.LOCKED


class UnsafePlan(PiactlError):
    """A plan was refused and nothing was written; `refusals` are the guards that it broke, none if another
    check refused it."""

    exit_code = Exit.REFUSED

    def __init__(self, message: str, refusals: Sequence[Any] = ()) -> None:
        self.refusals = tuple(refusals)
        super().__init__(message)


class StalePlan(PiactlError):
    """A plan file was made from other inputs than the current ones, or was edited."""


class JournalUnusable(PiactlError):
    """The journal cannot be written or its chain is broken: no change is made."""


class JournalMissing(JournalUnusable):
    """The journal of this host lacks lines that its runs wrote; no change is made."""


class DirectoryOlder(PiactlError):
    """The directory lacks a run that the journal of this host has, or another server answers than the one
    that the last run wrote to."""

    exit_code = Exit.OLDER


class SecretUnusable(PiactlError):
    """A password or key file is missing, unreadable, or readable by others."""

    exit_code = Exit.CONFIGURATION


class DefaultPolicyMissing(PiactlError):
    """The entry of the default password policy is missing; without it the server enforces nothing."""

    exit_code = Exit.CONFIGURATION


class SchemaLacking(PiactlError):
    """The schema of the server lacks what the writes of a run need."""

    exit_code = Exit.CONFIGURATION


class NotPermitted(PiactlError):
    """This user may not use a file that the configuration names."""

    exit_code = Exit.CONFIGURATION


class SandboxUnavailable(PiactlError):
    """The private slapd cannot be started; the message says which package to install."""
