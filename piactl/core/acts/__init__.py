"""One-off changes of an account by an administrator, as pure functions of the account and the rules.

An act makes only its own change; the rules then compute what follows from it (state, rights, dates).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any

from piactl.core.model.account import Account
from piactl.core.model.overrides import MANUAL, Override, OverrideKind
from piactl.core.rules.desired_account import Rules
from piactl.errors import PiactlError
from piactl.phrase import Phrase


class ActRefused(PiactlError):
    """The act does not apply to this account; the message says what to do instead."""


@dataclass(frozen=True, slots=True)
class Altered:
    """The account after an act, before the rules apply. `note` is a sentence to show with the reasons of the
    rules, `hint` one to show if nothing has to change."""

    account: Account
    note: str = ""
    hint: str = ""


Act = Callable[[Account, Rules], Altered]
"""Returns the altered account, or the same account if there is nothing to do. Raises ActRefused."""


@dataclass(frozen=True, slots=True)
class Author:
    """The author of a change, and the reason in a sentence."""

    by: str
    reason: str

    @property
    def note(self) -> Phrase:
        if not self.reason:
            return Phrase("by hand, {by}", by=self.by)
        return Phrase("by hand, {by}: {reason}", by=self.by, reason=self.reason)

    def override(self, kind: OverrideKind, until: date, made: date, **values: Any) -> Override:
        """An override by this author; `values` are its other fields."""
        return Override(kind, until, made, self.by, self.reason, **values)


def known_to_hr(account: Account, as_of: date) -> bool:
    """Whether HR has an assignment of the account on the day or later: a change by hand then needs an end."""
    return any(a.source != MANUAL and not a.is_over(as_of) for a in account.assignments)


def override_end(account: Account, until: date | None, as_of: date) -> date:
    """The last day of a change by hand: `until`, or the end of the last assignment for a person without HR
    data. Raises ActRefused if `until` is past, or missing for a person in the HR data."""
    if until is not None:
        if until < as_of:
            raise ActRefused(
                Phrase(
                    "{uid}: --until {until} is past; give the last day of the change",
                    uid=account.uid,
                    until=until,
                )
            )
        return until
    ends = [a.end for a in account.assignments if a.end is not None]
    if known_to_hr(account, as_of) or not ends:
        raise ActRefused(
            Phrase(
                "{uid}: this person is in the HR data, so a change by hand needs an end: add --until DATE.\n"
                "After that day the HR data apply again",
                uid=account.uid,
            )
        )
    return max(*ends, as_of)
