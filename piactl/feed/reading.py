"""Reads a feed from a regular file."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from piactl.core.settings import SourceSettings
from piactl.errors import FeedRefused
from piactl.feed.codes import refusal
from piactl.feed.feed import Feed
from piactl.feed.linedigests import Skipped
from piactl.feed.onepass import OnePass


def read_feed(path: Path, source: SourceSettings, skipped: Skipped | None = None) -> Feed:
    """The feed in a regular file, by the layout of its source, without the people that are `skipped`.

    Raises FeedRefused with every reason found where the file as a whole cannot be trusted. The limits
    that compare it with the last feed applied are `core.feedlimits.feed_refusals`, for the caller.
    """
    try:
        # Without O_NONBLOCK, opening a named pipe would wait for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "no usable name"
        raise FeedRefused(str(path), [refusal("unreadable", f"the file cannot be read ({why})")]) from None
    try:
        before = os.fstat(descriptor)
        _check_kind(path, before, source)
        with os.fdopen(descriptor, "rb", closefd=False) as stream:
            feed = OnePass(path, source, stream, skipped).feed()
        after = os.fstat(descriptor)
    except OSError as error:
        detail = f"the file cannot be read ({error.strerror})"
        raise FeedRefused(str(path), [refusal("unreadable", detail)]) from None
    finally:
        os.close(descriptor)
    moved = (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns)
    if moved or (skipped is not None and skipped.lines.digest != feed.facts.digest):
        raise FeedRefused(str(path), [refusal("changed")])
    return feed


def _check_kind(path: Path, facts: os.stat_result, source: SourceSettings) -> None:
    if not stat.S_ISREG(facts.st_mode):
        raise FeedRefused(str(path), [refusal("not-a-file")])
    if facts.st_size > source.limits.max_bytes:
        detail = f"{facts.st_size} bytes, and the source allows {source.limits.max_bytes}"
        raise FeedRefused(str(path), [refusal("too-many-bytes", detail)])
