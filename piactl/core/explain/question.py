"""The question of `why` (one account on one day) and the parts of its answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from functools import cached_property
from typing import NamedTuple

from piactl.core.model.account import ASSIGNED, Account, Right, State, merged_into
from piactl.core.model.overrides import OverrideKind, override_text, running
from piactl.core.model.periods import OPEN, Period, civil, holding, intersection, union
from piactl.core.model.person import Assignment
from piactl.core.plan.case import Case
from piactl.core.plan.drift import Drift, changed_words
from piactl.core.rules.career import Career, careers_from
from piactl.core.rules.desired_account import Rules, Subject, desired_account
from piactl.core.rules.lifecycle import BEGINNING
from piactl.core.rules.reasons import BY_HAND, Reason, Rule, answer_sentence, right_reason, state_reason
from piactl.phrase import Phrase


class Remedy(NamedTuple):
    """A change that would reverse an answer, as a sentence, with its command, or "" if no command makes the
    change (HR, the policy, time).

    `day` is the first day of the other answer, None if unknown. `account_after` is the account after the
    command, with which the rules gave `day`; None if no command was tried.
    """

    text: str
    command: str = ""
    day: date | None = None
    account_after: Account | None = None


REFUSED, ASKED, SERVICE, LET_IN = "refused", "asked", "service", Phrase("let in")
"""The effect of a cause on a login: refused; something more is required; it works, but a service is missing;
allowed although the rules refuse it. Of a service: the entry lacks or has it against the rules."""


GRACE = "grace"
"""The kind of the cause that the posts have ended and the account is in its grace."""


class Cause(NamedTuple):
    """One reason why a login, or a service, is not as expected, and the command that helps, or ""."""

    kind: str
    effect: str
    text: str
    command: str = ""
    until: date | datetime | None = None


class Answer(NamedTuple):
    """One question with its answer. `since` and `until` are its first and last day, None if there is none or
    it is unknown.

    `subject` is "state", "login" or a service; `uai` the establishment of a service of that scope, else "".
    `verdict` is yes or no, or the state. `rules` starts with the deciding rule. `notes` are exceptions and
    overrides that matter. `coming` are later events. `remedies` are changes that would reverse the answer,
    the smallest first. `causes` are the causes of a failing login, the first to remove first, or of an entry
    that has or lacks a service against the rules.
    """

    subject: str
    uai: str = ""
    label: str = ""
    yes: bool = False
    verdict: str = "no"
    since: date | None = None
    until: date | None = None
    reason: str = ""
    rules: tuple[Rule, ...] = ()
    assignment: Assignment | None = None
    notes: tuple[str, ...] = ()
    coming: tuple[tuple[date, str], ...] = ()
    causes: tuple[Cause, ...] = ()
    remedies: tuple[Remedy, ...] = ()


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

    @property
    def career(self) -> Career:
        return self._careers[0][1]

    @cached_property
    def _careers(self) -> list[tuple[Period, Career]]:
        return careers_from(self.account, self.rules.policy, self.rules.register, self.as_of)

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

    @property
    def merged(self) -> str | None:
        """The account into which this one was merged."""
        return merged_into(self.account, self.rules.keys) if self.account.merged else None

    @cached_property
    def because(self) -> Reason:
        """The reason of the state; `state_sentence` says it."""
        policy, register = self.rules.policy, self.rules.register
        reason = state_reason(self.career, self.as_of, policy, register, given=self.state)
        closed = [p for p in running(self.account.overrides, self.as_of) if p.kind is OverrideKind.CLOSE]
        if closed and self.state not in ASSIGNED and reason.code != "retained":
            return reason._replace(values={**reason.values, BY_HAND: override_text(closed[0])})
        return reason

    @property
    def undecided(self) -> str:
        """What is to be said of an account of which the rules decide nothing: it is held, merged or archived;
        else ""."""
        if self.held:
            return self.held
        if self.merged:
            return Phrase(
                "merged into {merged}; only the uid is left of it, and stays reserved", merged=self.merged
            )
        if self.account.state is State.ARCHIVED:
            return Phrase("personal data are erased; the uid and the addresses stay reserved for this person")
        return ""

    @property
    def state_ground(self) -> tuple[str, tuple[Rule, ...], Assignment | None]:
        """The reason of the state as a sentence, its rules and its assignment."""
        if self.undecided:
            return self.undecided, (), None
        return answer_sentence(self.because), self.because.rules, self.because.assignment

    def right_reason(self, service: str, uai: str) -> Reason:
        policy = self.rules.policy
        return right_reason(self.career, (service, uai), self.as_of, policy, self.state, self.because)

    def of(self, account: Account) -> Question:
        """The same question about another account."""
        return replace(self, account=account)

    def days(self, periods_of: Callable[[Career], Sequence[Period]]) -> list[Period]:
        """The days that `periods_of` finds, as known on the day."""
        return union(
            period for days, career in self._careers for period in intersection(periods_of(career), [days])
        )

    def right_days(self, service: str, uai: str) -> list[Period]:
        if self.account.state is State.ARCHIVED:
            return []
        if self.held:
            return [(BEGINNING, OPEN)] if (service, uai) in self.account.entitlements else []
        return self.days(lambda career: career.rights.get((service, uai), []))

    def state_days(self, *states: State) -> list[Period]:
        if self.held:
            return [(BEGINNING, OPEN)] if self.account.state in states else []
        return self.days(lambda career: [(s.first, s.last) for s in career.segments if s.state in states])

    @property
    def is_kept(self) -> bool:
        """Whether it is archived later than the assignments alone require, or already archived."""
        return self.career.state_on(self.as_of) is not self.desired.state

    def state_span(self) -> tuple[date | None, date | None]:
        """First and last day of the state; None if there is none or it is unknown."""
        desired = self.desired
        if self.held:
            return desired.state_from, None
        since, until = span(self.state_days(desired.state), self.number)
        if self.is_kept:
            due = desired.next_due
            until = due - timedelta(days=1) if due is not None and due > self.as_of else None
            since = None
        since = since or desired.state_from
        return (since if since is not None and since <= self.as_of else None), until

    def lock_left(self) -> Assignment | None:
        """The row of HR that an absence ended, and whose lock stays on the day."""
        rows = (a for a in self.account.assignments if a.locks_until is not None and a.is_over(self.as_of))
        return next((row for row in rows if row.locks_until and self.as_of <= row.locks_until), None)

    @property
    def next_post(self) -> Assignment | None:
        """The assignment to come of an account that has none on the day."""
        if self.undecided or self.career.posts_on(self.as_of):
            return None
        coming = [post for post in self.career.posts if post.first > self.number]
        return min(coming, key=lambda post: post.first).assignment if coming else None

    def hold_notes(self) -> Iterator[str]:
        """The open cases that hold the account."""
        return (case.hold_text for case in self.cases)

    def drift_notes(self) -> Iterator[str]:
        if self.drift:
            words = changed_words(self.drift.values())
            yield Phrase("{drift}: piactl drift show {uid}", drift=words, uid=self.account.uid)


def span(periods: Sequence[Period], number: int) -> tuple[date | None, date | None]:
    """First and last day of the period that includes the day, else of the gap around it; None is an open
    side."""
    period = holding(periods, number)
    if period is None:
        before = [last for _, last in periods if last < number]
        after = [first for first, _ in periods if first > number]
        return (civil(max(before) + 1) if before else None), (civil(min(after) - 1) if after else None)
    return (None if period[0] == BEGINNING else civil(period[0])), civil(period[1])


def next_day(day: date | None) -> date | None:
    """The next day, or None if there is none."""
    return day + timedelta(days=1) if day is not None and day < date.max else None
