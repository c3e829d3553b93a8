"""Makes plans in the process of the test, from a configuration and a directory."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from itertools import chain
from pathlib import Path
from typing import Any

from piactl.cli.framework.configuration import Configuration, open_configuration
from piactl.directory.open import open_reader
from piactl.directory.port import Reader
from piactl.flows.plan.build import build_plan
from piactl.flows.plan.deleted_entries import newly_gone, still_gone
from piactl.flows.plan.incremental import RunState, read_run_state
from piactl.flows.plan.inputs.account_index import ManagedAccounts
from piactl.flows.plan.inputs.load_feeds import read_feeds, scan_feeds
from piactl.flows.plan.inputs.lost_zeros import Written, find_slips
from piactl.flows.plan.inputs.merge_feeds import NOTHING, Accepted, SourcedFeed
from piactl.flows.plan.ready_plan import ReadyPlan
from piactl.flows.plan.reconcile import reconcile
from piactl.flows.plan.signed_plan_file import plan_pieces, sealed
from piactl.secret_files import identity_password


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
    """The plan of a night that evaluates everybody together in memory, without what an earlier night kept for
    it: the oracle that the plan of every night must equal."""
    accounts, rules = managed_accounts(reader, configuration), configuration.rules(day)
    state = run_state(reader, configuration, day, feeds=True)
    memory = state.remembered.memory
    people = (sourced.feed.present for sourced in feeds)
    state = replace(state, linked=state.linked.named(chain(*people, memory.waiting), rules.keys))
    files = (Written(s.source, s.feed.present, s.feed.is_rejects) for s in feeds)
    state = replace(state, slips=find_slips(files, accounts, state.listed, state.linked, memory))
    gone = newly_gone(accounts, state.listed, None, day)
    state = state.with_vanished(still_gone(accounts, {**gone, **memory.vanished}))
    return reconcile(accounts, rules, configuration.settings.sources, feeds, state, accepted)


def oracle(config: Path, feeds: Sequence[Path], day: date) -> dict[str, Any]:
    """What `plan FEED... --as-of DAY --out FILE` would write to its file if `plan_at_once` had made the plan.
    The dates of the feeds are not checked, as with --as-of."""
    configuration = open_configuration(config)
    settings = configuration.settings
    with open_reader(settings.directory, "reader", identity_password) as reader:
        read = read_feeds([*map(str, feeds)], settings.sources)
        ready = plan_at_once(reader, configuration, read, day, Accepted(date=True))
    made = sealed(ready, configuration.keys, Path(settings.state_folder), ())
    plan: dict[str, Any] = json.loads(b"".join(plan_pieces(made)))
    return plan


def plan_night(reader: Reader, configuration: Configuration, feeds: Sequence[str], day: date) -> ReadyPlan:
    """The plan of a night with these feeds."""
    rules = configuration.rules(day)
    scans = scan_feeds(feeds, configuration.settings.sources, configuration.keys)
    state = run_state(reader, configuration, day, feeds=bool(feeds))
    return build_plan(managed_accounts(reader, configuration), rules, configuration.settings, scans, state)[1]
