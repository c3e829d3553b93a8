"""Forecasts what dates alone change: simulates the coming nights with the functions that plan a night."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

from piactl.core.model.account import Account
from piactl.core.model.settings import SourceSettings
from piactl.core.plan.plan import Plan
from piactl.core.rules.desired import Rules
from piactl.dataclass import dataclass
from piactl.directory.store.accounts import IN_ACCOUNTS
from piactl.directory.store.records import DATA, DUE, IN_RECORD, WAITING, Places, UnreadableRecords
from piactl.directory.store.state_records import read_last
from piactl.flows.plan.incremental import read_run_state
from piactl.flows.plan.inputs.account_index import ManagedAccounts
from piactl.flows.plan.reconcile import reconcile
from piactl.flows.plan.signed_plan_file import change_facts
from piactl.flows.simulation import Simulation


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
        # no date changes a group
        accounts = accounts._replace(directory=replace(accounts.directory, groups="", structures=""))
        self._simulation = Simulation(accounts, unreadable)
        directory, attributes = self._simulation.directory, self._simulation.attributes
        base, last = accounts.directory.accounts, f"{until:%Y%m%d}".encode()
        due = accounts.encoding.name("piactlNextDue")
        directory.take_up_to(base, IN_ACCOUNTS, due, last, attributes)
        waiting = Places(accounts.directory.state).folder(WAITING)
        directory.take_up_to(waiting, IN_RECORD, DUE, last, [DATA], scope="one")

    def nights(self) -> Iterator[Night]:
        """Every night on which something may be due, in order; the others change nothing.

        While the caller has a night, `account` returns accounts as they are before it.
        """
        day: date | None = self.first
        while day is not None and day <= self.until:
            rules = self.rules(day)
            accounts = self._simulation.accounts
            state = read_run_state(accounts, rules, self._unreadable, feeds=False)
            ready = reconcile(accounts, rules, self._sources, [], state)
            yield Night(day, ready.plan, whole=not state.due_only)
            self._simulation.carry_out(ready, f"forecast-{day}")
            day = self._next(day)

    def account(self, uid: str) -> Account | None:
        """An account as it is after the nights so far; None if none of them changes it."""
        return self._simulation.account(uid)

    def _next(self, day: date) -> date | None:
        """The next night on which anything is due. Changes of held people are due again the next night, when
        the hold may have ended."""
        due = min((value for _, value in self._simulation.directory.bounded()), default=None)
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
