"""The exit codes of the command. Errors name theirs (`errors`); `cli.main` ends the process with it."""

from __future__ import annotations

from enum import IntEnum


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
