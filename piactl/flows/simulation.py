"""Carries plans out over a directory in memory, so that a later plan can be made on them."""

from __future__ import annotations

from dataclasses import replace

from piactl.directory.store.accounts import CSN, account_filters
from piactl.directory.store.records import DATA, Places, record_write, stored
from piactl.directory.store.state_records import last_run_record
from piactl.directory.written_over import WrittenOver
from piactl.flows.plan.inputs.account_index import ManagedAccounts
from piactl.flows.plan.night_db import NightDb
from piactl.flows.plan.ready_plan import ReadyPlan


def carry_out(
    over: WrittenOver, accounts: ManagedAccounts, ready: ReadyPlan, run: str, night: NightDb | None = None
) -> None:
    """Shows in `over` what a run `run` would leave that applies a plan of these accounts, which `over` reads.
    `night` then knows what was written."""
    missing = [
        row.uid for row in ready.writes if row.write.op == "modify" and over.held(row.write.dn) is None
    ]
    queries = account_filters(accounts.encoding.name("uid"), missing)
    attributes = (*accounts.encoding.attributes, "objectClass", CSN)
    over.take(list(over.search_each(accounts.directory.accounts, queries, attributes)))
    for row in ready.writes:
        [result] = over.write([row.write])
        if night is not None:
            night.confirm(row.uid, result)
    if night is not None:
        night.settle()
    over.apply(ready.records)
    if ready.last is not None:
        dn = Places(accounts.directory.state).last_run
        record = last_run_record(replace(ready.last, run=run, plan=ready.fingerprint))
        write = record_write(dn, stored(over.read(dn, [DATA])), record)
        over.apply([write] if write is not None else [])
