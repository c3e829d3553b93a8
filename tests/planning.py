"""Plans made in the process of the test, from a configuration and a directory."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from piactl.directory.port import Reader
from piactl.flows.plan.build import build_plan
from piactl.flows.plan.incremental import RunState, read_run_state
from piactl.flows.plan.inputs.account_index import ManagedAccounts
from piactl.flows.plan.inputs.load_feeds import scan_feeds
from piactl.flows.plan.inputs.merge_feeds import NOTHING, Accepted, SourcedFeed
from piactl.flows.plan.ready_plan import ReadyPlan
from piactl.flows.plan.reconcile import reconcile
from piactl.flows.site import Site


def managed_accounts(reader: Reader, site: Site) -> ManagedAccounts:
    return ManagedAccounts(reader, site.settings.directory, site.encoding_for(reader))


def run_state(reader: Reader, site: Site, day: date, *, feeds: bool) -> RunState:
    """What earlier runs left for a run of this day."""
    accounts = managed_accounts(reader, site)
    return read_run_state(accounts, site.rules(day), site.unreadable, feeds=feeds)


def plan_at_once(
    reader: Reader, site: Site, feeds: Sequence[SourcedFeed], day: date, accepted: Accepted = NOTHING
) -> ReadyPlan:
    """The plan of a night that evaluates everybody together, without the sync cache."""
    state = run_state(reader, site, day, feeds=bool(feeds))
    accounts, rules = managed_accounts(reader, site), site.rules(day)
    return reconcile(accounts, rules, site.settings.sources, feeds, state, accepted)


def plan_night(reader: Reader, site: Site, feeds: Sequence[str], day: date) -> ReadyPlan:
    """The plan of a night with these feeds."""
    rules = site.rules(day)
    scans = scan_feeds(feeds, site.settings.sources, site.keys)
    state = run_state(reader, site, day, feeds=bool(feeds))
    return build_plan(managed_accounts(reader, site), rules, site.settings, scans, state)[1]
