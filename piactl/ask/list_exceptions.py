"""Lists the exceptions that have not ended, and the overrides that apply, of all accounts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from piactl.core.model.account import Account
from piactl.directory.store.account_entries import Unreadable, read_accounts_with
from piactl.edits.account_store import AccountStore, exception_rows, override_rows

ReportUnreadable = Callable[[str], None]


def exceptions_by_hand(store: AccountStore, unreadable: ReportUnreadable) -> list[dict[str, Any]]:
    """One row per exception that has not ended, by uid; `unreadable` is called with the reason
    for each unreadable entry."""
    rows = [
        {"uid": account.uid, **row}
        for account in _accounts(store, "piactlException", unreadable)
        for row in exception_rows(account, store.as_of)
    ]
    return sorted(rows, key=lambda row: (row["uid"], row["service"], row["uai"] or "", row["start"]))


def current_overrides(store: AccountStore, unreadable: ReportUnreadable) -> list[dict[str, Any]]:
    """One row per override that applies on the day, by its last day; `unreadable` as for
    `exceptions_by_hand`."""
    rows = [
        {"uid": account.uid, **row}
        for account in _accounts(store, "piactlOverride", unreadable)
        for row in override_rows(account, store.as_of)
    ]
    return sorted(rows, key=lambda row: (row["until"], row["uid"], row["kind"]))


def _accounts(store: AccountStore, attribute: str, unreadable: ReportUnreadable) -> Iterator[Account]:
    for entry in read_accounts_with(*store.managed, attribute):
        if isinstance(entry, Unreadable):
            unreadable(entry.why)
        else:
            yield entry.account
