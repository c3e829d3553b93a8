"""From the feeds of a command to a plan: everybody is looked at, but those who are known to be settled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date

from piactl.directory.port import Reader
from piactl.directory.store.state_records import read_memory
from piactl.errors import FeedRefused
from piactl.feed.reader import read_feed
from piactl.feed.source_matcher import feed_argument
from piactl.flows.plan.chunked import chunks as sifting
from piactl.flows.plan.incremental.unchanged import (
    NotSettled,
    Scan,
    Settling,
    lines_key,
    nobody_settled,
    scan_feed,
    settle,
)
from piactl.flows.plan.inputs.load_feeds import in_order, raise_refused
from piactl.flows.plan.inputs.merge_feeds import NOTHING, Accepted, SourcedFeed
from piactl.flows.plan.reconcile import due_alone, propose
from piactl.flows.plan.rows.bundle import Proposal
from piactl.flows.site import Site

_TRIES = 3
"""Before everybody is looked at: each finds some more who cannot be passed by."""


def scan_feeds(site: Site, arguments: Sequence[str]) -> list[Scan]:
    """Goes over the feeds that the arguments name. A delta, and a feed that cannot be gone over, is read.

    Raises UsageError for an argument that fits no source, FeedRefused.
    """
    sources = site.settings.sources
    named = [feed_argument(argument, sources) for argument in arguments]
    key = lines_key(site) if named else b""
    scans: list[Scan] = []
    refused: list[FeedRefused] = []
    for source, path in named:
        try:
            scans.append(scan_feed(source, path, key))
        except FeedRefused as error:
            refused.append(error)
    raise_refused(refused)
    return scans


def proposed(
    reader: Reader,
    site: Site,
    scans: Sequence[Scan],
    as_of: date,
    accepted: Accepted = NOTHING,
    tick: Callable[[], None] = lambda: None,
) -> tuple[list[SourcedFeed], Proposal]:
    """The feeds and the plan of one run. Raises FeedRefused and what `propose` raises."""
    settling = settle(reader, site, scans, as_of)
    if settling is None and _many_accounts(reader, site, scans, as_of):
        settling = nobody_settled(reader, site, scans, as_of)
        if settling is not None:
            sifting.sift(reader, site, scans, settling, as_of, tick, accepted.people)
    elif settling is not None and settling.to_look_at() >= sifting.MANY:
        sifting.sift(reader, site, scans, settling, as_of, tick, accepted.people)
    for _ in range(_TRIES):
        try:
            return _proposed(reader, site, scans, as_of, accepted, tick, settling)
        except NotSettled as met:
            if settling is None or not met.accounts:
                break
            settling.look_at(met.accounts)
    if settling is not None:
        settling.pass_nobody()
    return _proposed(reader, site, scans, as_of, accepted, tick, settling)


def _many_accounts(reader: Reader, site: Site, scans: Sequence[Scan], as_of: date) -> bool:
    """Whether very many accounts have to be looked at although no full feed tells of all people: for a change
    of the policy, say, or beside a delta."""
    memory = read_memory(reader, site.settings.directory.state, site.keys, site.unreadable, due=as_of).memory
    if not scans and due_alone(reader, site, memory, ()):
        return False
    return memory.last is not None and memory.last.census.total >= sifting.MANY


def _proposed(
    reader: Reader,
    site: Site,
    scans: Sequence[Scan],
    as_of: date,
    accepted: Accepted,
    tick: Callable[[], None],
    settling: Settling | None,
) -> tuple[list[SourcedFeed], Proposal]:
    feeds = _read(scans, site, settling)
    return feeds, propose(reader, site, feeds, as_of, accepted, tick, settling)


def _read(scans: Sequence[Scan], site: Site, settling: Settling | None) -> list[SourcedFeed]:
    feeds: list[SourcedFeed] = []
    refused: list[FeedRefused] = []
    for scan in scans:
        skipped = settling.skipped(scan.lines) if settling else None
        try:
            feed = scan.feed or read_feed(scan.path, scan.source, skipped)
        except FeedRefused as error:
            refused.append(error)
        else:
            feeds.append(SourcedFeed(feed, scan.source, scan.path))
    raise_refused(refused)
    return in_order(feeds, site.settings.sources)
