"""Locks by an administrator. They apply at once, over the HR data, and survive a password reset."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from piactl.core.edits import Act, ActRefused, Altered, Author
from piactl.core.model.account import Account, Lock
from piactl.core.rules.desired import Rules


def lock(author: Author, until: date | None = None) -> Act:
    """Locks the account from today to `until` inclusive; None means without end. A current lock keeps its
    start and gets the new end and reason."""

    def act(account: Account, rules: Rules) -> Altered:
        if until is not None and until < rules.as_of:
            raise ActRefused(f"{account.uid}: --until {until} is past; give the last day of the lock")
        current = account.lock
        since = current.since if current is not None and current.covers(rules.as_of) else rules.as_of
        if current is not None and (current.since, current.until, current.reason) == (
            since,
            until,
            author.reason,
        ):
            return Altered(account)
        return Altered(replace(account, lock=Lock(since, until, author.by, author.reason)), author.note)

    return act


def unlock(author: Author) -> Act:
    """Lifts an administrator's lock. Raises ActRefused if only a position in the HR data locks the
    account."""

    def act(account: Account, rules: Rules) -> Altered:
        if account.lock is not None:
            return Altered(replace(account, lock=None), author.note)
        if account.locked:
            raise ActRefused(
                f"{account.uid}: it is locked by its position in HR, not by an administrator; "
                f"see: piactl why {account.uid}"
            )
        return Altered(account)

    return act
