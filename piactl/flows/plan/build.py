"""Builds the plan of a run: skip set, chunks, joint evaluation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

from piactl.core.model.digests import NUMEN
from piactl.core.model.settings import Settings, SourceSettings
from piactl.core.plan.sync_cache import key_of
from piactl.core.rules.desired import Rules
from piactl.directory.store.attribute_scans import read_numen_holders
from piactl.errors import FeedRefused
from piactl.feed.reader import read_feed
from piactl.flows.plan import chunks
from piactl.flows.plan.incremental import NextCache, RunState, SkipSet, next_cache, unchanged_accounts
from piactl.flows.plan.inputs.account_index import ManagedAccounts
from piactl.flows.plan.inputs.linked_matricules import LinkedMatricules
from piactl.flows.plan.inputs.load_feeds import Scan, in_order, raise_refused
from piactl.flows.plan.inputs.merge_feeds import NOTHING, Accepted, SourcedFeed
from piactl.flows.plan.ready_plan import ReadyPlan
from piactl.flows.plan.reconcile import reconcile


def build_plan(
    accounts: ManagedAccounts,
    rules: Rules,
    settings: Settings,
    scans: Sequence[Scan],
    state: RunState,
    accepted: Accepted = NOTHING,
    tick: Callable[[], None] = lambda: None,
) -> tuple[list[SourcedFeed], ReadyPlan, NextCache | None]:
    """The feeds and the plan of one run, and the sync cache that it prepares for the next one.

    Raises FeedRefused and what `reconcile` raises.
    """
    people = (scan.lines.people if scan.lines else scan.feed.present if scan.feed else () for scan in scans)
    linked = state.linked.named(chain(*people, state.remembered.memory.waiting), rules.keys)
    state = replace(state, linked=linked)
    cache = None if state.due_only else next_cache(accounts, rules, settings, scans)
    skip = SkipSet()
    if cache is not None:
        skip = _skip_set(accounts, rules, settings, scans, state, accepted, tick, cache)
    feeds, skip = _read_feeds(accounts, rules, settings.sources, scans, skip, state)
    plan = reconcile(accounts, rules, settings.sources, feeds, state, accepted, tick, skip, cache)
    return feeds, plan, cache


def _skip_set(
    accounts: ManagedAccounts,
    rules: Rules,
    settings: Settings,
    scans: Sequence[Scan],
    state: RunState,
    accepted: Accepted,
    tick: Callable[[], None],
    cache: NextCache,
) -> SkipSet:
    """The accounts that the joint evaluation leaves out: unchanged ones, and those evaluated in chunks."""
    memory, folder = state.memory, Path(settings.state_folder)
    always = {*memory.pending(), *accepted.people, *state.linked.people()}
    skip = unchanged_accounts(accounts, rules.keys, folder, cache, memory.last, always)
    count = len(skip.evaluate) if skip or memory.last is None else memory.last.census.total
    if max(len(cache.rows) - len(skip.unchanged), count) < chunks.FEWEST:
        return skip
    return chunks.evaluate_in_chunks(
        accounts,
        rules,
        settings.sources,
        folder,
        scans,
        skip,
        cache,
        memory,
        state.linked,
        tick,
        accepted.people,
    )


def _read_feeds(
    accounts: ManagedAccounts,
    rules: Rules,
    sources: Mapping[str, SourceSettings],
    scans: Sequence[Scan],
    skip: SkipSet,
    state: RunState,
) -> tuple[list[SourcedFeed], SkipSet]:
    """The feeds without the rows of skipped accounts, and the skip set without the accounts that have the
    NUMEN of a person who is evaluated or waits: they are evaluated too, and so on until none is added."""
    checked: set[str] = set()
    # a run between may have left people in waiting whom the cache does not know
    waiting = {record.numen_digest for record in state.memory.waiting.values() if record.numen_digest}
    while True:
        feeds = _read(sources, scans, skip, state.linked)
        if not skip:
            return feeds, skip
        numens = {numen for sourced in feeds for numen in sourced.feed.numens()}
        digests = {digest for numen in numens for digest in rules.keys.candidates(NUMEN, numen.reveal())}
        new = sorted((digests | waiting) - checked)
        holders = read_numen_holders(*accounts, new)
        skipped = [(uid, matricule) for uid, matricule in holders if key_of(uid, matricule) in skip]
        if not skipped:
            return feeds, skip
        checked.update(new)
        skip = skip.without(skipped)


def _read(
    sources: Mapping[str, SourceSettings], scans: Sequence[Scan], skip: SkipSet, linked: LinkedMatricules
) -> list[SourcedFeed]:
    feeds: list[SourcedFeed] = []
    refused: list[FeedRefused] = []
    for scan in scans:
        try:
            if scan.feed is not None and not linked.first:
                feed = scan.feed
            else:
                feed = read_feed(scan.path, scan.source, skip.lines(scan.lines), linked.first)
        except FeedRefused as error:
            refused.append(error)
        else:
            feeds.append(SourcedFeed(feed, scan.source, scan.path))
    raise_refused(refused)
    return in_order(feeds, sources)
