"""Which files of a folder are the feeds of which night."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from datetime import date
from pathlib import Path

from piactl.core.model.settings import SourceSettings
from piactl.dataclass import dataclass
from piactl.errors import UsageError
from piactl.feed.feed_file import source_of
from piactl.feed.file_date import file_date
from piactl.feed.reader import last_line, read_trailer


@dataclass(frozen=True, slots=True)
class FeedsByNight:
    """The feeds by the day on which they came, and a sentence for each file that is the feed of none."""

    feeds: Mapping[date, tuple[Path, ...]]
    left: tuple[str, ...] = ()
    facts: tuple[tuple[str, int], ...] = field(default=(), repr=False)
    """Name and size of each feed, to see that the folder is the same."""


def feeds_by_night(
    folder: Path, sources: Mapping[str, SourceSettings], first: date, last: date
) -> FeedsByNight:
    """The files in a folder, not below it, that match a source and came from `first` to `last`.

    A file came on the day in its name, because a cut file has no last line; without one, on the day of its
    last line. Raises UsageError if the folder cannot be read, or no file is a feed of these days.
    """
    feeds: dict[date, list[Path]] = {}
    left: list[str] = []
    facts: list[tuple[str, int]] = []
    outside = 0
    for path in _files(folder):
        try:
            source = source_of(path, sources)
        except UsageError:
            left.append(f"{path}: not read: it matches the `files` of no single source")
            continue
        day = file_date(path.name, source.date_pattern) or _date_inside(path)
        if day is None:
            left.append(f"{path}: not read: neither its name nor its last line has a date")
        elif first <= day <= last:
            feeds.setdefault(day, []).append(path)
            facts.append((path.name, path.stat().st_size))
        else:
            outside += 1
    if outside:
        left.append(f"{folder}: not read: {outside} feeds of days before {first} or after {last}")
    if not feeds:
        raise UsageError("\n".join([*left[:3], f"{folder}: no feed of the days from {first} to {last}"]))
    return FeedsByNight(
        {day: tuple(paths) for day, paths in sorted(feeds.items())}, tuple(left), tuple(facts)
    )


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise UsageError(f"{folder}: is no folder with feeds")
    try:
        found = [path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]
    except OSError as error:
        raise UsageError(f"{folder}: the folder cannot be read ({error.strerror})") from None
    return sorted(found)


def _date_inside(path: Path) -> date | None:
    trailer = read_trailer(last_line(path))
    return trailer.date if trailer else None
