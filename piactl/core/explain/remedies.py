"""Finds changes that would reverse an answer, and tries each on the rules before it proposes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date

from piactl.core.acts import Act, ActRefused, Author
from piactl.core.acts.grant_deny import end_exceptions, make_exception
from piactl.core.acts.lock_close_rename import close, extend, reopen, unlock
from piactl.core.explain.question import Question, Remedy
from piactl.core.model.account import Account, State
from piactl.core.model.overrides import OverrideKind, running
from piactl.core.model.periods import Period, holding
from piactl.core.model.policy import Service
from piactl.core.rules.reasons import BY_POSITION, WITHOUT_POST, left_by_position
from piactl.core.rules.rights_over_time import DENIAL, denials
from piactl.core.text import condition
from piactl.phrase import Phrase

_AUTHOR = Author(Phrase("an administrator"), "...")
_USUAL = 30
"""Days of a proposed exception or assignment; the administrator chooses the real length."""

YesDays = Callable[[Question], list[Period]]
"""Returns the days on which the answer is yes."""


def case_remedies(question: Question) -> Iterator[Remedy]:
    """The remedy to decide the cases that hold the account."""
    for case in question.cases:
        yield Remedy(
            Phrase("an administrator or HR decides case {id}", id=case.id), f"piactl match show {case.id}"
        )


def merged_remedies(question: Question) -> Iterator[Remedy]:
    into = question.merged
    if into:
        yield Remedy(Phrase("the account of this person is {into}", into=into), f"piactl why {into}")


def wait_remedy(day: date | None, question: Question) -> Iterator[Remedy]:
    """The remedy to wait, if the date alone reverses the answer later."""
    if day is not None and day > question.as_of and not question.cases:
        yield Remedy(Phrase("wait until {day}", day=day), day=day)


def reopen_remedy(question: Question, yes_days: YesDays) -> Iterator[Remedy]:
    """The remedy for an account without current assignment: undo a closure by hand, or prolong the last one.
    A person whom a position keeps away, like a retired one, comes back by HR."""
    if question.cases:
        return
    if any(p.kind is OverrideKind.CLOSE for p in running(question.account.overrides, question.as_of)):
        text, act = Phrase("the closure by hand taken back"), reopen(_AUTHOR)
        command = "piactl account reopen {}"
    elif left_by_position(question.career, question.as_of):
        yield Remedy(Phrase("a later assignment in the HR data, if the person comes back"))
        return
    else:
        text, act = Phrase("the last assignment prolonged"), extend(_AUTHOR, _until(question))
        command = f"piactl account extend {{}} --until {_until(question)}"
    yield from _effective(question, act, text, command, yes_days, yes=True)


def close_remedy(question: Question, yes_days: YesDays) -> Iterator[Remedy]:
    """The remedy to close the account by hand from the day on."""
    first, last = question.as_of, _until(question)
    text, command = (
        Phrase("a closure by hand, from {first} to {last}", first=first, last=last),
        f"piactl account close {{}} --from {first}",
    )
    act = close(_AUTHOR, first, last)
    return _effective(question, act, text, f"{command} --until {last}", yes_days, yes=False)


def unlock_remedy(question: Question) -> Iterator[Remedy]:
    """The remedy to lift the administrator's lock."""
    altered = unlock(_AUTHOR)(question.account, question.rules).account
    yield Remedy(
        Phrase("lift the lock"), _command(question, "piactl account unlock {}"), question.as_of, altered
    )


def lose_remedies(question: Question, service: Service, uai: str) -> Iterator[Remedy]:
    yes_days = _right_days(service, uai)
    for exception in question.account.exceptions:
        own = (exception.service, exception.uai) == (service.name, uai)
        if own and exception.grants and exception.start <= question.as_of <= exception.end:
            text = Phrase("the end of the grant")
            yield from _end_remedy(question, service, uai, text, yes_days, yes=False)
    until = _until(question)
    act = make_exception(_AUTHOR, service.name, uai, question.as_of, until, grants=False)
    command = f"piactl exception deny {{}} {_service(service, uai)} --until {until}"
    yield from _effective(question, act, Phrase("a denial"), command, yes_days, yes=False)


def gain_remedies(
    question: Question, service: Service, uai: str, code: str, until: date | None
) -> Iterator[Remedy]:
    """Remedies that give the right, which the account lacks for the reason of this code. After `until` the
    date alone gives it."""
    yes_days = _right_days(service, uai)
    if code == DENIAL:
        days = denials((service.name, uai), question.account.exceptions)
        denial = next(d.exception for d in days if d.first <= question.number <= d.last)
        at = denial.uai if denial is not None else uai
        text = Phrase("the end of the denial")
        yield from _end_remedy(question, service, at, text, yes_days, yes=True)
    if (uai or not service.per_establishment) and not question.career.locked_on(question.as_of):
        last = min(_until(question), until or date.max)
        act = make_exception(_AUTHOR, service.name, uai, question.as_of, last, grants=True)
        command = f"piactl exception grant {{}} {_service(service, uai)} --until {last}"
        yield from _effective(question, act, Phrase("an exception"), command, yes_days, yes=True)
    if question.state in (State.GRACE, State.DEACTIVATED, State.ANTICIPATED):
        yield from reopen_remedy(question, yes_days)
        return
    if code == BY_POSITION:
        positions = question.rules.policy.positions.values()
        keeping = sorted(
            p.name for p in positions if p.name != "default" and not p.ends and p.keeps_service(service.name)
        )
        yield Remedy(
            Phrase("a position in the HR data that keeps it ({positions})", positions=", ".join(keeping))
        )
    elif code in WITHOUT_POST:
        profiles = ", ".join(sorted(service.profiles or ())) or Phrase("any")
        if service.when.conditions:
            only = condition(service.when.conditions)
            profiles = Phrase("{profiles}, only where {condition}", profiles=profiles, condition=only)
        text = Phrase("an assignment with a profile that has it ({profiles})", profiles=profiles)
        if uai:
            text = Phrase(
                "an assignment at {uai} with a profile that has it ({profiles})", uai=uai, profiles=profiles
            )
        command = f"piactl assignment add {{}} --uai {uai or 'UAI'} --function CODE --until DATE"
        yield Remedy(text, _command(question, command))


def _end_remedy(
    question: Question, service: Service, uai: str, text: Phrase, yes_days: YesDays, *, yes: bool
) -> Iterator[Remedy]:
    """The remedy to end an exception; `uai` "" ends the exceptions at every establishment."""
    act = end_exceptions(_AUTHOR, service.name, uai)
    command = f"piactl exception end {{}} {_service(service, uai)}"
    return _effective(question, act, text, command, yes_days, yes=yes)


def _effective(
    question: Question, act: Act, text: Phrase, command: str, yes_days: YesDays, *, yes: bool
) -> Iterator[Remedy]:
    """The remedy, if by the rules the act reverses the answer, at once or on a later day."""
    if not question.changeable:
        return
    try:
        altered = act(question.account, question.rules).account
    except ActRefused:
        return
    day = _first_changed_day(question, altered, yes_days, yes=yes)
    if day is None:
        return
    if day > question.as_of:
        text = Phrase("{change}, from {day} on", change=text, day=day)
    yield Remedy(text, _command(question, command), day, altered)


def _first_changed_day(question: Question, altered: Account, yes_days: YesDays, *, yes: bool) -> date | None:
    periods = yes_days(question.of(altered))
    if (holding(periods, question.number) is not None) is yes:
        return question.as_of
    if not yes:
        return None
    ahead = [first for first, _ in periods if first > question.number]
    before = [first for first, _ in yes_days(question) if first > question.number]
    # a change that comes as early without the act does not count
    return date.fromordinal(min(ahead)) if ahead and min(ahead) < min(before, default=10**9) else None


def _command(question: Question, words: str) -> str:
    return f'{words.format(question.account.uid)}{question.as_of_option} --reason "..."'


def _service(service: Service, uai: str) -> str:
    return f"--service {service.name}" + (f" --uai {uai}" if uai else "")


def _until(question: Question) -> date:
    return date.fromordinal(min(question.number + _USUAL, date.max.toordinal()))


def _right_days(service: Service, uai: str) -> YesDays:
    return lambda question: question.right_days(service.name, uai)
