"""Lists the people who lose something within a forecast, so that they can be warned."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from datetime import date, timedelta
from typing import Any

from piactl.core.model.account import Account, Right, State
from piactl.core.model.periods import civil
from piactl.core.plan.change import LOSING, Change, Kind
from piactl.core.text import iso
from piactl.dataclass import dataclass
from piactl.flows.forecast.simulate import Forecast, Night
from piactl.flows.queries.accounts import PRIVATE_MAIL, career_and_status, person_facts, private_mail

_OVER = (State.GRACE, State.DEACTIVATED, State.ARCHIVED)


@dataclass(slots=True)
class _Leaver:
    """An account that loses something: the account before the loss, and its changes by the nights."""

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
    private address that changed within `holdoff_days` is left out, and said. `departures`: only accounts
    whose log in ends, not those that only lose services.

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
    rows = [row for row in rows if _departs(row) or (row["services_ending"] and not departures)]
    for row in rows:
        row[PRIVATE_MAIL] = private_mail(losing[row["uid"]].before, holdoff_days, forecast.first, say)
    return rows, nights


def _departs(row: Mapping[str, Any]) -> bool:
    return any(row[name] for name in ("login_ends", "grace_ends", "deactivated_on", "archived_on"))


def _row(leaver: _Leaver, forecast: Forecast) -> dict[str, Any]:
    before = leaver.before
    then = forecast.account(before.uid) or before
    grace, deactivated, archived = _ends(leaver, then, forecast)
    return {
        "uid": before.uid,
        "matricule": before.matricule,
        "display_name": before.display_name,
        "address": before.address,
        **person_facts(before, forecast.rules(forecast.first).register, forecast.first),
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
    if not _open(before, forecast.first):
        return None
    if then.state is State.ARCHIVED:
        last = (leaver.closes or {}).get("login_until")
        return str(last) if last else None
    if then.login_until is None or (then.login_until > forecast.until and then.state not in _OVER):
        return None
    return then.login_until.isoformat()


def _open(account: Account, day: date) -> bool:
    """Whether the dates of the account allow a log in on the day or later."""
    return account.state not in (State.DEACTIVATED, State.ARCHIVED) and (
        account.login_until is None or account.login_until >= day
    )


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
    path, _ = career_and_status(account, rules.policy, rules.register, day)
    ahead: dict[State, date] = {}
    for segment in path.segments:
        if segment.first > day.toordinal():
            if segment.state not in _OVER:
                break
            first = civil(segment.first)
            if first is not None:
                ahead.setdefault(segment.state, first)
    return ahead
