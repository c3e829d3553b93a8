"""Compares two policies for the same people: what the second changes if it replaces the first."""

from __future__ import annotations

from dataclasses import replace

from piactl.core.model.settings import Settings
from piactl.core.plan.plan import Plan
from piactl.core.rules.desired_account import Rules
from piactl.directory.simulated_writes import SimulatedWrites
from piactl.directory.store.attribute_map import Encoding
from piactl.directory.store.record_entries import UnreadableRecords
from piactl.planning.account_index import ManagedAccounts
from piactl.planning.build_plan import build_plan
from piactl.planning.load_feeds import ScannedFeeds
from piactl.planning.merge_feeds import Accepted
from piactl.planning.night_db import NightDb
from piactl.planning.run_state import read_run_state
from piactl.trials.carry_out_plans import carry_out, take_written

RUN = "the old policy"


def policy_diff(
    accounts: ManagedAccounts,
    old: Rules,
    new: Rules,
    encoding: Encoding,
    settings: Settings,
    unreadable: UnreadableRecords,
    scans: ScannedFeeds,
    night: NightDb,
    accepted: Accepted,
) -> tuple[Plan, Plan]:
    """The plan that makes the accounts what the old policy wants, and the plan of the new one after it: the
    changes that the policy alone makes. `encoding` is the encoding for the new policy. Nothing is written.

    Raises FeedRefused and what else `build_plan` raises.
    """
    over = SimulatedWrites(accounts.reader)
    accounts = accounts._replace(reader=over)
    state = read_run_state(accounts, old, unreadable)
    _, before = build_plan(accounts, old, settings, scans, state, night, accepted)
    take_written(over, accounts, before)
    carry_out(over, accounts.directory.state, before, RUN)
    after_it = accounts._replace(encoding=encoding)
    state = read_run_state(after_it, new, unreadable)
    # with the feeds again: for accounts that the old policy made, and rows that only the new one can read
    _, ready = build_plan(after_it, new, settings, scans, state, night, accepted)
    return before.plan, replace(ready.plan, remarks=())
