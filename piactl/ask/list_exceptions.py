"""Lists the exceptions that have not ended, and the overrides that apply, of all accounts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

from piactl.core.model.account import (
    Account,
)
from piactl.core.model.overrides import (
    Override,
    OverrideKind,
    override_words,
    running,
)
from piactl.core.text import facts_of
from piactl.directory.store.account_entries import (
    Unreadable,
    read_accounts_with,
)
from piactl.edits.account_store import AccountStore
from piactl.phrase import Phrase

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


def override_rows(account: Account, as_of: date) -> list[dict[str, Any]]:
    """The overrides of an account that have not ended, as documents have them."""
    return [
        {
            **facts_of(override, "kind"),
            "what": _effect(override),
            **facts_of(override, "until", "made", "by", "reason", "sponsor", null=("sponsor",)),
        }
        for override in running(account.overrides, as_of)
    ]


def _effect(override: Override) -> str:
    """What an override does, without its last day; of a closure, which has a first day too, with it."""
    if override.kind is OverrideKind.CLOSE:
        return override_words(override)
    if override.kind is OverrideKind.NAME:
        none = Phrase("none")
        return Phrase(
            "the usage name is {name} instead of {was}", name=override.value or none, was=override.was or none
        )
    if override.kind is OverrideKind.KEEP:
        return Phrase("{attribute} stays as another program changed it", attribute=override.value)
    post = Phrase(
        "{function} at {uai} from {start}", function=override.function, uai=override.uai, start=override.start
    )
    if override.kind is OverrideKind.ADD:
        return Phrase("{post} was added", post=post)
    return Phrase("{post} ends on {day}", post=post, day=override.day)


def exception_rows(account: Account, as_of: date) -> list[dict[str, Any]]:
    """The exceptions of an account that have not ended, as documents have them."""
    return [
        {
            "kind": "grant" if exception.grants else "deny",
            **facts_of(exception, "service", "uai", "start", "end", "by", "reason", null=("uai",)),
        }
        for exception in account.exceptions
        if exception.end >= as_of
    ]
