"""Opens a feed file; refuses files that are not regular or too large."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

from piactl.core.model.settings import SourceSettings
from piactl.errors import FeedRefused
from piactl.feed.error_codes import refusal

_LEAST = 65_536


@contextmanager
def open_feed(path: Path, source: SourceSettings) -> Iterator[BufferedReader]:
    """The open file. Raises FeedRefused if it is not a regular file, is too large, or cannot be read, then or
    while the caller reads it."""
    try:
        # Without O_NONBLOCK, opening a named pipe would wait for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "the name is not valid"
        raise FeedRefused(str(path), [refusal("unreadable", f"the file cannot be read ({why})")]) from None
    try:
        _check_kind(path, os.fstat(descriptor), source)
        with os.fdopen(descriptor, "rb", closefd=False) as stream:
            yield stream
    except OSError as error:
        detail = f"the file cannot be read ({error.strerror})"
        raise FeedRefused(str(path), [refusal("unreadable", detail)]) from None
    finally:
        os.close(descriptor)


def longest_line(source: SourceSettings) -> int:
    """The longest line of a feed of the source, in bytes."""
    return max(_LEAST, source.limits.max_field * 4 * 32)


def _check_kind(path: Path, facts: os.stat_result, source: SourceSettings) -> None:
    if not stat.S_ISREG(facts.st_mode):
        raise FeedRefused(str(path), [refusal("not-a-file")])
    if facts.st_size > source.limits.max_bytes:
        detail = f"the file has {facts.st_size} bytes, but the source allows {source.limits.max_bytes}"
        raise FeedRefused(str(path), [refusal("too-many-bytes", detail)])
