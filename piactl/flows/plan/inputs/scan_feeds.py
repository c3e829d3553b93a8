"""The first pass over the feeds of a run: whose each line is, and a digest of the lines of each person."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from piactl.core.model.settings import SourceSettings
from piactl.core.plan.sync_cache import MOST_SOURCES
from piactl.errors import FeedRefused
from piactl.feed.feed import Feed
from piactl.feed.fingerprints import LineDigests, digest_lines
from piactl.feed.reader import read_feed
from piactl.feed.source_matcher import NoSource, feed_argument
from piactl.flows.plan.inputs.load_feeds import raise_refused
from piactl.flows.site import Site


@dataclass(frozen=True, slots=True)
class Scan:
    """The first pass over one feed. Without `lines` the feed was read at once: a delta, or a file that cannot
    be scanned."""

    source: SourceSettings
    path: Path
    lines: LineDigests | None
    feed: Feed | None = None


def scan_feeds(site: Site, arguments: Sequence[str], warn: Callable[[str], None] | None = None) -> list[Scan]:
    """Scans the feeds that the arguments of a command name. With `warn`, files that are those of no source
    are named to it and not read, if another one is a feed.

    Raises UsageError for an argument that fits no source, FeedRefused for feeds that are read at once, but
    not of a source under `continue`: reading it again says why.
    """
    sources = site.settings.sources
    named = _named(arguments, sources, warn)
    key = _lines_key(site) if named else b""
    scans: list[Scan] = []
    refused: list[FeedRefused] = []
    for source, path in named:
        try:
            lines = digest_lines(path, source, key) if source.full else None
            scans.append(Scan(source, path, lines, None if lines is not None else read_feed(path, source)))
        except FeedRefused as error:
            if source.name in site.settings.go_on:
                scans.append(Scan(source, path, None))
            else:
                refused.append(error)
    raise_refused(refused)
    return scans


def _named(
    arguments: Sequence[str], sources: Mapping[str, SourceSettings], warn: Callable[[str], None] | None
) -> list[tuple[SourceSettings, Path]]:
    named: list[tuple[SourceSettings, Path]] = []
    strange: list[NoSource] = []
    for argument in arguments:
        try:
            named.append(feed_argument(argument, sources))
        except NoSource as error:
            strange.append(error)
    if strange and (warn is None or not named):
        raise strange[0]
    for unread in strange:
        if warn is not None:
            warn(f"{unread.path}: not read: it matches the `files` of no source")
    return named


def digests_of_people(scans: Sequence[Scan]) -> dict[str, int] | None:
    """The digest of all lines of each person by matricule. None where the scans do not tell: without feeds,
    with a feed that was read at once, with two feeds of one source or with too many sources."""
    if not scans or len({scan.source.name for scan in scans}) < len(scans) or len(scans) > MOST_SOURCES:
        return None
    digests: dict[str, int] = {}
    for scan in scans:
        if scan.lines is None:
            return None
        if len(scans) == 1:
            return scan.lines.people
        for matricule, number in scan.lines.people.items():
            digests[matricule] = digests.get(matricule, 0) + number & 0xFFFF_FFFF_FFFF_FFFF
    return digests


def _lines_key(site: Site) -> bytes:
    """The key of the digests of lines, which hold NUMENs."""
    return hmac.new(site.keys.keys[site.keys.current], b"lines of feeds", hashlib.sha256).digest()
