"""Lists the exceptions and overrides in force, of all accounts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

from piactl.core.model.account import Account
from piactl.core.model.overrides import override_words, running
from piactl.core.model.settings import DirectorySettings
from piactl.directory.port import Reader
from piactl.directory.store.accounts import Unreadable, read_accounts_with
from piactl.directory.store.attribute_map import Encoding

ReportUnreadable = Callable[[str], None]


def exceptions_by_hand(
    reader: Reader,
    directory: DirectorySettings,
    encoding: Encoding,
    as_of: date,
    unreadable: ReportUnreadable,
) -> list[dict[str, Any]]:
    """One row per exception that has not ended, by uid; `unreadable` is called with the reason
    for each unreadable entry."""
    rows = [
        {
            "uid": account.uid,
            "kind": "grant" if exception.grants else "deny",
            "service": exception.service,
            "uai": exception.uai or None,
            "start": exception.start.isoformat(),
            "end": exception.end.isoformat(),
            "by": exception.by,
            "reason": exception.reason,
        }
        for account in _accounts(reader, directory, encoding, "piactlException", unreadable)
        for exception in account.exceptions
        if exception.end >= as_of
    ]
    return sorted(rows, key=lambda row: (row["uid"], row["service"], row["uai"] or "", row["start"]))


def overrides_in_force(
    reader: Reader,
    directory: DirectorySettings,
    encoding: Encoding,
    as_of: date,
    unreadable: ReportUnreadable,
) -> list[dict[str, Any]]:
    """One row per override in force, by its last day; `unreadable` as for `exceptions_by_hand`."""
    rows = [
        {
            "uid": account.uid,
            "kind": override.kind.value,
            "what": override_words(override).partition(", by hand")[0],
            "until": override.until.isoformat(),
            "made": override.made.isoformat(),
            "by": override.by,
            "reason": override.reason,
            "sponsor": override.sponsor or None,
        }
        for account in _accounts(reader, directory, encoding, "piactlOverride", unreadable)
        for override in running(account.overrides, as_of)
    ]
    return sorted(rows, key=lambda row: (row["until"], row["uid"], row["kind"]))


def _accounts(
    reader: Reader,
    directory: DirectorySettings,
    encoding: Encoding,
    attribute: str,
    unreadable: ReportUnreadable,
) -> Iterator[Account]:
    for entry in read_accounts_with(reader, directory, encoding, attribute):
        if isinstance(entry, Unreadable):
            unreadable(entry.why)
        else:
            yield entry.account
