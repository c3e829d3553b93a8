"""Makes plans in the process of the test, from a configuration and a directory."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path

from piactl.cli.framework.configuration import Configuration
from piactl.core.plan.guards import Census
from piactl.core.rules.desired import local_of
from piactl.directory.port import Reader
from piactl.directory.store.accounts import Unreadable, read_accounts
from piactl.flows.plan.build import build_plan
from piactl.flows.plan.inputs.account_index import ManagedAccounts
from piactl.flows.plan.inputs.load_feeds import scan_feeds
from piactl.flows.plan.inputs.merge_feeds import NOTHING, Accepted, SourcedFeed
from piactl.flows.plan.night_db import NightDb
from piactl.flows.plan.planning import FeedOfRun, Planning
from piactl.flows.plan.ready_plan import ReadyPlan
from piactl.flows.plan.run_state import RunState, read_run_state


def managed_accounts(reader: Reader, configuration: Configuration) -> ManagedAccounts:
    return ManagedAccounts(reader, configuration.settings.directory, configuration.encoding.fitted_to(reader))


def run_state(reader: Reader, configuration: Configuration, day: date, *, feeds: bool) -> RunState:
    """What earlier runs left for a run of this day."""
    accounts = managed_accounts(reader, configuration)
    return read_run_state(accounts, configuration.rules(day), configuration.unreadable, feeds=feeds)


def plan_at_once(
    reader: Reader,
    configuration: Configuration,
    feeds: Sequence[SourcedFeed],
    day: date,
    accepted: Accepted = NOTHING,
) -> ReadyPlan:
    """The plan of a night that evaluates everybody together, in memory, without the night's database."""
    state = run_state(reader, configuration, day, feeds=bool(feeds))
    accounts, rules = managed_accounts(reader, configuration), configuration.rules(day)
    of_run = [
        FeedOfRun(f.source, f.path, f.facts, lambda *_lines, feed=f.feed: feed.remarks) for f in feeds
    ]
    sources, folder = configuration.settings.sources, Path(configuration.settings.state_folder)
    planning = Planning(accounts, rules, sources, state, accepted, of_run, folder)
    entries = list(read_accounts(*accounts))
    planning.evaluate(entries, feeds, state.memory)
    names = {
        local_of(name).lower()
        for entry in entries
        for name in ((entry.uid, *entry.identifiers) if isinstance(entry, Unreadable) else entry.account.names)
    }
    planning.give_names(names, lambda: None)
    return planning.plan(Census(), {})


def plan_night(reader: Reader, configuration: Configuration, feeds: Sequence[str], day: date) -> ReadyPlan:
    """The plan of a night with these feeds."""
    rules, settings = configuration.rules(day), configuration.settings
    night = NightDb(Path(settings.state_folder), configuration.keys)
    scans = scan_feeds(feeds, settings.sources, night)
    state = run_state(reader, configuration, day, feeds=bool(feeds))
    return build_plan(managed_accounts(reader, configuration), rules, settings, scans, state, night)[1]
