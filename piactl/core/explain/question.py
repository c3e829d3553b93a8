"""One account on one day, with the very functions that decide about it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from enum import Enum
from functools import cached_property

from piactl.core.model.account import Account, State
from piactl.core.model.assignment import Assignment
from piactl.core.model.overrides import running
from piactl.core.model.periods import OPEN, Period, civil, holding, intersection, union
from piactl.core.rules.career import Career
from piactl.core.rules.desired import Rules, Subject, desired_account
from piactl.core.rules.lifecycle import BEGINNING
from piactl.core.rules.status import Standing

# What `why` answers: yes or no, over which days, by which rule, and what would turn it.


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


Decide = Callable[[Account, date], tuple[Career, Standing]]
"""The career of an account as its changes by hand leave it on a day, and its standing on that day."""


@dataclass(frozen=True)
class Case:
    """The account that is asked about, as its entry holds it, and the day. `acts`: commands could change it
    as of that day; `option` is what they need to be told for that, "" on the day itself."""

    account: Account
    rules: Rules
    decide: Decide
    acts: bool = True
    option: str = ""

    @property
    def as_of(self) -> date:
        return self.rules.as_of

    @property
    def number(self) -> int:
        return self.rules.as_of.toordinal()

    @cached_property
    def career(self) -> Career:
        return self.decide(self.account, self.as_of)[0]

    @cached_property
    def bare(self) -> Career:
        """What the rules say without exceptions."""
        return self.decide(replace(self.account, exceptions=()), self.as_of)[0]

    @cached_property
    def desired(self) -> Account:
        """The account that a plan of the day wants."""
        subject = Subject(self.account.matricule, self.account, None, self.account.assignments)
        desired = desired_account(subject, self.rules)
        return desired.account if desired else self.account

    @property
    def state(self) -> State:
        return self.desired.state

    def of(self, account: Account) -> Case:
        """The same question of another account."""
        return replace(self, account=account)

    def days(self, periods_of: Callable[[Career], Sequence[Period]]) -> list[Period]:
        """The days of something over time, as it is known on the day: where changes by hand end, the rules
        are asked again, for from then on what HR says holds."""
        found: list[Period] = []
        for first, last, path in self._careers:
            found += intersection(periods_of(path), [(first, last)])
        return union(found)

    @cached_property
    def _careers(self) -> list[tuple[int, int, Career]]:
        """First and last day over which a career is known to hold, and the career."""
        ends = sorted(
            {override.until.toordinal() + 1 for override in running(self.account.overrides, self.as_of)}
        )
        lasts = [end - 1 for end in ends] + [OPEN]
        paths = [self.career, *(self.decide(self.account, date.fromordinal(end))[0] for end in ends)]
        return list(zip([BEGINNING, *ends], lasts, paths, strict=True))

    def right_days(self, service: str, uai: str) -> list[Period]:
        if self.account.state is State.ARCHIVED:
            return []
        return self.days(lambda path: path.rights.get((service, uai), []))

    def state_days(self, state: State) -> list[Period]:
        return self.days(lambda path: [(s.first, s.last) for s in path.segments if s.state is state])


def span(periods: Sequence[Period], number: int) -> tuple[date | None, date | None]:
    """First and last day of the period that holds the day; None is an open side."""
    period = holding(periods, number)
    if period is None:
        return None, None
    return (None if period[0] == BEGINNING else civil(period[0])), civil(period[1])


def absence(periods: Sequence[Period], number: int) -> tuple[date | None, date | None]:
    """First and last day without, around a day without; None is an open side."""
    before = [last for _, last in periods if last < number]
    after = [first for first, _ in periods if first > number]
    return (civil(max(before) + 1) if before else None), (civil(min(after) - 1) if after else None)


def next_day(day: date | None) -> date | None:
    """The day after; None where there is no such day."""
    return day + timedelta(days=1) if day is not None and day < date.max else None
