"""Finds changes that would reverse an answer, and tries each on the rules before it proposes it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import date

from piactl.core.edits import Act, ActRefused, Author
from piactl.core.edits.accounts import close, reopen, unlock
from piactl.core.edits.exceptions_and_overrides import deny, end_exceptions, grant
from piactl.core.explain.question import Question, Remedy
from piactl.core.model.account import Account, ServiceException, State
from piactl.core.model.overrides import OverrideKind, running
from piactl.core.model.periods import Period, holding
from piactl.core.model.policy import Position, Service
from piactl.core.rules.posts import Post
from piactl.core.rules.reasons import left_by_position
from piactl.core.text import condition

_AUTHOR = Author("an administrator", "...")
_USUAL = 30
"""Days of a proposed exception or assignment; the administrator chooses the real length."""

YesDays = Callable[[Question], list[Period]]
"""Returns the days on which the answer is yes."""


def case_remedies(question: Question) -> Iterable[Remedy]:
    """The remedy to decide the cases that hold the account."""
    for case in question.cases:
        yield Remedy(f"an administrator or HR decides case {case.id}", f"piactl match show {case.id}")


def wait_remedy(day: date | None, question: Question) -> Iterable[Remedy]:
    """The remedy to wait, if the date alone reverses the answer later."""
    if question.cases:
        return
    if day is not None and day > question.as_of:
        yield Remedy(f"wait until {day}", day=day)


def grant_remedy(
    question: Question, service: Service, uai: str, needed: date | None, yes_days: YesDays
) -> Iterable[Remedy]:
    """The remedy of a grant, not longer than `needed`."""
    until = min(_until(question), needed or date.max)
    act = grant(_AUTHOR, service.name, uai, question.as_of, until)
    words = f"{_service(service, uai)} --until {until}{question.as_of_option}"
    return _effective_remedy(
        question, act, "an exception", f"exception grant {{}} {words}", yes_days, yes=True
    )


def deny_remedy(question: Question, service: Service, uai: str, yes_days: YesDays) -> Iterable[Remedy]:
    until = _until(question)
    act = deny(_AUTHOR, service.name, uai, question.as_of, until)
    words = f"{_service(service, uai)} --until {until}{question.as_of_option}"
    return _effective_remedy(question, act, "a denial", f"exception deny {{}} {words}", yes_days, yes=False)


def end_exception_remedy(
    question: Question, service: Service, uai: str, kind: str, yes_days: YesDays, *, yes: bool
) -> Iterable[Remedy]:
    """The remedy to end an exception; `uai` "" ends the exceptions at every establishment."""
    act = end_exceptions(_AUTHOR, service.name, uai)
    command = f"exception end {{}} {_service(service, uai)}{question.as_of_option}"
    return _effective_remedy(question, act, f"the end of the {kind}", command, yes_days, yes=yes)


def reopen_remedy(question: Question, yes_days: YesDays) -> Iterable[Remedy]:
    """The remedy for an account without current assignment: undo a closure by hand, or renew the last one. A
    person whom a position keeps away, like a retired one, comes back by HR."""
    if question.cases:
        return ()
    if any(
        override.kind is OverrideKind.CLOSE
        for override in running(question.account.overrides, question.as_of)
    ):
        text, act, until = "the closure by hand taken back", reopen(_AUTHOR), ""
    elif left_by_position(question.career, question.as_of):
        return (Remedy("a later assignment in the HR data, if the person comes back"),)
    else:
        text, act = "an assignment on the day: renew the last one", reopen(_AUTHOR, _until(question))
        until = f" --until {_until(question)}"
    return _effective_remedy(
        question, act, text, f"account reopen {{}}{until}{question.as_of_option}", yes_days, yes=True
    )


def close_remedy(question: Question, yes_days: YesDays) -> Iterable[Remedy]:
    """The remedy to close the account by hand from the day on."""
    first, last = question.as_of, _until(question)
    days = f"--from {first} --until {last}{question.as_of_option}"
    text = f"a closure by hand, from {first} to {last}"
    return _effective_remedy(
        question, close(_AUTHOR, first, last), text, f"account close {{}} {days}", yes_days, yes=False
    )


def unlock_remedy(question: Question) -> Iterable[Remedy]:
    """The remedy to lift the administrator's lock."""
    words = _command(question, f"account unlock {{}}{question.as_of_option}")
    yield Remedy(
        "lift the lock", words, question.as_of, unlock(_AUTHOR)(question.account, question.rules).account
    )


def _effective_remedy(
    question: Question, act: Act, text: str, command: str, yes_days: YesDays, *, yes: bool
) -> Iterable[Remedy]:
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
    later = f", from {day} on" if day > question.as_of else ""
    yield Remedy(text + later, _command(question, command), day, altered)


def _first_changed_day(question: Question, altered: Account, yes_days: YesDays, *, yes: bool) -> date | None:
    periods = yes_days(question.of(altered))
    if not yes:
        return None if holding(periods, question.number) else question.as_of
    if holding(periods, question.number):
        return question.as_of
    ahead = [first for first, _ in periods if first > question.number]
    before = [first for first, _ in yes_days(question) if first > question.number]
    # a change that comes as early without the act does not count
    return date.fromordinal(min(ahead)) if ahead and min(ahead) < min(before, default=10**9) else None


def _command(question: Question, words: str) -> str:
    return f'piactl {words.format(question.account.uid)} --reason "..."'


def _service(service: Service, uai: str) -> str:
    return f"--service {service.name}" + (f" --uai {uai}" if uai else "")


def _until(question: Question) -> date:
    return date.fromordinal(min(question.number + _USUAL, date.max.toordinal()))


ASSIGNED = (State.ACTIVE, State.ON_LEAVE)


def posts_with(question: Question, service: Service, uai: str) -> list[Post]:
    """The posts of the day to which the policy gives the service."""
    return [
        post
        for post in question.career.posts_on(question.as_of)
        if post.has(service) and uai in ("", post.assignment.uai)
    ]


def exceptions_on(question: Question, service: Service, uai: str) -> list[ServiceException]:
    """The exceptions of the day, with denials of person scope, which apply to every establishment."""
    return [
        e
        for e in question.account.exceptions
        if e.service == service.name
        and (e.uai == uai or (not e.uai and not e.grants))
        and e.start <= question.as_of <= e.end
    ]


def current_denial(question: Question, service: Service, uai: str) -> ServiceException | None:
    """The denial without which the account would have the right."""
    denials = [e for e in exceptions_on(question, service, uai) if not e.grants]
    if not denials:
        return None
    period = holding(question.bare.rights.get((service.name, uai), []), question.number)
    granted = any(e.grants for e in exceptions_on(question, service, uai))
    open_ = question.state in (*ASSIGNED, State.GRACE)
    return denials[0] if period or (granted and open_) else None


def _right_days(service: Service, uai: str) -> YesDays:
    return lambda question: question.right_days(service.name, uai)


def lose_remedies(question: Question, service: Service, uai: str) -> Iterator[Remedy]:
    yes_days = _right_days(service, uai)
    for exception in exceptions_on(question, service, uai):
        if exception.grants:
            yield from end_exception_remedy(question, service, exception.uai, "grant", yes_days, yes=False)
    yield from deny_remedy(question, service, uai, yes_days)


def gain_remedies(question: Question, service: Service, uai: str, until: date | None) -> Iterator[Remedy]:
    """Remedies that give the right. After `until` the date alone gives it."""
    yes_days = _right_days(service, uai)
    denial = current_denial(question, service, uai)
    if denial is not None:
        yield from end_exception_remedy(question, service, denial.uai, "denial", yes_days, yes=True)
    locked = question.career.locked_on(question.as_of)
    if (uai or not service.per_establishment) and not locked:
        yield from grant_remedy(question, service, uai, until, yes_days)
    if question.state in (State.GRACE, State.DEACTIVATED, State.ANTICIPATED):
        yield from reopen_remedy(question, yes_days)
        return
    posts = posts_with(question, service, uai)
    if any(not post.position.keeps_service(service.name) for post in posts):
        positions = sorted(p.name for p in question.rules.policy.positions.values() if _keeps(p, service))
        yield Remedy(f"a position in the HR data that keeps it ({', '.join(positions)})")
    elif not posts and question.state in ASSIGNED:
        where = f" at {uai}" if uai else ""
        profiles = ", ".join(sorted(service.profiles or ())) or "any"
        if service.when.conditions:
            profiles += f", only where {condition(service.when.conditions)}"
        yield Remedy(
            f"an assignment{where} with a profile that has it ({profiles})", _add_command(question, uai)
        )


def _keeps(position: Position, service: Service) -> bool:
    return not position.ends and position.keeps_service(service.name)


def _add_command(question: Question, uai: str) -> str:
    place = uai or "UAI"
    return (
        f"piactl assignment add {question.account.uid} --uai {place} --function CODE --until DATE"
        f'{question.as_of_option} --reason "..."'
    )
