"""Which accounts a list shows."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from piactl.core.model.account import LIVE, Account
from piactl.core.model.overrides import sponsor_of
from piactl.directory.store.attribute_scans import LastLogin, read_last_logins
from piactl.errors import NotFound, PiactlError
from piactl.flows.queries.accounts import AccountStore, find_account

_OPEN = frozenset(state.value for state in LIVE)


@dataclass(frozen=True, slots=True)
class Filters:
    """What an account has to be on the day; blank, empty and None ask for nothing.

    `idle`: no log in for so many days, and the entry is as old. `never`: no log in at all. Both mean accounts
    that are open, unless `states` says others.
    """

    states: Collection[str] = ()
    profile: str = ""
    uai: str = ""
    service: str = ""
    sponsor: str = ""
    locked: bool = False
    idle: int | None = None
    never: bool = False

    @property
    def of_logins(self) -> bool:
        return self.never or self.idle is not None


def filtered(
    store: AccountStore, accounts: Collection[Account], views: Iterable[dict[str, Any]], filters: Filters
) -> Iterator[dict[str, Any]]:
    """The views that fit; those of log ins with `last_login`, UTC, None if none is known.

    Raises NotFound for an unknown sponsor, PiactlError where the server keeps no last log ins.
    """
    day = store.as_of
    sponsor = _sponsor(store, accounts, filters.sponsor) if filters.sponsor else ""
    logins = _last_logins(store) if filters.of_logins else {}
    states = filters.states or (_OPEN if filters.of_logins else ())
    for view in views:
        if not _fits(view, filters, states, sponsor, day.isoformat()):
            continue
        if filters.of_logins:
            last = logins.get(view["uid"], LastLogin())
            since = last.at or last.made
            recent = filters.idle is not None and (since is None or (day - since.date()).days < filters.idle)
            if recent or (filters.never and last.at is not None):
                continue
            view = {**view, "last_login": last.at.isoformat() if last.at else None}
        yield view


def _fits(view: Mapping[str, Any], filters: Filters, states: Collection[str], sponsor: str, day: str) -> bool:
    return (
        (not states or view["state"] in states)
        and (not filters.profile or filters.profile in view["profiles"])
        and (not filters.locked or view["locked"])
        and (not sponsor or view["sponsor"] == sponsor)
        and (
            not filters.uai
            or any(
                a["uai"] == filters.uai and a["start"] <= day <= (a["end"] or day)
                for a in view["assignments"]
            )
        )
        and (
            not filters.service
            or any(
                e["service"] == filters.service and (e["from"] or day) <= day for e in view["entitlements"]
            )
        )
    )


def _sponsor(store: AccountStore, accounts: Iterable[Account], name: str) -> str:
    """The uid of a sponsor, who need not have an account any more."""
    try:
        return find_account(store, name).uid
    except NotFound:
        if any(sponsor_of(account.overrides) == name for account in accounts):
            return name
        raise


def _last_logins(store: AccountStore) -> dict[str, LastLogin]:
    logins = dict(read_last_logins(store.reader, store.directory, store.encoding))
    if not any(login.at for login in logins.values()):
        raise PiactlError(
            "the server keeps no last log in of any account: set `lastbind on` in the database of slapd.conf "
            "(olcLastBind: TRUE), OpenLDAP 2.5 or later.\nIt counts from then on, and is personal data: "
            "see docs/personal-data.md"
        )
    return logins
