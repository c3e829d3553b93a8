"""Forecasts what dates alone change: simulates the coming nights with the functions that plan a night, and
lists the people who lose something, so that they can be warned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from piactl.ask.account_views import PRIVATE_MAIL, person_facts, private_mail
from piactl.core.model.account import Account, Right, State
from piactl.core.model.periods import civil
from piactl.core.model.settings import Settings
from piactl.core.plan.change import LOSING, Change, Kind
from piactl.core.plan.plan import Plan
from piactl.core.rules.desired_account import Rules
from piactl.core.text import iso
from piactl.directory import filters
from piactl.directory.simulated_writes import SimulatedWrites
from piactl.directory.store.account_entries import CSN, IN_ACCOUNTS, Entry, account_dn, entry_of
from piactl.directory.store.record_entries import DATA, DUE, IN_RECORD, WAITING, Places, UnreadableRecords
from piactl.directory.store.state_records import read_last
from piactl.edits.account_store import career_and_status
from piactl.planning.account_index import ManagedAccounts
from piactl.planning.build_plan import build_plan
from piactl.planning.load_feeds import ScannedFeeds
from piactl.planning.night_db import NightDb
from piactl.planning.run_state import read_run_state
from piactl.planning.signed_plan_file import change_facts
from piactl.trials.carry_out_plans import carry_out, take_written


class Night(NamedTuple):
    """One night without a feed."""

    day: date
    plan: Plan


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
        settings: Settings,
        unreadable: UnreadableRecords,
        first: date,
        until: date,
    ) -> None:
        self.rules, self.first, self.until = rules, first, until
        self._settings, self._unreadable = settings, unreadable
        # no date changes a group
        directory = replace(accounts.directory, groups="", structures="")
        self._over = SimulatedWrites(accounts.reader)
        self._accounts = accounts._replace(reader=self._over, directory=directory)
        last, self._due = f"{until:%Y%m%d}", accounts.encoding.name("piactlNextDue")
        due = filters.all_of(IN_ACCOUNTS, filters.at_most(self._due, last))
        attributes = [*accounts.encoding.attributes, "objectClass", CSN]
        self._over.take(accounts.reader.search(directory.accounts, due, attributes))
        waiting, due = Places(directory.state).folder(WAITING), filters.at_most(DUE, last)
        due = filters.all_of(IN_RECORD, due)
        self._over.take(accounts.reader.search(waiting, due, ["objectClass", "cn", DATA, DUE], scope="one"))

    def nights(self) -> Iterator[Night]:
        """Every night on which something may be due, in order; the others change nothing.

        While the caller handles a night, `account` returns accounts as they are before it.
        """
        day: date | None = self.first
        night = NightDb(Path(self._settings.state_folder), self.rules(self.first).keys, alone=True)
        while day is not None and day <= self.until:
            rules = self.rules(day)
            state = read_run_state(self._accounts, rules, self._unreadable)
            _, ready = build_plan(self._accounts, rules, self._settings, ScannedFeeds(), state, night)
            yield Night(day, ready.plan)
            take_written(self._over, self._accounts, ready)
            carry_out(self._over, self._accounts.directory.state, ready, f"forecast-{day}", night)
            day = self._next(day)

    def account(self, uid: str) -> Account | None:
        """An account as it is after the nights so far; None if none of them changes it."""
        raw = self._over.held(account_dn(self._accounts.directory, uid))
        entry = entry_of(raw, self._accounts.encoding) if raw is not None else None
        return entry.account if isinstance(entry, Entry) else None

    def _next(self, day: date) -> date | None:
        """The next night on which anything is due. Changes of held people are due again the next night, when
        the hold may have ended."""
        days = (entry.first(self._due) or entry.first(DUE) for entry in self._over.entries())
        due = min(filter(None, days), default=None)
        return max(date.fromisoformat(due.decode()), day + timedelta(days=1)) if due else None


def first_night(accounts: ManagedAccounts, unreadable: UnreadableRecords, as_of: date) -> date:
    """The day of the first night of a forecast: `as_of`, or the day of the last run if that is later."""
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


_OVER = (State.GRACE, State.DEACTIVATED, State.ARCHIVED)


@dataclass(slots=True)
class _Leaver:
    """An account that loses something: the account before the loss, and what the nights change."""

    before: Account
    why: str
    lost: dict[Right, date] = field(default_factory=dict)
    """The last day of each right that is not granted again."""
    closes: Mapping[str, object] | None = None
    grace: bool = False
    deactivated: date | None = None
    archived: date | None = None

    def take(self, change: Change, night: Night) -> None:
        eve = night.day - timedelta(days=1)
        self.grace = self.grace or change.after.get("state") == State.GRACE.value
        if change.kind in (Kind.DEACTIVATE, Kind.ARCHIVE):
            services = (change.before or {}).get("services")
            for text in services if isinstance(services, list) else ():
                service, _, uai = str(text).partition(":")
                self.lost.setdefault((service, uai), eve)
        if change.kind is Kind.DEACTIVATE:
            self.deactivated, self.closes = change.effective, change.after
        elif change.kind is Kind.ARCHIVE:
            self.archived = change.effective
        elif "service" in change.after:
            right = (str(change.after["service"]), str(change.after.get("uai") or ""))
            if change.kind is Kind.REVOKE:
                self.lost.setdefault(right, min(eve, change.effective - timedelta(days=1)))
            else:
                self.lost.pop(right, None)


def leavers(
    forecast: Forecast, holdoff_days: int, say: Callable[[str], None], *, departures: bool = False
) -> tuple[list[dict[str, Any]], list[Night]]:
    """One row per account that loses something for good within the forecast, by uid, and the nights. A
    private address that changed within `holdoff_days` is left out, and `say` reports it. `departures`: only
    accounts whose log in ends, not those that only lose services.

    A row has uid, matricule, display_name, address, the PERSON_COLUMNS; `state` before the first loss and
    `state_then` at the end of the forecast; `services_ending` as service, uai, last_day; `login_ends` and
    `grace_ends` (last days), `deactivated_on` and `archived_on` (first days), also beyond the forecast if
    known; `reason`. Days are ISO text or None.
    """
    losing: dict[str, _Leaver] = {}
    nights = []
    for night in forecast.nights():
        nights.append(night)
        for change in night.plan.changes:
            if change.kind in LOSING and change.uid not in losing:
                before = forecast.account(change.uid)
                if before is not None:
                    losing[change.uid] = _Leaver(before, change.reason)
            if change.uid in losing:
                losing[change.uid].take(change, night)
    rows = [_row(leaver, forecast) for _, leaver in sorted(losing.items())]
    ends = ["login_ends", "grace_ends", "deactivated_on", "archived_on"]
    shown = ends if departures else [*ends, "services_ending"]
    rows = [row for row in rows if any(row[name] for name in shown)]
    for row in rows:
        row[PRIVATE_MAIL] = private_mail(losing[row["uid"]].before, holdoff_days, forecast.first, say)
    return rows, nights


def _row(leaver: _Leaver, forecast: Forecast) -> dict[str, Any]:
    before = leaver.before
    then = forecast.account(before.uid) or before
    grace, deactivated, archived = _ends(leaver, then, forecast)
    return {
        "uid": before.uid,
        "matricule": before.matricule,
        "display_name": before.display_name,
        "address": before.address,
        **person_facts(before, forecast.rules(forecast.first)),
        "state": before.state.value,
        "state_then": then.state.value,
        "services_ending": [
            {"service": service, "uai": uai or None, "last_day": last.isoformat()}
            for (service, uai), last in sorted(leaver.lost.items())
        ],
        "login_ends": _login_ends(leaver, then, forecast),
        "grace_ends": iso(grace),
        "deactivated_on": iso(deactivated),
        "archived_on": iso(archived),
        "reason": leaver.why,
    }


def _login_ends(leaver: _Leaver, then: Account, forecast: Forecast) -> str | None:
    """The last day on which the person can log in, if the forecast reaches it or the account is closing."""
    before = leaver.before
    over = before.login_until is not None and before.login_until < forecast.first
    if over or before.state in (State.DEACTIVATED, State.ARCHIVED):
        return None
    if then.state is State.ARCHIVED:
        last = (leaver.closes or {}).get("login_until")
        return str(last) if last else None
    if then.login_until is None or (then.login_until > forecast.until and then.state not in _OVER):
        return None
    return then.login_until.isoformat()


def _ends(leaver: _Leaver, then: Account, forecast: Forecast) -> tuple[date | None, date | None, date | None]:
    """The last day of the grace, the first of the closure, the first of the archival."""
    deactivated, archived = leaver.deactivated, leaver.archived
    if then.state not in _OVER:
        return None, None, None
    if then.state is not State.ARCHIVED:
        ahead = _segments_after(then, forecast)
        deactivated = deactivated or ahead.get(State.DEACTIVATED)
        archived = archived or ahead.get(State.ARCHIVED)
    grace = then.state_until if then.state is State.GRACE else None
    if (
        grace is None
        and leaver.deactivated is not None
        and (leaver.grace or leaver.before.state is State.GRACE)
    ):
        grace = leaver.deactivated - timedelta(days=1)
    return grace, deactivated, archived


def _segments_after(account: Account, forecast: Forecast) -> dict[State, date]:
    """The first day of each state that follows the end of the forecast, until the person returns."""
    day = forecast.until
    rules = forecast.rules(day)
    path, _ = career_and_status(account, rules)
    ahead: dict[State, date] = {}
    for segment in path.segments:
        if segment.first > day.toordinal():
            if segment.state not in _OVER:
                break
            first = civil(segment.first)
            if first is not None:
                ahead.setdefault(segment.state, first)
    return ahead
