"""Builds the plan of a run: state, skip set, chunks, joint evaluation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date

from piactl.core.plan.sync_cache import key_of
from piactl.core.rules.desired import NUMEN
from piactl.directory.port import Reader
from piactl.directory.store.attribute_scans import read_numen_holders
from piactl.errors import FeedRefused
from piactl.feed.reader import read_feed
from piactl.flows.plan.chunked import chunks
from piactl.flows.plan.incremental.next_cache import NextCache, next_cache
from piactl.flows.plan.incremental.skip_set import SkipSet, unchanged_accounts
from piactl.flows.plan.inputs.load_feeds import in_order, raise_refused
from piactl.flows.plan.inputs.merge_feeds import NOTHING, Accepted, SourcedFeed
from piactl.flows.plan.inputs.run_state import RunState, read_run_state
from piactl.flows.plan.inputs.scan_feeds import Scan
from piactl.flows.plan.proposal import Proposal
from piactl.flows.plan.reconcile import reconcile
from piactl.flows.site import Site


def build_plan(
    reader: Reader,
    site: Site,
    scans: Sequence[Scan],
    as_of: date,
    accepted: Accepted = NOTHING,
    tick: Callable[[], None] = lambda: None,
    state: RunState | None = None,
) -> tuple[list[SourcedFeed], Proposal]:
    """The feeds and the plan of one run; `state` is read where it is not given.

    Raises FeedRefused and what `reconcile` raises.
    """
    if state is None:
        state = read_run_state(reader, site, as_of, feeds=bool(scans))
    cache = None if state.due_only else next_cache(reader, site, scans, as_of)
    skip = _skip_set(reader, site, scans, as_of, accepted, tick, state, cache)
    feeds, skip = _read_feeds(reader, site, scans, skip)
    return feeds, reconcile(reader, site, feeds, as_of, accepted, tick, state, skip, cache)


def _skip_set(
    reader: Reader,
    site: Site,
    scans: Sequence[Scan],
    as_of: date,
    accepted: Accepted,
    tick: Callable[[], None],
    state: RunState,
    cache: NextCache | None,
) -> SkipSet:
    """The accounts that the joint evaluation leaves out: unchanged ones, and those evaluated in chunks."""
    if cache is None:
        return SkipSet()
    memory = state.memory
    skip = unchanged_accounts(reader, site, cache, memory.last, {*memory.pending(), *accepted.people})
    accounts = len(skip.evaluate) if skip or memory.last is None else memory.last.census.total
    if max(len(cache.rows) - len(skip.unchanged), accounts) < chunks.FEWEST:
        return skip
    return chunks.evaluate_in_chunks(reader, site, scans, skip, cache, memory, as_of, tick, accepted.people)


def _read_feeds(
    reader: Reader, site: Site, scans: Sequence[Scan], skip: SkipSet
) -> tuple[list[SourcedFeed], SkipSet]:
    """The feeds without the rows of skipped accounts, and the skip set without the accounts that have the
    NUMEN of somebody who is evaluated: they are evaluated too, and so on until nobody is added."""
    keys = site.keys
    checked: set[str] = set()
    while True:
        feeds = _read(site, scans, skip)
        if not skip:
            return feeds, skip
        numens = {numen for sourced in feeds for numen in sourced.feed.numens()}
        digests = {digest for numen in numens for digest in keys.candidates(NUMEN, numen.reveal())}
        new = sorted(digests - checked)
        holders = read_numen_holders(reader, site.settings.directory, site.encoding, new)
        skipped = [(uid, matricule) for uid, matricule in holders if key_of(uid, matricule) in skip]
        if not skipped:
            return feeds, skip
        checked |= digests
        skip = skip.without(skipped)


def _read(site: Site, scans: Sequence[Scan], skip: SkipSet) -> list[SourcedFeed]:
    feeds: list[SourcedFeed] = []
    refused: list[FeedRefused] = []
    for scan in scans:
        try:
            feed = scan.feed or read_feed(scan.path, scan.source, skip.lines(scan.lines))
        except FeedRefused as error:
            refused.append(error)
        else:
            feeds.append(SourcedFeed(feed, scan.source, scan.path))
    raise_refused(refused)
    return in_order(feeds, site.settings.sources)
