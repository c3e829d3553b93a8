"""Changes that an administrator could make, each tried on the rules before it is proposed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date

from piactl.core.account import Account
from piactl.core.acts import Act, ActRefused, Author
from piactl.core.acts.exceptions import deny, end_exceptions, grant
from piactl.core.days import Period, holding
from piactl.core.explaining.answer import Remedy
from piactl.core.explaining.case import Case
from piactl.core.pins import PinKind, running
from piactl.core.policy import Service

_AUTHOR = Author("an administrator", "...")
_USUAL = 30
"""Days of an exception or an assignment in a proposal; whoever makes it says how long it is to be."""

Seen = Callable[[Case], list[Period]]
"""The days of the answer yes, of the case as it would be."""


def waiting(day: date | None, case: Case) -> Iterable[Remedy]:
    """That the date alone turns the answer on a later day."""
    if day is not None and day > case.as_of:
        yield Remedy(f"wait until {day}", day=day)


def granting(case: Case, service: Service, uai: str, needed: date | None, seen: Seen) -> Iterable[Remedy]:
    """An exception, no longer than it is `needed`."""
    until = min(_until(case), needed or date.max)
    act = grant(_AUTHOR, service.name, uai, case.as_of, until)
    words = f"{_service(service, uai)} --until {until}{case.option}"
    return _tried(case, act, "an exception", f"exception grant {{}} {words}", seen, yes=True)


def denying(case: Case, service: Service, uai: str, seen: Seen) -> Iterable[Remedy]:
    until = _until(case)
    act = deny(_AUTHOR, service.name, uai, case.as_of, until)
    words = f"{_service(service, uai)} --until {until}{case.option}"
    return _tried(case, act, "a denial", f"exception deny {{}} {words}", seen, yes=False)


def ending_exception(
    case: Case, service: Service, uai: str, what: str, seen: Seen, *, yes: bool
) -> Iterable[Remedy]:
    """The end of an exception; `uai` "" ends those of every establishment."""
    act = end_exceptions(_AUTHOR, service.name, uai)
    command = f"exception end {{}} {_service(service, uai)}{case.option}"
    return _tried(case, act, f"the end of the {what}", command, seen, yes=yes)


def reopening(case: Case, seen: Seen) -> Iterable[Remedy]:
    """An account that no assignment opens: what closed it by hand taken back, or the last one anew."""
    from piactl.core.acts.closing import reopen  # loaded where an account is closed

    if any(pin.kind is PinKind.CLOSE for pin in running(case.account.pins, case.as_of)):
        text, act, until = "the closure by hand taken back", reopen(_AUTHOR), ""
    else:
        text, act = "an assignment on the day: the last one anew", reopen(_AUTHOR, _until(case))
        until = f" --until {_until(case)}"
    return _tried(case, act, text, f"account reopen {{}}{until}{case.option}", seen, yes=True)


def unlocking(case: Case) -> Iterable[Remedy]:
    """The administrator's lock lifted."""
    from piactl.core.acts.locks import unlock

    words = _command(case, f"account unlock {{}}{case.option}")
    yield Remedy("lift the lock", words, case.as_of, unlock(_AUTHOR)(case.account, case.rules).account)


def _tried(case: Case, act: Act, text: str, command: str, seen: Seen, *, yes: bool) -> Iterable[Remedy]:
    """The remedy, where the rules say that the act turns the answer, at once or on a later day."""
    if not case.acts:
        return
    try:
        altered = act(case.account, case.rules).account
    except ActRefused:
        return
    day = _turned(case, altered, seen, yes=yes)
    if day is None:
        return
    later = f", from {day} on" if day > case.as_of else ""
    yield Remedy(text + later, _command(case, command), day, altered)


def _turned(case: Case, altered: Account, seen: Seen, *, yes: bool) -> date | None:
    periods = seen(case.of(altered))
    if not yes:
        return None if holding(periods, case.number) else case.as_of
    if holding(periods, case.number):
        return case.as_of
    ahead = [first for first, _ in periods if first > case.number]
    before = [first for first, _ in seen(case) if first > case.number]
    # what comes by itself as soon is no merit of the act
    return date.fromordinal(min(ahead)) if ahead and min(ahead) < min(before, default=10**9) else None


def _command(case: Case, words: str) -> str:
    return f'piactl {words.format(case.account.uid)} --reason "..."'


def _service(service: Service, uai: str) -> str:
    return f"--service {service.name}" + (f" --uai {uai}" if uai else "")


def _until(case: Case) -> date:
    return date.fromordinal(min(case.number + _USUAL, date.max.toordinal()))
