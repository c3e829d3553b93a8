"""Finds accounts by what somebody says of a person, even with a typing error, and decides which accounts a
list shows."""

from __future__ import annotations

import pickle  # nosec B403
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, NamedTuple

from rapidfuzz import fuzz, process

from piactl.ask.account_views import account_views, person_facts, posts_on
from piactl.core.model.account import ASSIGNED, LIVE, Account
from piactl.core.model.establishment import words_of
from piactl.core.model.overrides import overridden, sponsor_of
from piactl.core.plan.drift import Drift
from piactl.core.rules.career import Career
from piactl.core.rules.desired_account import Rules
from piactl.core.text import iso, search_words
from piactl.directory.store.account_entries import Entry
from piactl.directory.store.attribute_scans import LastLogin, read_last_logins
from piactl.edits.account_store import AccountStore, all_entries, career_and_status, find_entry
from piactl.errors import NotFound, PiactlError
from piactl.host.private_files import NamelessRows
from piactl.phrase import Phrase

_NEAR = 80
"""Of 100: one wrong letter in five is near, another first name of the same length is not."""
MOST_NEAR = 10


class Found(NamedTuple):
    """The accounts that were found. `exact`: each word fits them, but for `without`."""

    accounts: list[Account]
    exact: bool = True
    without: str = ""

    @property
    def fit(self) -> bool:
        """Whether somebody was found whom each word fits."""
        return bool(self.accounts) and self.exact and not self.without


def find_by_words(accounts: Iterable[Account], query: str, rules: Rules) -> Found:
    """The accounts that each word of `query` fits, by uid. If there are none, at most MOST_NEAR of those with
    the nearest names, the best first; if there are none of these, the fewest whose names all words but one,
    or but those of an establishment, fit.

    A word fits where it begins a word of the names, the addresses or the matricules; else also of the UAI,
    the name, the commune or the telephone of the establishment; else where it is any piece of these.
    Accents, case, hyphens and apostrophes do not count, nor what follows the @ of an address.
    """
    words = search_words(re.sub(r"@\S*", " ", query))
    by_uid = {account.uid: account for account in accounts}
    names = {uid: _names(account) for uid, account in by_uid.items()}
    exact = _fitting(names, words, str.startswith)
    if not exact:
        of_places = {uai: words_of(establishment) for uai, establishment in rules.register.items()}
        wider = {
            uid: [
                *names[uid],
                *(w for uai in _places(account, rules) for w in of_places.get(uai, [uai.lower()])),
            ]
            for uid, account in by_uid.items()
        }
        exact = _fitting(wider, words, str.startswith) or _fitting(wider, words, str.__contains__)
    if exact or not words:
        return Found(sorted((by_uid[uid] for uid in exact), key=lambda a: a.uid))
    texts = {uid: " ".join(own) for uid, own in names.items()}
    best = process.extract(
        " ".join(words), texts, scorer=fuzz.partial_token_sort_ratio, limit=MOST_NEAR, score_cutoff=_NEAR
    )
    if best and not any(word.isdigit() for word in words):  # a number is right or wrong, never near
        return Found([by_uid[uid] for _, _, uid in best], exact=False)
    left: list[Sequence[str]] = [[word] for word in words]
    left += [
        some
        for some in _adjacent(words)
        if any(_fitting({"": own}, some, str.startswith) for own in of_places.values())
    ]
    others = (
        (_fitting(names, [word for word in words if word not in some], str.startswith), " ".join(some))
        for some in left
    )
    fewest, without = min((o for o in others if o[0]), key=lambda other: len(other[0]), default=([], ""))
    return Found(sorted((by_uid[uid] for uid in fewest), key=lambda account: account.uid), without=without)


def _adjacent(words: Sequence[str]) -> Iterator[Sequence[str]]:
    """Two and more words that follow each other, but not all."""
    for number in range(2, len(words)):
        yield from (words[n : n + number] for n in range(len(words) - number + 1))


def _fitting(
    own_words: Mapping[str, Sequence[str]], words: Sequence[str], fits: Callable[[str, str], bool]
) -> list[str]:
    return [
        uid
        for uid, own in own_words.items()
        if words and all(any(fits(one, word) for one in own) for word in words)
    ]


def _names(account: Account) -> list[str]:
    text = (account.given_name, account.usage_name, account.family_name, account.uid, *account.matricules)
    addresses = (name.partition("@")[0] for name in account.names)
    return list(dict.fromkeys(word for part in (*text, *addresses) for word in search_words(part)))


def _places(account: Account, rules: Rules) -> set[str]:
    return {post.uai for post in posts_on(account, rules.policy, rules.as_of)}


_OPEN = frozenset(state.value for state in LIVE)


@dataclass(frozen=True, slots=True)
class Filters:
    """What an account has to be on the day; blank, empty and None ask for nothing.

    `idle`: no log in for this number of days, and the entry is at least as old. `never`: no log in at all.
    Both mean open accounts, unless `states` names others. `ending`: the first and the last of the days of
    which one has to be the last with a post. With a `service` or `rights`, who has a right at `uai` counts,
    too, and not what they have elsewhere.
    """

    states: Collection[str] = ()
    profile: str = ""
    uai: str = ""
    service: str = ""
    sponsor: str = ""
    locked: bool = False
    idle: int | None = None
    never: bool = False
    ending: tuple[date, date] | None = None
    rights: bool = False

    @property
    def of_logins(self) -> bool:
        return self.never or self.idle is not None

    @property
    def of_access(self) -> bool:
        """Whether they ask who may use what at one establishment."""
        return bool(self.uai) and (self.rights or bool(self.service))


AT_ONCE = 500
"""Accounts of a list that are made into documents together: who changed them is asked for together."""


class Listing:
    """The documents of the accounts that a list shows. `drifted`: only accounts that another program changed;
    `of_people`: documents with the facts of the person.

    Raises PiactlError if a filter asks for last log ins and the server keeps none.
    """

    def __init__(
        self,
        store: AccountStore,
        filters: Filters,
        *,
        drifted: bool = False,
        of_people: bool = False,
    ) -> None:
        self._store, self._filters = store, filters
        self._drifted, self._of_people = drifted, of_people
        self._logins = _last_logins(store) if filters.of_logins else {}
        self._states = filters.states or (_OPEN if filters.of_logins else ())
        self._sponsor = filters.sponsor
        self._unknown: NotFound | None = None
        if filters.sponsor:
            try:
                self._sponsor = find_entry(store, filters.sponsor).account.uid
            except NotFound as unknown:  # a sponsor need not have an account any more
                self._unknown = unknown
        self._devices: dict[str, list[Drift]] = {}
        for device in store.devices():
            self._devices.setdefault(device.uid, []).append(device)

    def all_entries(self, report_unreadable: Callable[[str], Any]) -> Iterator[Entry]:
        """All accounts, in directory order, for `of`. Raises NotFound after the last one if nobody has the
        sponsor."""
        for entry in all_entries(self._store, report_unreadable):
            if self._unknown and sponsor_of(entry.account.overrides) == self._sponsor:
                self._unknown = None
            yield entry
        if self._unknown:
            raise self._unknown

    def of(self, entries: Iterable[Entry]) -> Iterator[dict[str, Any]]:
        """The documents of those accounts that fit, in their order, yielded while the directory is read: it
        reads AT_ONCE accounts ahead."""
        rest = iter(entries)
        while some := list(islice(rest, AT_ONCE)):
            yield from self._documents(some)

    def _documents(self, some: Sequence[Entry]) -> Iterator[dict[str, Any]]:
        by_uid = {entry.account.uid: entry.account for entry in some}
        devices = (device for uid in self._devices.keys() & by_uid for device in self._devices[uid])
        drift = self._store.drift(some, devices)
        filters, day = self._filters, self._store.as_of
        for view in account_views(self._store, some, drift):
            if not _fits(view, filters, self._states, self._sponsor, day.isoformat()):
                continue
            if self._drifted and not view["drift"]:
                continue
            if filters.ending:
                first, until = filters.ending
                career, _ = career_and_status(by_uid[view["uid"]], self._store.rules)
                days = [day for day in last_days(career) if first <= day <= until]
                if not days:
                    continue
                view["last_day"] = days[0].isoformat()
            if filters.of_logins:
                last = self._logins.get(view["uid"], LastLogin())
                since = last.at or last.made
                recent = filters.idle is not None and (
                    since is None or (day - since.date()).days < filters.idle
                )
                if recent or (filters.never and last.at is not None):
                    continue
                # UTC, None if none is known
                view["last_login"] = last.at.isoformat() if last.at else None
            if filters.rights:
                rights = _rights(view, filters.uai, day.isoformat())
                view["services"] = [
                    right["service"]
                    if right["uai"] in (None, filters.uai)
                    else f"{right['service']}:{right['uai']}"
                    for right in rights
                ]
            if filters.of_access:
                view |= _of_a_former_post(by_uid[view["uid"]], view, filters, day)
            if self._of_people:
                view |= person_facts(by_uid[view["uid"]], self._store.rules)
            yield view


def keep_views(folder: Path, views: Iterable[dict[str, Any]], *, by_uid: bool) -> Iterator[dict[str, Any]]:
    """The documents once all are read, in their order or `by_uid`; until then they are in a database without
    a name in `folder`. Raises PiactlError."""
    kept = NamelessRows(folder)
    for view in views:
        kept.add(pickle.dumps(view, pickle.HIGHEST_PROTOCOL), view["uid"] if by_uid else "")
    return map(pickle.loads, kept)  # this process alone has written it


def _fits(view: Mapping[str, Any], filters: Filters, states: Collection[str], sponsor: str, day: str) -> bool:
    return (
        (not states or view["state"] in states)
        and (not filters.profile or filters.profile in view["profiles"])
        and (not filters.locked or view["locked"])
        and (not sponsor or view["sponsor"] == sponsor)
        and (not filters.uai or _is_there(view, filters, day))
        and (
            not filters.service
            or any(right["service"] == filters.service for right in _rights(view, filters.uai, day))
        )
    )


def _is_there(view: Mapping[str, Any], filters: Filters, day: str) -> bool:
    """Whether the account is assigned at the establishment, or has a right there, if rights are asked for."""
    if any(a["uai"] == filters.uai and a["start"] <= day <= (a["end"] or day) for a in view["assignments"]):
        return True
    asked = filters.rights or filters.service
    return bool(asked) and any(right["uai"] for right in _rights(view, filters.uai, day))


def _rights(view: Mapping[str, Any], uai: str, day: str) -> list[Mapping[str, Any]]:
    """What the account may use on the day, with `uai` what it may use there."""
    return [
        right
        for right in view["entitlements"]
        if (right["from"] or day) <= day and (not uai or right["uai"] in (None, uai))
    ]


def _of_a_former_post(
    account: Account, view: Mapping[str, Any], filters: Filters, day: date
) -> dict[str, Any]:
    """Of a person without a post at the establishment: the last day of their last one there, and that of what
    they may use there."""
    posts = [
        post for post in overridden(account.assignments, account.overrides, day) if post.uai == filters.uai
    ]
    if any(post.covers(day) for post in posts):
        return {"post_ended": None, "until": None}
    rights = [right["to"] for right in _rights(view, filters.uai, day.isoformat()) if right["uai"]]
    return {
        "post_ended": iso(max((post.end for post in posts if post.end and post.end < day), default=None)),
        "until": max(rights) if rights and all(rights) else None,
    }


def last_days(career: Career) -> list[date]:
    """The days after which the person has no post, at least for a time."""
    return [
        date.fromordinal(segment.last)
        for segment, after in pairwise(career.segments)
        if segment.state in ASSIGNED and after.state not in ASSIGNED
    ]


def _last_logins(store: AccountStore) -> dict[str, LastLogin]:
    logins = dict(read_last_logins(*store.managed))
    if not any(login.at for login in logins.values()):
        raise PiactlError(
            Phrase(
                "the server keeps no last log in of any account: set `lastbind on` in the database of "
                "slapd.conf (olcLastBind: TRUE).\nIt counts from then on, and is personal data: see "
                "docs/personal-data.md"
            )
        )
    return logins
