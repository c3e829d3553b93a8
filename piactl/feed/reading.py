"""Reads a feed from a regular file."""

from __future__ import annotations

import os
from pathlib import Path

from piactl.core.settings import SourceSettings
from piactl.errors import FeedRefused
from piactl.feed.codes import refusal
from piactl.feed.feed import Feed
from piactl.feed.linedigests import Skipped
from piactl.feed.onepass import OnePass
from piactl.feed.opening import open_feed


def read_feed(path: Path, source: SourceSettings, skipped: Skipped | None = None) -> Feed:
    """The feed in a regular file, by the layout of its source, without the people that are `skipped`.

    Raises FeedRefused with every reason found where the file as a whole cannot be trusted. The limits
    that compare it with the last feed applied are `core.feedlimits.feed_refusals`, for the caller.
    """
    with open_feed(path, source) as stream:
        before = os.fstat(stream.fileno())
        feed = OnePass(path, source, stream, skipped).feed()
        after = os.fstat(stream.fileno())
    moved = (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns)
    if moved or (skipped is not None and skipped.lines.digest != feed.facts.digest):
        raise FeedRefused(str(path), [refusal("changed")])
    return feed
