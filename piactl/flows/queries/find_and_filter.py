"""Finds accounts by the names of people, even with a typing error, and decides which accounts a list
shows."""

from __future__ import annotations

import marshal
import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Generic, TypeVar

from rapidfuzz import fuzz, process

from piactl.core.model.account import LIVE, Account
from piactl.core.model.overrides import sponsor_of
from piactl.core.model.person import Register
from piactl.core.plan.drift import Drift
from piactl.directory.store.accounts import Entry, read_accounts
from piactl.directory.store.attribute_scans import LastLogin, read_last_logins
from piactl.errors import NotFound, PiactlError
from piactl.flows.queries.accounts import (
    AccountStore,
    account_views,
    find_account,
    person_facts,
    readable,
)
from piactl.private_files import NamelessFile

_NEAR = 80
"""Of 100: one wrong letter in five is near, another first name of the same length is not."""
MOST_NEAR = 10


def find_by_name(accounts: Iterable[Account], query: str) -> tuple[list[Account], bool]:
    """The accounts in whose names, uid or addresses each word of `query` begins a word, by uid; and whether
    these are exact. If there are none, at most MOST_NEAR of the nearest, the best first.

    Accents, case, hyphens and apostrophes do not count.
    """
    words = _folded(query)
    by_uid = {account.uid: (account, _names(account)) for account in accounts}
    exact = [
        account
        for account, names in by_uid.values()
        if words and all(any(name.startswith(word) for name in names) for word in words)
    ]
    if exact or not words:
        return sorted(exact, key=lambda a: a.uid), True
    texts = {uid: " ".join(names) for uid, (_, names) in by_uid.items()}
    best = process.extract(
        " ".join(words), texts, scorer=fuzz.partial_token_sort_ratio, limit=MOST_NEAR, score_cutoff=_NEAR
    )
    return [by_uid[uid][0] for _, _, uid in best], False


def _names(account: Account) -> tuple[str, ...]:
    text = (account.given_name, account.usage_name, account.family_name, account.uid)
    addresses = (name.partition("@")[0] for name in account.names)
    return tuple(dict.fromkeys(word for part in (*text, *addresses) for word in _folded(part)))


def _folded(text: str) -> list[str]:
    letters = unicodedata.normalize("NFKD", text.casefold())
    return re.findall(r"[^\W_]+", "".join(c for c in letters if not unicodedata.combining(c)))


_OPEN = frozenset(state.value for state in LIVE)


@dataclass(frozen=True, slots=True)
class Filters:
    """What an account has to be on the day; blank, empty and None ask for nothing.

    `idle`: no log in for this number of days, and the entry is at least as old. `never`: no log in at all.
    Both mean open accounts, unless `states` names others.
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
T = TypeVar("T")


class Selection:
    """Decides which accounts a list shows. `watch` sees all of them, `check` is called after that.

    Raises PiactlError if a filter asks for last log ins and the server keeps none.
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
        """The views that fit; if a filter asks for log ins, with `last_login`, UTC, None if none is known."""
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


class Listing(Generic[T]):
    """The rows of a list: what `make` returns for the documents of accounts. `drifted`: only accounts that
    another program changed; `of_people`: documents with the facts of the person."""

    def __init__(
        self,
        store: AccountStore,
        register: Register,
        selection: Selection,
        make: Callable[[Iterable[dict[str, Any]]], Iterable[T]],
        *,
        drifted: bool,
        of_people: bool,
    ) -> None:
        self._store, self._register, self._selection, self._make = store, register, selection, make
        self._drifted, self._of_people = drifted, of_people
        self._encoding = store.encoding.fitted_to(store.reader)
        self._devices: dict[str, list[Drift]] = {}
        for device in store.devices():
            self._devices.setdefault(device.uid, []).append(device)

    def of(self, entries: Iterable[Entry]) -> Iterator[T]:
        """The rows of these accounts, in their order. Reads AT_ONCE accounts ahead."""
        rest = iter(entries)
        while some := list(islice(rest, AT_ONCE)):
            yield from self._make(self._documents(some))

    def of_all(self, report_unreadable: Callable[[str], Any]) -> Iterator[T]:
        """The rows of all accounts, in directory order, yielded while the directory is read. Calls
        `report_unreadable` with the reason for each unreadable entry."""
        entries = read_accounts(self._store.reader, self._store.directory, self._encoding)
        return self.of(self._selection.watch(readable(self._store, entries, report_unreadable)))

    def _documents(self, some: Sequence[Entry]) -> Iterator[dict[str, Any]]:
        by_uid = {entry.account.uid: entry.account for entry in some}
        devices = (device for uid in self._devices.keys() & by_uid for device in self._devices[uid])
        drift = self._store.drift(some, devices)
        for view in self._selection.shown(account_views(self._store, self._register, some, drift)):
            if self._drifted and not view["drift"]:
                continue
            if self._of_people:
                view |= person_facts(by_uid[view["uid"]], self._register, self._store.as_of)
            yield view


class Views:
    """Documents of accounts, in a file without a name in `folder` if they are many. Raises PiactlError."""

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
