"""The question of `why` (one account on one day) and its answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from enum import Enum
from functools import cached_property

from piactl.core.model.account import Account, Right, State
from piactl.core.model.overrides import running
from piactl.core.model.periods import OPEN, Period, civil, holding, intersection, union
from piactl.core.model.person import Assignment
from piactl.core.model.policy import Position
from piactl.core.plan.drift import Drift
from piactl.core.plan.identity_case import Case
from piactl.core.rules.career import AccountStatus, Career
from piactl.core.rules.desired import Rules, Subject, desired_account
from piactl.core.rules.lifecycle import BEGINNING


@dataclass(frozen=True, slots=True)
class Rule:
    """A deciding rule of the policy: its key (`services.iprof`) and its line, 0 for a default."""

    key: str
    line: int = 0

    @classmethod
    def of_position(cls, position: Position) -> Rule:
        return cls(f"positions.{position.name}", position.line)


@dataclass(frozen=True, slots=True)
class Remedy:
    """A change that would reverse an answer, as a sentence, with its command, or "" if no command makes the
    change (HR, the policy, time).

    `day` is the first day of the other answer, None if unknown. `account_after` is the account after the
    command, with which the rules gave `day`; None if no command was tried.
    """

    text: str
    command: str = ""
    day: date | None = None
    account_after: Account | None = field(default=None, repr=False)


class CauseEffect(Enum):
    """The effect of a cause on a login: refused; something more is required; it works, but a service is
    missing; allowed although the rules refuse it. Of a service: the entry has or lacks it against the
    rules."""

    REFUSED = "refused"
    ASKED = "asked"
    SERVICE = "service"
    LET_IN = "let in"


@dataclass(frozen=True, slots=True)
class Cause:
    """One reason why a login, or a service, is not as expected, and the command that helps, or ""."""

    kind: str
    effect: CauseEffect
    text: str
    command: str = ""
    until: date | datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One question with its answer. `since` and `until` are its first and last day, None if there is none or
    it is unknown.

    `subject` is "state", "login" or a service; `uai` the establishment of a service of that scope, else "".
    `verdict` is yes or no, or the state. `rules` starts with the deciding rule. `notes` are exceptions and
    overrides that matter. `coming` are later events. `remedies` are changes that would reverse the answer,
    the smallest first. `causes` are the causes of a failing login, the first to remove first, or of an entry
    that has or lacks a service against the rules.
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


Decide = Callable[[Account, date], tuple[Career, AccountStatus]]
"""Returns the career of an account with the overrides of a day, and its status on that day."""


@dataclass(frozen=True)
class Question:
    """The account in question, with what piactl decided about its drift, and the day. `changeable`: commands
    can change it as of that day, with `as_of_option`, which is "" for today.

    `found` are the rights on the entry. `drift` is what another program changed, by field of the account, and
    `foreign` are the rights that it added or removed. `held` says why nothing of the account changes, "" if
    the rules decide. If it is set, the values of the last run count. `cases` are the open cases that hold the
    account: they are to be decided, and neither time nor a change by hand helps.
    """

    account: Account
    rules: Rules
    decide: Decide
    changeable: bool = True
    as_of_option: str = ""
    found: frozenset[Right] = frozenset()
    drift: Mapping[str, Drift] = field(default_factory=dict)
    foreign: frozenset[Right] = frozenset()
    held: str = ""
    cases: tuple[Case, ...] = ()

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
        """The career without exceptions."""
        return self.decide(replace(self.account, exceptions=()), self.as_of)[0]

    @cached_property
    def desired(self) -> Account:
        """The desired account in a plan of the day."""
        if self.held:
            return self.account
        subject = Subject(self.account.matricule, self.account, None, self.account.assignments)
        desired = desired_account(subject, self.rules)
        return desired.account if desired else self.account

    @property
    def state(self) -> State:
        return self.desired.state

    def of(self, account: Account) -> Question:
        """The same question about another account."""
        return replace(self, account=account)

    def days(self, periods_of: Callable[[Career], Sequence[Period]]) -> list[Period]:
        """The days that `periods_of` finds, as known on the day. After the end of each override the career is
        computed again, because the HR data apply from then on."""
        days: list[Period] = []
        for first, last, career in self._careers:
            days += intersection(periods_of(career), [(first, last)])
        return union(days)

    @cached_property
    def _careers(self) -> list[tuple[int, int, Career]]:
        """First and last day of each career, and the career."""
        ends = sorted(
            {override.until.toordinal() + 1 for override in running(self.account.overrides, self.as_of)}
        )
        lasts = [end - 1 for end in ends] + [OPEN]
        paths = [self.career, *(self.decide(self.account, date.fromordinal(end))[0] for end in ends)]
        return list(zip([BEGINNING, *ends], lasts, paths, strict=True))

    def right_days(self, service: str, uai: str) -> list[Period]:
        if self.account.state is State.ARCHIVED:
            return []
        if self.held:
            return [(BEGINNING, OPEN)] if (service, uai) in self.account.entitlements else []
        return self.days(lambda career: career.rights.get((service, uai), []))

    def state_days(self, state: State) -> list[Period]:
        if self.held:
            return [(BEGINNING, OPEN)] if state is self.account.state else []
        return self.days(lambda career: [(s.first, s.last) for s in career.segments if s.state is state])


def span(periods: Sequence[Period], number: int) -> tuple[date | None, date | None]:
    """First and last day of the period that includes the day; None is an open side."""
    period = holding(periods, number)
    if period is None:
        return None, None
    return (None if period[0] == BEGINNING else civil(period[0])), civil(period[1])


def absence(periods: Sequence[Period], number: int) -> tuple[date | None, date | None]:
    """First and last day of the gap around the day; None is an open side."""
    before = [last for _, last in periods if last < number]
    after = [first for first, _ in periods if first > number]
    return (civil(max(before) + 1) if before else None), (civil(min(after) - 1) if after else None)


def next_day(day: date | None) -> date | None:
    """The next day, or None if there is none."""
    return day + timedelta(days=1) if day is not None and day < date.max else None
