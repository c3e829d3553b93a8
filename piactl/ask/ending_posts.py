"""The calendar of posts that end, by establishment: the end of each contract, and the end of access."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, timedelta
from typing import Any

from piactl.core.model.account import Account, State
from piactl.core.model.overrides import overridden
from piactl.core.model.periods import civil, holding
from piactl.core.model.person import Assignment
from piactl.core.rules.career import Career
from piactl.core.text import iso
from piactl.edits.account_store import AccountStore, all_entries, career_and_status


def ending_posts(
    store: AccountStore, report_unreadable: Callable[[str], Any], first: date, last: date, uai: str = ""
) -> list[dict[str, Any]]:
    """One row for each post after whose last day, from `first` to `last`, the person has no post at that
    establishment, also by hand; by the name of the establishment, day and uid. `uai`: only there.

    `access_until` is the last day on which the person may log in, None without a known end: another post may
    go on. `report_unreadable` is called with the reason for each unreadable entry.
    """
    rows = [
        row
        for entry in all_entries(store, report_unreadable)
        if entry.account.state is not State.ARCHIVED
        for row in _rows(store, entry.account, first, last)
        if uai in ("", row["uai"])
    ]
    return sorted(rows, key=lambda row: (row["establishment"] or "~", row["uai"], row["end"], row["uid"]))


def _rows(store: AccountStore, account: Account, first: date, last: date) -> Iterator[dict[str, Any]]:
    policy, register = store.policy, store.rules.register
    assigned = overridden(account.assignments, account.overrides, store.as_of)
    posts = [post for post in assigned if not policy.ends_all(post)]
    ending = [post for post in posts if post.end and first <= post.end <= last and not _goes_on(post, posts)]
    if not ending:
        return
    career, _ = career_and_status(account, store.rules)
    for post in ending:
        place = register.get(post.uai)
        yield {
            "uai": post.uai,
            "establishment": (place.name if place else "") or None,
            "end": iso(post.end),
            "access_until": iso(_access_until(career, post)),
            "display_name": account.display_name or None,
            "uid": account.uid,
            "function": post.function,
        }


def _goes_on(post: Assignment, posts: list[Assignment]) -> bool:
    """Whether the person has a post there on the day after, as after a leave or a renewal."""
    after = (post.end or date.max) + timedelta(days=1)
    return any(other.uai == post.uai and other.covers(after) for other in posts)


def _access_until(career: Career, post: Assignment) -> date | None:
    end = post.end or date.max
    period = holding(career.login, end.toordinal())
    return end if period is None else civil(period[1])
