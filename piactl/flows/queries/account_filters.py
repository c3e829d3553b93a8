"""Which accounts a list shows."""

from __future__ import annotations

import marshal
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from piactl.core.model.account import LIVE
from piactl.core.model.overrides import sponsor_of
from piactl.core.model.person import Register
from piactl.core.plan.drift import Drift
from piactl.dataclass import dataclass
from piactl.directory.store.accounts import Entry
from piactl.directory.store.attribute_scans import LastLogin, read_last_logins
from piactl.errors import NotFound, PiactlError
from piactl.flows.queries.accounts import AccountStore, account_views, find_account, person_facts
from piactl.private_files import NamelessFile

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


AT_ONCE = 500
"""Accounts of a list that are made into documents together: who changed them is asked for together."""


class Selection:
    """Decides which accounts a list shows. `watch` sees all of them, `check` comes after that.

    Raises PiactlError where the server keeps no last log ins.
    """

    def __init__(self, store: AccountStore, filters: Filters) -> None:
        self._filters, self._day = filters, store.as_of
        self._logins = _last_logins(store) if filters.of_logins else {}
        self._states = filters.states or (_OPEN if filters.of_logins else ())
        self._sponsor = filters.sponsor
        self._unknown: NotFound | None = None
        if filters.sponsor:
            try:
                self._sponsor = find_account(store, filters.sponsor).uid
            except NotFound as unknown:  # a sponsor need not have an account any more
                self._unknown = unknown

    def watch(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        for entry in entries:
            if self._unknown and sponsor_of(entry.account.overrides) == self._sponsor:
                self._unknown = None
            yield entry

    @property
    def doubtful(self) -> bool:
        """Whether `check` may raise, so that nothing can be shown before all accounts are read."""
        return self._unknown is not None

    def check(self) -> None:
        """Raises NotFound for an unknown sponsor."""
        if self._unknown:
            raise self._unknown

    def shown(self, views: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """The views that fit; those of log ins with `last_login`, UTC, None if none is known."""
        filters, day = self._filters, self._day
        for view in views:
            if not _fits(view, filters, self._states, self._sponsor, day.isoformat()):
                continue
            if filters.of_logins:
                last = self._logins.get(view["uid"], LastLogin())
                since = last.at or last.made
                recent = filters.idle is not None and (
                    since is None or (day - since.date()).days < filters.idle
                )
                if recent or (filters.never and last.at is not None):
                    continue
                view = {**view, "last_login": last.at.isoformat() if last.at else None}
            yield view


def listed(
    store: AccountStore,
    register: Register,
    entries: Iterable[Entry],
    selection: Selection,
    *,
    drifted: bool,
    of_people: bool,
) -> Iterator[dict[str, Any]]:
    """The documents of the accounts that a list shows, in the order of the entries, some read ahead; only
    those that another program changed with `drifted`; with the facts of the person with `of_people`."""
    rest = iter(entries)
    devices: dict[str, list[Drift]] = {}
    for device in store.devices():
        devices.setdefault(device.uid, []).append(device)
    while some := list(islice(rest, AT_ONCE)):
        by_uid = {entry.account.uid: entry.account for entry in some}
        drift = store.drift(some, (one for uid in devices.keys() & by_uid for one in devices[uid]))
        for view in selection.shown(account_views(store, register, some, drift)):
            if drifted and not view["drift"]:
                continue
            if of_people:
                view |= person_facts(by_uid[view["uid"]], register, store.as_of)
            yield view


class Views:
    """Documents of accounts, in a file without a name in `folder` where they are many. Raises PiactlError."""

    def __init__(self, folder: Path, views: Iterable[dict[str, Any]]) -> None:
        self._file = NamelessFile(folder)
        self._places: list[tuple[str, int, int]] = []
        for view in views:
            data = marshal.dumps(view)
            self._places.append((view["uid"], self._file.add(data), len(data)))

    def sort(self) -> None:
        """Puts them in the order of the uids."""
        self._places.sort()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        # this process alone has written what it reads here
        for _, place, length in self._places:
            yield marshal.loads(self._file.read(place, length))  # noqa: S302 # nosec B302


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


def _last_logins(store: AccountStore) -> dict[str, LastLogin]:
    logins = dict(read_last_logins(store.reader, store.directory, store.encoding))
    if not any(login.at for login in logins.values()):
        raise PiactlError(
            "the server keeps no last log in of any account: set `lastbind on` in the database of slapd.conf "
            "(olcLastBind: TRUE), OpenLDAP 2.5 or later.\nIt counts from then on, and is personal data: "
            "see docs/personal-data.md"
        )
    return logins
