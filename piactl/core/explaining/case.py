"""One account on one day, with the very functions that decide about it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import cached_property

from piactl.core.account import Account, State
from piactl.core.career import Career
from piactl.core.days import OPEN, Period, civil, holding, intersection, union
from piactl.core.desired import Rules, Subject, desired_account
from piactl.core.lifecycle import BEGINNING
from piactl.core.pins import running
from piactl.core.standing import Standing

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
        ends = sorted({pin.until.toordinal() + 1 for pin in running(self.account.pins, self.as_of)})
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
