"""What dates alone will change: the nights to come, run in memory by the very functions that plan a night."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

from piactl.core.model.account import Account
from piactl.core.plan.plan import Plan
from piactl.core.plan.run_state import LastRun
from piactl.directory.port import EntryWrite, Reader
from piactl.directory.simulated_directory import SimulatedDirectory
from piactl.directory.store.accounts import IN_ACCOUNTS, Unreadable, account_dn, account_queries, entry_of
from piactl.directory.store.memory_records import last_run_record, read_last
from piactl.directory.store.records import DATA, DUE, IN_RECORD, WAITING, Places, record_write, stored
from piactl.flows.plan.inputs.run_state import read_run_state
from piactl.flows.plan.proposal import Proposal
from piactl.flows.plan.reconcile import reconcile
from piactl.flows.plan.rows.serialize import change_facts
from piactl.flows.site import Site


@dataclass(frozen=True, slots=True)
class Night:
    """One night without a feed. `whole`: it looks at every account, as the first night does where the
    policy or the register is another than the last run's, or where that left something undone."""

    day: date
    plan: Plan
    whole: bool


class Forecast:
    """The nights from `first` to `until` without any feed, each after the one before.

    A plan that breaks guards is told with its refusals, and the nights after it go on as if it had been
    approved. Nothing is written. Memory grows with the accounts that change, not with those there are.
    """

    def __init__(self, reader: Reader, site: Site, first: date, until: date) -> None:
        self.site, self.first, self.until = site, first, until
        self._directory = SimulatedDirectory(reader)
        self._attributes = (*site.encoding.attributes, "objectClass")
        settings, last = site.settings.directory, f"{until:%Y%m%d}".encode()
        due = site.encoding.name("piactlNextDue")
        self._directory.take_up_to(settings.accounts, IN_ACCOUNTS, due, last, self._attributes)
        waiting = Places(settings.state).folder(WAITING)
        self._directory.take_up_to(waiting, IN_RECORD, DUE, last, [DATA], scope="one")

    def nights(self) -> Iterator[Night]:
        """Every night of the time on which something may be due, in their order; the others change nothing.

        While a night is handed out, `account` still tells of the accounts before it.
        """
        day: date | None = self.first
        while day is not None and day <= self.until:
            state = read_run_state(self._directory, self.site, day, feeds=False)
            proposal = reconcile(self._directory, self.site, [], day, state=state)
            yield Night(day, proposal.plan, whole=not state.due_only)
            self._go_on(proposal, day)
            day = self._next(day)

    def account(self, uid: str) -> Account | None:
        """An account as it is after the nights so far, where one of them was about it; else None."""
        raw = self._directory.held(account_dn(self.site.settings.directory, uid))
        entry = entry_of(raw, self.site.encoding) if raw else None
        return None if entry is None or isinstance(entry, Unreadable) else entry.account

    def _go_on(self, proposal: Proposal, day: date) -> None:
        """The directory as the run would leave it."""
        self._take(proposal)
        self._directory.apply(one.write for one in proposal.writes)
        self._directory.apply(proposal.records)
        last = proposal.memory.last
        if last is not None:
            self._directory.apply(self._run_record(replace(last, run=f"forecast-{day}")))

    def _take(self, proposal: Proposal) -> None:
        """Reads, some at a time, the entries that a look at everything has found something to do for."""
        settings, encoding = self.site.settings.directory, self.site.encoding
        missing = [
            one.uid
            for one in proposal.writes
            if one.write.op == "modify" and self._directory.held(one.write.dn) is None
        ]
        for query in account_queries(encoding, missing):
            self._directory.take(settings.accounts, query, self._attributes)

    def _run_record(self, last: LastRun) -> Sequence[EntryWrite]:
        dn = Places(self.site.settings.directory.state).last_run
        write = record_write(dn, stored(self._directory.read(dn, [DATA])), last_run_record(last))
        return [write] if write is not None else []

    def _next(self, day: date) -> date | None:
        """The next night on which anything is due. What a night left due, for it is held, is due again on
        the next: the day may come that frees it."""
        due = min((value for _, value in self._directory.bounded()), default=None)
        return max(date.fromisoformat(due.decode()), day + timedelta(days=1)) if due else None


def first_night(reader: Reader, site: Site, as_of: date) -> date:
    """The first night that can be foretold: that of the day, or of the last run where that is later."""
    last = read_last(reader, site.settings.directory.state, site.unreadable)
    return max(as_of, last.as_of) if last else as_of


def change_rows(night: Night) -> Iterator[dict[str, Any]]:
    """The changes of a night in the order in which it would make them, as the plan tells them, each with
    its `date` and `stopped_by`, the guards that would stop that night."""
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
