"""Carries out plans of nights that only lead to the next plan: in memory, or on a private server."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from itertools import chain, tee

from piactl.core.plan.plan import ReadyPlan
from piactl.core.plan.recent_losses import losses_without
from piactl.directory.interfaces import Changeable, Outcome, search_each
from piactl.directory.simulated_writes import SimulatedWrites
from piactl.directory.store.account_entries import CSN, account_filters
from piactl.directory.store.record_entries import DATA, Places, must, replace_record, stored
from piactl.directory.store.typed_records import to_json
from piactl.planning.account_index import ManagedAccounts
from piactl.planning.night_db import NightDb


def carry_out(
    over: Changeable,
    state: str,
    ready: ReadyPlan,
    run: str,
    night: NightDb | None = None,
    allowed: Collection[str] = (),
) -> list[str]:
    """Writes the accounts of a plan, whatever guards it breaks, then its records, as the run `run`. `night`
    then knows what was written. The losses of the `allowed` kinds start again. Returns a sentence for each
    account that could not be written."""
    # as in a real run, what takes something away comes first
    losing = (row for row in ready.writes if row.loses)
    rows, sent = tee(chain(losing, (row for row in ready.writes if not row.loses)))
    problems = []
    for row, result in zip(rows, over.write(sent), strict=True):
        if night is not None:
            night.confirm(row.uid, result)
        if result.outcome in (Outcome.CONFLICT, Outcome.FAILED):
            problems.append(f"{row.uid}: {result.message}")
    if night is not None:
        night.take_as_known()
    must(over, ready.records)
    if ready.last is not None:
        losses = losses_without(ready.last.losses, allowed)
        last = replace(ready.last, run=run, losses=losses, clean=ready.last.clean and not problems)
        dn = Places(state).last_run
        replace_record(over, dn, stored(over.read(dn, [DATA])), to_json(last))
    return problems


def take_written(over: SimulatedWrites, accounts: ManagedAccounts, ready: ReadyPlan) -> None:
    """Reads the accounts that a plan changes, all at once."""
    missing = [row.uid for row in ready.writes if row.op == "modify" and over.held(row.dn) is None]
    queries = account_filters(accounts.encoding.name("uid"), missing)
    attributes = (*accounts.encoding.attributes, "objectClass", CSN)
    over.take(list(search_each(over, accounts.directory.accounts, queries, attributes)))
