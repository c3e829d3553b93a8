"""Makes plans in the process of the test, from a configuration and a directory."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from piactl.cli.framework.configuration import Configuration
from piactl.directory.port import Reader
from piactl.flows.plan.build import build_plan
from piactl.flows.plan.incremental import RunState, read_run_state
from piactl.flows.plan.inputs.account_index import ManagedAccounts
from piactl.flows.plan.inputs.load_feeds import scan_feeds
from piactl.flows.plan.inputs.merge_feeds import NOTHING, Accepted, SourcedFeed
from piactl.flows.plan.ready_plan import ReadyPlan
from piactl.flows.plan.reconcile import reconcile


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
    """The plan of a night that evaluates everybody together, without the sync cache."""
    state = run_state(reader, configuration, day, feeds=bool(feeds))
    accounts, rules = managed_accounts(reader, configuration), configuration.rules(day)
    return reconcile(accounts, rules, configuration.settings.sources, feeds, state, accepted)


def plan_night(reader: Reader, configuration: Configuration, feeds: Sequence[str], day: date) -> ReadyPlan:
    """The plan of a night with these feeds."""
    rules = configuration.rules(day)
    scans = scan_feeds(feeds, configuration.settings.sources, configuration.keys)
    state = run_state(reader, configuration, day, feeds=bool(feeds))
    return build_plan(managed_accounts(reader, configuration), rules, configuration.settings, scans, state)[1]
