"""Rows that read well and that the policy or the names rule rejects: their bytes, read once more."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from piactl.core.rejection import Rejection
from piactl.feed.feed import Feed


def with_rejections(feed: Feed, path: Path, rejections: Iterable[Rejection]) -> Feed:
    """The feed with these rejections too, and the raw bytes of all rows of the people that they concern.

    `path` is the file that the feed was read from; where it cannot be read any more the feed comes back
    with the rejections and without those bytes.
    """
    more = tuple(rejections)
    if not more:
        return feed
    people = {r.matricule for r in more if r.matricule in feed.people}
    lines = {line for matricule in people for line in feed.people[matricule or ""].lines}
    lines |= {r.line for r in more if r.line}
    raw = dict(feed.raw_lines)
    try:
        with path.open("rb") as stream:
            for number, text in enumerate(stream, start=1):
                if number in lines:
                    raw[number] = text
    except OSError:
        pass
    return replace(feed, rejections=(*feed.rejections, *more), raw_lines=raw)
