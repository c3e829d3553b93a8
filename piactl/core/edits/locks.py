"""An administrator's lock: it beats HR, at once, and survives a password reset."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from piactl.core.edits import Act, ActRefused, Altered, Author
from piactl.core.model.account import Account, Lock
from piactl.core.rules.desired import Rules


def lock(author: Author, until: date | None = None) -> Act:
    """Locks from today to `until` included, without an end where it is None. A lock that holds already gets
    this end and reason."""

    def act(account: Account, rules: Rules) -> Altered:
        if until is not None and until < rules.as_of:
            raise ActRefused(f"{account.uid}: --until {until} is past; give the last day of the lock")
        held = account.lock
        since = held.since if held is not None and held.covers(rules.as_of) else rules.as_of
        if held is not None and (held.since, held.until, held.reason) == (since, until, author.reason):
            return Altered(account)
        return Altered(replace(account, lock=Lock(since, until, author.by, author.reason)), author.note)

    return act


def unlock(author: Author) -> Act:
    """Lifts an administrator's lock. A lock by HR's position is HR's."""

    def act(account: Account, rules: Rules) -> Altered:
        if account.lock is not None:
            return Altered(replace(account, lock=None), author.note)
        if account.locked:
            raise ActRefused(
                f"{account.uid}: it is not locked by an administrator but by its position in HR; "
                f"see: piactl why {account.uid}"
            )
        return Altered(account)

    return act
