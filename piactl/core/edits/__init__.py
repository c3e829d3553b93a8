"""What an administrator may change of an account by hand, as pure functions of the account and the rules.

An act says only what is changed; what follows from it (state, rights, dates) the rules say afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

from piactl.core.model.account import Account
from piactl.core.model.overrides import MANUAL
from piactl.core.model.person import Person
from piactl.core.rules.desired import Rules
from piactl.errors import PiactlError


class ActRefused(PiactlError):
    """The act cannot be done to this account as it is; the message says what can."""


@dataclass(frozen=True, slots=True)
class Altered:
    """What an act makes of an account before the rules have their say. `person` are told values that it
    brings; `note` is a sentence that stands beside the reasons of the rules."""

    account: Account
    note: str = ""
    person: Person | None = None


Act = Callable[[Account, Rules], Altered]
"""Raises ActRefused. An account that comes back as it was is unchanged."""


@dataclass(frozen=True, slots=True)
class Author:
    """Who acts, and why, in a sentence."""

    by: str
    reason: str

    @property
    def note(self) -> str:
        return f"by hand, {self.by}: {self.reason}" if self.reason else f"by hand, {self.by}"


def told_by_hr(account: Account, as_of: date) -> bool:
    """Whether HR has a say on the account on the day or later: then what is done by hand needs an end."""
    return any(a.source != MANUAL and (a.end is None or a.end >= as_of) for a in account.assignments)


def override_end(account: Account, until: date | None, as_of: date) -> date:
    """The last day of a change by hand: as given; for a person of whom HR says nothing, the end of the last
    assignment. Raises ActRefused where HR has a say and no end is given, or it is past."""
    if until is not None:
        if until < as_of:
            raise ActRefused(f"{account.uid}: --until {until} is past; give the last day of the change")
        return until
    ends = [a.end for a in account.assignments if a.end is not None]
    if told_by_hr(account, as_of) or not ends:
        raise ActRefused(
            f"{account.uid}: HR has a say on this person, so a change by hand needs an end: "
            "add --until DATE.\nAfter it, what HR says holds again"
        )
    return max(*ends, as_of)
