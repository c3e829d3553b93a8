"""Reads the feeds of a run, in one or two passes, and refuses those that break a limit.

The first pass of a full feed finds whose each line is and a digest of the lines of each person; the second
reads only the lines that a run needs.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from piactl.core.model.digests import DigestKeys
from piactl.core.model.person import Assignment
from piactl.core.model.settings import SourceSettings
from piactl.core.plan.feed_limits import (
    FeedFacts,
    SourceRecord,
    comparable,
    feed_refusals,
    held_refusal,
    record_of,
)
from piactl.core.plan.plan import Hold
from piactl.core.plan.run_state import Memory, SourceMemory
from piactl.core.plan.sync_cache import MOST_SOURCES
from piactl.errors import FeedRefused, FeedsRefused
from piactl.feed.feed import Feed
from piactl.feed.feed_file import feed_argument
from piactl.feed.fingerprints import LineDigests, digest_lines
from piactl.feed.reader import read_feed
from piactl.flows.plan.inputs.merge_feeds import SourcedFeed


def read_feeds(arguments: Sequence[str], sources: Mapping[str, SourceSettings]) -> list[SourcedFeed]:
    """The feeds that the arguments of a command name, by source and date, an unknown date last.

    Raises UsageError for an argument that fits no source, FeedRefused with the reasons of every feed that
    cannot be trusted.
    """
    feeds: list[SourcedFeed] = []
    refused: list[FeedRefused] = []
    for argument in arguments:
        source, path = feed_argument(argument, sources)
        try:
            feeds.append(SourcedFeed(read_feed(path, source), source, path))
        except FeedRefused as error:
            refused.append(error)
    raise_refused(refused)
    return in_order(feeds, sources)


@dataclass(frozen=True, slots=True)
class Scan:
    """The first pass over one feed. Without `lines` the feed was read at once: a delta, or a file that cannot
    be scanned."""

    source: SourceSettings
    path: Path
    lines: LineDigests | None
    feed: Feed | None = None


def scan_feeds(
    arguments: Sequence[str], sources: Mapping[str, SourceSettings], keys: DigestKeys
) -> list[Scan]:
    """Scans the feeds that the arguments of a command name.

    Raises UsageError for an argument that fits no source, FeedRefused for feeds that are read at once.
    """
    named = [feed_argument(argument, sources) for argument in arguments]
    # the lines hold NUMENs, so their digests have a key
    key = hmac.new(keys.keys[keys.current], b"lines of feeds", hashlib.sha256).digest()
    scans: list[Scan] = []
    refused: list[FeedRefused] = []
    for source, path in named:
        try:
            lines = digest_lines(path, source, key) if source.full else None
            scans.append(Scan(source, path, lines, None if lines is not None else read_feed(path, source)))
        except FeedRefused as error:
            refused.append(error)
    raise_refused(refused)
    return scans


def digests_of_people(scans: Sequence[Scan]) -> dict[str, int] | None:
    """The digest of all lines of each person, by matricule. None if the scans do not have them all: without
    feeds, with a feed that was read at once, with two feeds of one source or with too many sources."""
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


def in_order(feeds: Sequence[SourcedFeed], sources: Mapping[str, SourceSettings]) -> list[SourcedFeed]:
    """The feeds by source and date, an unknown date last."""
    order = {name: position for position, name in enumerate(sources)}
    return sorted(feeds, key=lambda f: (order[f.source.name], f.feed.facts.date or date.max))


def raise_refused(refused: Sequence[FeedRefused]) -> None:
    """Raises FeedRefused where any feed is refused, FeedsRefused for several."""
    if len(refused) == 1:
        raise refused[0]
    if refused:
        raise FeedsRefused(refused)


def _came_before(facts: FeedFacts, memory: SourceMemory) -> bool:
    """Whether this file was applied before the last one. A file with a later date is not older: HR may have
    gone back to earlier data."""
    last = memory.record
    later = facts.date is not None and last.date is not None and facts.date > last.date
    return facts.digest in memory.applied and facts.digest != last.digest and not later


def check_limits(
    feeds: Sequence[SourcedFeed],
    memory: Memory,
    known: Mapping[str, Sequence[Assignment]],
    as_of: date,
    accepted: Collection[str],
    skipped: Mapping[str, int] | None = None,
) -> None:
    """Raises FeedRefused where a feed breaks a limit of its source, compared with the last one applied.

    `skipped` counts, for each source, the skipped people, who are in the feed and not in `known`.
    """
    last: dict[str, SourceRecord] = {
        name: replace(one.record, past=comparable(one.record.past, one.undone))
        for name, one in memory.sources.items()
    }
    refused: list[FeedRefused] = []
    for sourced in feeds:
        facts, source = sourced.feed.facts, sourced.source
        mine = {
            matricule
            for matricule, assignments in known.items()
            if any(a.source == source.name and (a.end is None or a.end >= as_of) for a in assignments)
        }
        found = feed_refusals(
            facts,
            last.get(source.name),
            mine,
            sourced.feed.present,
            source,
            as_of,
            (skipped or {}).get(source.name, 0),
        )
        memory_of = memory.sources.get(source.name)
        if memory_of and _came_before(facts, memory_of):
            message = "this file was applied before, and others after it: remove it. "
            message += f"Only to go back to what it says: --accept-feed {facts.digest} --reason TEXT"
            found.append(("older", message))
        if memory_of and facts.digest in memory_of.undone:
            message = (
                "the run that applied it was undone, and it would do the same again; ask HR for another."
            )
            message += f"\n  Only if it is right after all: --accept-feed {facts.digest} --reason TEXT"
            found.append(("undone", message))
        if found and facts.digest not in accepted:
            refused.append(FeedRefused(str(sourced.path), found))
        if facts.full or not source.full:
            last[source.name] = record_of(facts, facts.date, last.get(source.name))
    raise_refused(refused)


def check_held(
    feeds: Sequence[SourcedFeed],
    holds: Iterable[Hold],
    memory: Memory,
    as_of: date,
    accepted: Collection[str],
) -> None:
    """Raises FeedRefused where too many people of a feed are held, because the rest of it is then wrong too.
    The feed that was applied last is not refused."""
    why = {hold.matricule: hold.why for hold in holds if hold.matricule}
    refused: list[FeedRefused] = []
    for sourced in feeds if why else ():
        facts = sourced.feed.facts
        last = memory.sources.get(sourced.source.name)
        if last is not None and last.record.digest == facts.digest:
            continue
        held = {matricule: why[matricule] for matricule in sorted(sourced.feed.present & why.keys())}
        found = held_refusal(facts, held, sourced.source, as_of)
        if found is not None and facts.digest not in accepted:
            refused.append(FeedRefused(str(sourced.path), [found]))
    raise_refused(refused)
