"""What `why` answers: yes or no, over which days, by which rule, and what would turn it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from enum import Enum

from piactl.core.account import Account
from piactl.core.assignment import Assignment


@dataclass(frozen=True, slots=True)
class Rule:
    """What of the policy decides: its key there (`services.iprof`), and its line, 0 where the policy says
    nothing and its default holds."""

    key: str
    line: int = 0


@dataclass(frozen=True, slots=True)
class Remedy:
    """One change that would turn an answer, in a sentence, with the command that does it, "" where no
    command can (HR, the policy, time).

    `day` is the first day of the other answer, None where it cannot be told. `tried` is the account as the
    command would leave it, on which the rules were asked for `day`; None where none was tried.
    """

    text: str
    command: str = ""
    day: date | None = None
    tried: Account | None = field(default=None, repr=False)


class Effect(Enum):
    """What a cause does to a log in: it is refused; it asks for something more; it works, and a service is
    missing; it is let in although the rules refuse it."""

    REFUSED = "refused"
    ASKED = "asked"
    SERVICE = "service"
    LET_IN = "let in"


@dataclass(frozen=True, slots=True)
class Cause:
    """One reason why a log in does not work as expected, and the command that helps, "" where none does."""

    kind: str
    effect: Effect
    text: str
    command: str = ""
    until: date | datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One question with its answer. `since` and `until` are the first and last day of the answer as it is,
    None where there is none or it is not known.

    `subject` is "state", "login" or a service; `uai` one establishment of a service of that scope, else "".
    `verdict` is the answer in a word: yes or no, or the state. `rules` go from the one that decides to those
    behind it. `notes` are what else bears on it: exceptions, changes by hand. `coming` is what follows on
    later days. `remedies` are what would turn it, the smallest first. `causes` are those of a log in that
    does not work, the first to remove first.
    """

    subject: str
    yes: bool
    verdict: str
    reason: str
    uai: str = ""
    label: str = ""
    since: date | None = None
    until: date | None = None
    rules: tuple[Rule, ...] = ()
    assignment: Assignment | None = None
    notes: tuple[str, ...] = ()
    coming: tuple[tuple[date, str], ...] = ()
    remedies: tuple[Remedy, ...] = ()
    causes: tuple[Cause, ...] = ()
