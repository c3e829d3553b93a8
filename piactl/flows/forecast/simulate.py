"""Forecasts what dates alone change: simulates the coming nights with the functions that plan a night."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

from piactl.core.model.account import Account
from piactl.core.model.settings import SourceSettings
from piactl.core.plan.plan import Plan
from piactl.core.plan.run_state import LastRun
from piactl.core.rules.desired import Rules
from piactl.directory.port import EntryWrite
from piactl.directory.simulated_directory import SimulatedDirectory
from piactl.directory.store.accounts import IN_ACCOUNTS, Unreadable, account_dn, account_queries, entry_of
from piactl.directory.store.memory_records import last_run_record, read_last
from piactl.directory.store.records import (
    DATA,
    DUE,
    IN_RECORD,
    WAITING,
    Places,
    UnreadableRecords,
    record_write,
    stored,
)
from piactl.flows.plan.incremental import read_run_state
from piactl.flows.plan.inputs.account_index import ManagedAccounts
from piactl.flows.plan.plan_file import change_facts
from piactl.flows.plan.ready_plan import ReadyPlan
from piactl.flows.plan.reconcile import reconcile


@dataclass(frozen=True, slots=True)
class Night:
    """One night without a feed. `whole`: it evaluates every account, as the first night does if the policy or
    the register has changed since the last run, or if that run left something undone."""

    day: date
    plan: Plan
    whole: bool


class Forecast:
    """The nights from `first` to `until` without any feed, each after the one before.

    A plan that breaks guards has its refusals, and later nights are computed as if it had been approved.
    Nothing is written. Memory grows with the accounts that change, not with all accounts. `rules` returns the
    rules of a day.
    """

    def __init__(
        self,
        accounts: ManagedAccounts,
        rules: Callable[[date], Rules],
        sources: Mapping[str, SourceSettings],
        unreadable: UnreadableRecords,
        first: date,
        until: date,
    ) -> None:
        self.rules, self.first, self.until = rules, first, until
        self._sources, self._unreadable = sources, unreadable
        self._directory = SimulatedDirectory(accounts.reader)
        # no date changes a group
        directory = replace(accounts.directory, groups="")
        self._accounts = accounts._replace(reader=self._directory, directory=directory)
        self._attributes = (*accounts.encoding.attributes, "objectClass")
        base, last = accounts.directory.accounts, f"{until:%Y%m%d}".encode()
        due = accounts.encoding.name("piactlNextDue")
        self._directory.take_up_to(base, IN_ACCOUNTS, due, last, self._attributes)
        waiting = Places(accounts.directory.state).folder(WAITING)
        self._directory.take_up_to(waiting, IN_RECORD, DUE, last, [DATA], scope="one")

    def nights(self) -> Iterator[Night]:
        """Every night on which something may be due, in order; the others change nothing.

        While the caller has a night, `account` returns accounts as they are before it.
        """
        day: date | None = self.first
        while day is not None and day <= self.until:
            rules = self.rules(day)
            state = read_run_state(self._accounts, rules, self._unreadable, feeds=False)
            ready = reconcile(self._accounts, rules, self._sources, [], state)
            yield Night(day, ready.plan, whole=not state.due_only)
            self._apply(ready, day)
            day = self._next(day)

    def account(self, uid: str) -> Account | None:
        """An account as it is after the nights so far; None if none of them changes it."""
        raw = self._directory.held(account_dn(self._accounts.directory, uid))
        entry = entry_of(raw, self._accounts.encoding) if raw else None
        return None if entry is None or isinstance(entry, Unreadable) else entry.account

    def _apply(self, ready: ReadyPlan, day: date) -> None:
        """Applies the plan to the simulated directory."""
        self._take(ready)
        self._directory.apply(row.write for row in ready.writes)
        self._directory.apply(ready.records)
        if ready.last is not None:
            self._directory.apply(self._run_record(replace(ready.last, run=f"forecast-{day}")))

    def _take(self, ready: ReadyPlan) -> None:
        """Reads, in chunks, the entries to change that were not due and so not read before."""
        missing = [
            row.uid
            for row in ready.writes
            if row.write.op == "modify" and self._directory.held(row.write.dn) is None
        ]
        for query in account_queries(self._accounts.encoding, missing):
            self._directory.take(self._accounts.directory.accounts, query, self._attributes)

    def _run_record(self, last: LastRun) -> Sequence[EntryWrite]:
        dn = Places(self._accounts.directory.state).last_run
        write = record_write(dn, stored(self._directory.read(dn, [DATA])), last_run_record(last))
        return [write] if write is not None else []

    def _next(self, day: date) -> date | None:
        """The next night on which anything is due. Changes of held people are due again the next night, when
        the hold may have ended."""
        due = min((value for _, value in self._directory.bounded()), default=None)
        return max(date.fromisoformat(due.decode()), day + timedelta(days=1)) if due else None


def first_night(accounts: ManagedAccounts, unreadable: UnreadableRecords, as_of: date) -> date:
    """The first night of a forecast: that of the day, or of the last run if that is later."""
    last = read_last(accounts.reader, accounts.directory.state, unreadable)
    return max(as_of, last.as_of) if last else as_of


def change_rows(night: Night) -> Iterator[dict[str, Any]]:
    """The changes of a night in the order of its plan, each with its `date` and `stopped_by`, the guards that
    would stop that night."""
    stopped_by = guards_broken(night)
    for change in night.plan.changes:
        facts = change_facts(change)
        yield {"date": night.day.isoformat(), **facts, "stopped_by": stopped_by}


def day_row(night: Night) -> dict[str, Any]:
    """One night in numbers: `date`, accounts by kind of change (a key for each), `accounts` in all,
    `stopped_by`."""
    uids = {change.uid for change in night.plan.changes}
    return {
        "date": night.day.isoformat(),
        **night.plan.summary,
        "accounts": len(uids),
        "stopped_by": guards_broken(night),
    }


def guards_broken(night: Night) -> list[str]:
    """The kinds of change whose guards would stop the night."""
    return sorted({refusal.kind for refusal in night.plan.refusals})
