"""Carries plans out in a simulated directory, as the runs that apply them would in the real one."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time

from piactl.core.model.account import Account
from piactl.core.plan.run_state import LastRun
from piactl.directory.port import RawEntry
from piactl.directory.simulated_directory import SimulatedDirectory
from piactl.directory.store.account_list import run_list_writes
from piactl.directory.store.accounts import CSN, Unreadable, account_dn, account_filters, entry_of
from piactl.directory.store.records import DATA, Places, UnreadableRecords, record_write, stored
from piactl.directory.store.state_records import last_run_record, read_last
from piactl.flows.plan.inputs.account_index import ManagedAccounts
from piactl.flows.plan.night_db import NightDb
from piactl.flows.plan.ready_plan import ReadyPlan


class Simulation:
    """The directory behind `accounts` with the plans that were carried out in memory. Nothing is written.

    `accounts` are those of the simulated directory: what the next plan is made from.
    """

    def __init__(self, accounts: ManagedAccounts, unreadable: UnreadableRecords) -> None:
        nightly = accounts.directory.identities.get("nightly")
        self.directory = SimulatedDirectory(accounts.reader, nightly.dn if nightly else "")
        self.accounts = accounts._replace(reader=self.directory)
        self.attributes = (*accounts.encoding.attributes, "objectClass", CSN)
        self._unreadable = unreadable
        self._listed: datetime | None = None

    def carry_out(
        self, ready: ReadyPlan, run: str, night: NightDb | None = None, *, listed: bool = False
    ) -> None:
        """Applies a plan as the run `run`. `night` then knows what was written; `listed`: new accounts are
        listed too, as by a real night."""
        self._take(ready)
        rows = [*ready.writes]
        results = self.directory.write(row.write for row in rows)
        for row, result in zip(rows, results, strict=True):
            if night is not None:
                night.confirm(row.uid, result)
        if night is not None:
            night.settle()
        if listed:
            self._list(ready)
        self.directory.apply(ready.records)
        if ready.last is not None:
            self._remember(replace(ready.last, run=run, plan=ready.fingerprint))

    def account(self, uid: str) -> Account | None:
        """An account after the plans so far; None if none of them changed it."""
        raw = self._held(uid)
        entry = entry_of(raw, self.accounts.encoding) if raw else None
        return None if entry is None or isinstance(entry, Unreadable) else entry.account

    def _held(self, uid: str) -> RawEntry | None:
        return self.directory.held(account_dn(self.accounts.directory, uid))

    def _take(self, ready: ReadyPlan) -> None:
        """Reads, in chunks, the entries to change that were not read before."""
        missing = [
            row.uid
            for row in ready.writes
            if row.write.op == "modify" and self.directory.held(row.write.dn) is None
        ]
        for query in account_filters(self.accounts.encoding.name("uid"), missing):
            self.directory.take(self.accounts.directory.accounts, query, self.attributes)

    def _list(self, ready: ReadyPlan) -> None:
        directory, before, day = self.accounts.directory, self.last, ready.plan.basis.as_of
        # since the last simulated night nobody else wrote
        since = self._listed or (before.week_began(day) if before else None)
        self._listed = datetime.combine(day, time(), UTC)
        writes = run_list_writes(self.directory, directory, self._unreadable, since)
        self.directory.apply(list(writes))

    @property
    def last(self) -> LastRun | None:
        """The last run, simulated or real."""
        return read_last(self.directory, self.accounts.directory.state, self._unreadable)

    def _remember(self, last: LastRun) -> None:
        dn = Places(self.accounts.directory.state).last_run
        write = record_write(dn, stored(self.directory.read(dn, [DATA])), last_run_record(last))
        self.directory.apply([write] if write is not None else [])
