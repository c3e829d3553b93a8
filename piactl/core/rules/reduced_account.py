"""What is taken from an account that gains nothing, because nobody knows what another program changed."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

from piactl.core.model.account import Account, Lock, State
from piactl.core.model.periods import OPEN
from piactl.core.rules.career import Career, login_window
from piactl.core.rules.lifecycle import BEGINNING

_RIGHTS = (
    "entitlements", "profiles", "local_profiles", "affiliations", "establishments", "exceptions", "overrides",
)  # fmt: skip
_CLOSED = {State.GRACE: 1, State.DEACTIVATED: 2, State.ARCHIVED: 3}


def reduced(present: Account, relied_on: Account, wanted: Account) -> Account:
    """The account as `present`, without what the account that piactl `relied_on` has more than the `wanted`
    one: rights, days of log in, an open state. The assignments are facts of HR: it gets those, too. Every
    night evaluates such an account, so its next due day may stay."""
    fields: dict[str, Any] = {}
    for name in _RIGHTS:
        lost = {*getattr(relied_on, name)} - {*getattr(wanted, name)}
        values = getattr(present, name)
        fields[name] = type(values)(value for value in values if value not in lost)
    remaining = [a for a in present.assignments if a in wanted.assignments or a not in relied_on.assignments]
    new = [a for a in wanted.assignments if a not in relied_on.assignments and a not in remaining]
    first, last = wanted.login_from or date.min, wanted.login_until or date.max
    if first > (relied_on.login_from or date.min) and first > (present.login_from or date.min):
        fields["login_from"] = first
    if last < (relied_on.login_until or date.max) and last < (present.login_until or date.max):
        fields["login_until"] = last
    state = _CLOSED.get(wanted.state, 0)
    if state > _CLOSED.get(relied_on.state, 0) and state > _CLOSED.get(present.state, 0):
        fields |= {name: getattr(wanted, name) for name in ("state", "state_from", "state_until")}
    if wanted.lock != relied_on.lock:
        fields["lock"] = present.lock or wanted.lock
    return replace(
        present,
        **fields,
        locked=present.locked or (wanted.locked and not relied_on.locked),
        assignments=tuple(sorted([*remaining, *new], key=lambda a: (a.start, a.uai, a.function, a.source))),
    )


def with_lock(account: Account, lock: Lock | None, career: Career, as_of: date) -> Account:
    """The account with this lock, and with the days of its log in that are left on a day: the rest follows
    once it is known again."""
    first, last = account.login_from, account.login_until
    period = (first.toordinal() if first else BEGINNING, last.toordinal() if last else OPEN)
    window = login_window(replace(career, login=(period,)), as_of, lock)
    locked = lock is not None and lock.covers(as_of)
    return replace(account, lock=lock, locked=locked, login_from=window[0], login_until=window[1])
