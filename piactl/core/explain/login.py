"""Explains why a login fails: lists every cause, the first to remove first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from typing import NamedTuple

from piactl.core.credentials.credentials import NEVER_VALID, Credentials
from piactl.core.explain.question import (
    ASKED,
    LET_IN,
    REFUSED,
    SERVICE,
    Answer,
    Cause,
    Question,
    Remedy,
    next_day,
    span,
)
from piactl.core.explain.remedies import case_remedies, merged_remedies, wait_remedy
from piactl.core.model.account import NO_DEVICE, State
from piactl.core.model.periods import OPEN, Period, difference, holding
from piactl.core.model.person import Assignment
from piactl.core.plan.drift import drift_words
from piactl.core.rules.career import NEVER, Career
from piactl.core.rules.lifecycle import BEGINNING
from piactl.core.rules.reasons import Rule, assignment_text, left_by_position, locking_post
from piactl.core.rules.rights_over_time import right_by
from piactl.phrase import Phrase, counted


class LoginContext(NamedTuple):
    """What a login depends on besides the rules. `now` is the time at which passwords are checked, `show`
    formats a time. `by_server`: the directory itself requires one-time codes. `last_run` is the day of the
    last run, None if there was none or it is unknown."""

    credentials: Credentials
    now: datetime
    show: Callable[[datetime], str]
    by_server: bool = True
    last_run: date | None = None


def password_causes(question: Question, around: LoginContext) -> Iterator[Cause]:
    uid, credentials, show = question.account.uid, around.credentials, around.show
    activate = f"piactl password activate {uid}"
    if credentials.changed is None:
        yield Cause("no-password", REFUSED, Phrase("no password was ever set"), activate)
        return
    blocked, until = credentials.blocked_until(around.now)
    if credentials.is_activation:
        ends = credentials.activation_until
        if ends == NEVER_VALID:
            text = Phrase("an administrator made its password useless; it needs an activation password")
            yield Cause("no-password", REFUSED, text, activate)
            return
        if blocked and until is None:
            when = f" at {show(ends)}" if ends else ""
            text = f"the activation password ended unused{when}, by time or by wrong attempts"
            yield Cause("activation-ended", REFUSED, text, activate)
            return
        if blocked:
            yield _block(uid, credentials, until, show)
        valid = f", valid until {show(ends)}" if ends else ""
        text = (
            f"an activation password was issued at {show(credentials.changed)}{valid}, and is not used yet:"
            " log in with it once"
        )
        yield Cause("activation-unused", ASKED, text, activate, ends)
        return
    if blocked:
        yield _block(uid, credentials, until, show)
    elif credentials.failures:
        yield _wrong_tries(uid, credentials, show)
    if credentials.must_change:
        text = Phrase("the password must be changed at the next log in")
        yield Cause("must-change", ASKED, text)
    if credentials.expires is not None and credentials.expires <= around.now:
        text = Phrase("the password expired at {show}", show=show(credentials.expires))
        yield Cause("expired", REFUSED, text, f"piactl password reset {uid}")


def _wrong_tries(uid: str, credentials: Credentials, show: Callable[[datetime], str]) -> Cause:
    tries = counted(len(credentials.failures), "try", "tries")
    wrong = "the password or the code" if credentials.linked else "the password"
    last = f"{wrong} was wrong at the last {tries}, the latest at {show(credentials.failures[-1])}"
    text = f"{last}; if the password is forgotten, it can be reset"
    return Cause("wrong-tries", ASKED, text, f"piactl password reset {uid}")


def _block(
    uid: str, credentials: Credentials, until: datetime | None, show: Callable[[datetime], str]
) -> Cause:
    if until is not None and until == credentials.delayed:
        text = f"delayed by wrong passwords until {show(until)}; this ends by itself"
        return Cause("delayed", REFUSED, text, until=until)
    since = f" since {show(credentials.blocked)}" if credentials.blocked else ""
    end = f", until {show(until)}" if until else ""
    if until is None:
        end = ", until it is lifted"
        if credentials.policy is None:
            end = "; its end is not known: the settings name no password policy (password.policy)"
    text = f"blocked by wrong passwords{since}{end}"
    return Cause("blocked", REFUSED, text, f"piactl password unblock {uid}", until)


def device_causes(question: Question, around: LoginContext) -> Iterator[Cause]:
    uid, device = question.account.uid, around.credentials.device
    enroll = f"piactl otp enroll {uid}"
    if device is None:
        yield from _without_device(question, enroll)
        return
    if not device.there:
        effect = REFUSED if around.by_server else SERVICE
        text = Phrase("the device {name} was reported lost and has not been replaced", name=device.name)
        yield Cause("device-lost", effect, text, enroll)
    elif device.drift or (around.credentials.linked and around.credentials.failures):
        seconds = abs(device.drift) * device.step
        side = "ahead" if device.drift > 0 else "behind"
        was = f"{seconds} s {side} at its last good code, and is allowed to be" if device.drift else "right"
        text = (
            f"the clock of the device {device.name} was {was}; if its codes are refused, it has drifted since"
        )
        yield Cause("device-drift", ASKED, text, f"piactl otp resync {uid}")


def _without_device(question: Question, enroll: str) -> Iterator[Cause]:
    """The cause of services that require a one-time code from an account without device."""
    policy = question.rules.policy.services
    services = sorted({name for name, _ in question.desired.entitlements if name in policy})
    always = [policy[name].label for name in services if policy[name].otp == "always"]
    outside = [policy[name].label for name in services if policy[name].otp == "off-site"]
    parts = [f"always by {', '.join(always)}"] if always else []
    parts += [f"from outside by {', '.join(outside)}"] if outside else []
    if parts:
        text = f"a one-time code is required {'; '.join(parts)}, but no device is active"
        yield Cause("device-none", SERVICE, text, enroll)


_WEIGHT = {LET_IN: 0, REFUSED: 0, ASKED: 1, SERVICE: 2}
"""The order of causes: those that refuse the login come first."""


def login_answer(question: Question, around: LoginContext) -> Answer:
    """The answer about login: no if any cause refuses it."""
    causes = tuple(sorted(_causes(question, around), key=lambda cause: _WEIGHT[cause.effect]))
    yes = not any(cause.effect is REFUSED for cause in causes)
    by_rules = holding(login_days(question), question.number) is not None
    # if a password or the entry refuses what the rules allow, the rules do not give the days
    since, until = span(login_days(question), question.number) if yes is by_rules else (None, None)
    first = next((c for c in causes if c.effect is REFUSED), None)
    text, rules, assignment = question.state_ground
    return Answer(
        subject="login",
        yes=yes,
        verdict="yes" if yes else "no",
        since=since,
        until=until,
        reason=first.text if first else text,
        rules=_position_rules(question) or rules,
        assignment=assignment,
        notes=tuple(_notes(question, around)),
        causes=causes,
        remedies=() if yes else tuple(_remedies(question, until)),
    )


def _remedies(question: Question, until: date | None) -> Iterator[Remedy]:
    yield from merged_remedies(question)
    yield from case_remedies(question)
    yield from wait_remedy(next_day(until), question)


def login_days(question: Question) -> list[Period]:
    """The days on which the rules allow login, without the days of an administrator's lock."""
    account = question.account
    if account.state is State.ARCHIVED:
        return []
    if question.held:
        first, last = account.login_from, account.login_until
        if last == NEVER:
            return []
        return [(first.toordinal() if first else BEGINNING, last.toordinal() if last else OPEN)]
    lock = account.lock

    def allowed(career: Career) -> list[Period]:
        if lock is None:
            return list(career.login)
        until = OPEN if lock.until is None else lock.until.toordinal()
        return difference(career.login, [(lock.since.toordinal(), until)])

    return question.days(allowed)


def entry_allows_login(question: Question, credentials: Credentials) -> bool:
    """Whether the directory allows login on the day: the login window of the entry includes it, and no link
    to a device refuses."""
    account = question.account
    inside = (
        (account.login_from or question.as_of) <= question.as_of <= (account.login_until or question.as_of)
    )
    return inside and not _is_denied(question, credentials)


def _is_denied(question: Question, credentials: Credentials) -> bool:
    """Whether the entry refuses login by a link to no device, as on a closed or locked account. Only nights
    change the link, so it counts for today only. A lost device is a separate cause."""
    return credentials.denied and question.account.device != NO_DEVICE and not question.as_of_option


def entry_differs(question: Question, credentials: Credentials) -> bool:
    """Whether directory and rules differ about login on the day."""
    return entry_allows_login(question, credentials) is not (
        holding(login_days(question), question.number) is not None
    )


def _causes(question: Question, around: LoginContext) -> Iterator[Cause]:
    yield from _by_the_entry(question, around)
    yield from _locks(question)
    yield from _by_state(question)
    if question.state is State.ARCHIVED:
        return
    yield from password_causes(question, around)
    yield from device_causes(question, around)
    yield from _services(question)


def _by_the_entry(question: Question, around: LoginContext) -> Iterator[Cause]:
    """The cause of a directory entry that differs from the rules."""
    credentials = around.credentials
    if not entry_differs(question, credentials):
        return
    account = question.account
    window = _window(account.login_from, account.login_until)
    if _is_denied(question, credentials):
        window = Phrase("it is linked to no device, as a closed or locked account is")
    since = (
        Phrase("the last run was as of {last_run}", last_run=around.last_run)
        if around.last_run
        else Phrase("no run has been recorded")
    )
    revert = look = "piactl nightly"
    drift = next(filter(None, map(question.drift.get, ("login_from", "login_until", "device"))), None)
    if drift is not None:
        since = Phrase("another program changed it, {drift_words}", drift_words=drift_words(drift))
        # a refusal may be an emergency stop
        revert, look = f'piactl drift revert {account.uid} --reason "..."', f"piactl drift show {account.uid}"
    if entry_allows_login(question, credentials):
        text = f"the entry allows the login ({window}), but the rules do not; {since}"
        yield Cause("entry", LET_IN, text, revert)
    else:
        text = f"the rules allow the login, but the entry refuses it ({window}); {since}"
        yield Cause("entry", REFUSED, text, look)


def _window(first: date | None, last: date | None) -> str:
    if first is not None and last is not None:
        return Phrase("from {first} to {last}", first=first, last=last)
    if last is not None:
        return Phrase("until {last}", last=last)
    return Phrase("from {first}", first=first) if first is not None else Phrase("without an end")


def _locks(question: Question) -> Iterator[Cause]:
    lock = question.account.lock
    if lock is not None and lock.covers(question.as_of):
        until = f" until {lock.until}" if lock.until else ", until it is lifted"
        begun = f" since {lock.known_since}" if lock.known_since else ""
        text = f"locked by {lock.by}{begun}{until}: {lock.reason}"
        command = f'piactl account unlock {question.account.uid} --reason "..."'
        yield Cause("lock", REFUSED, text, command, lock.until)
    if question.account.state is State.ARCHIVED or not question.career.locked_on(question.as_of):
        return
    _, last = span(question.days(lambda career: career.locked), question.number)
    post = locking_post(question.career, question.as_of)
    until = f" until {last}" if last else ", no end known"
    why = (
        Phrase("position {name}: {text}", name=post.position.name, text=_text(post.assignment))
        if post
        else Phrase("a position that ended all assignments")
    )
    absent = question.lock_left() if post is None else None
    command = ""
    if absent is not None and absent.end is not None:
        since = absent.end + timedelta(days=1)
        why = f"position {absent.position}: {_text(absent)}; the row is absent since {since}"
        why += "; it ends when HR lists the person without it, or by an administrator"
        command = f'piactl account unlock {question.account.uid} --reason "..."'
    yield Cause("position-lock", REFUSED, f"locked by HR{until}: {why}", command, last)


def _text(row: Assignment) -> str:
    return assignment_text(row) + (f" [{row.origin}]" if row.origin else "")


def _by_state(question: Question) -> Iterator[Cause]:
    text, _, row = question.state_ground
    if row is not None and row.origin:
        text += f" [{row.origin}]"
    since, until = question.state_span()
    from_when = f" since {since}" if since else ""
    reopen = f'piactl account reopen {question.account.uid} --until DATE --reason "..."'
    if question.cases:
        reopen = f"piactl match show {question.cases[0].id}"
    elif left_by_position(question.career, question.as_of):
        reopen = ""
    if question.state is State.ARCHIVED:
        yield Cause("archived", REFUSED, f"archived{from_when}: {text}")
    elif question.state is State.ANTICIPATED:
        yield Cause("not-started", REFUSED, Phrase("not yet started: {text}", text=text), "", until)
    elif question.state is State.DEACTIVATED:
        yield Cause("closed", REFUSED, f"deactivated{from_when}: {text}", reopen, until)
    elif question.state is State.GRACE:
        refused = not question.career.login_on(question.as_of)
        effect = REFUSED if refused else SERVICE
        note = "; login was refused on the last day and still is" if refused else ""
        yield Cause("grace", effect, f"in grace: {text}{note}", reopen, until)
    elif question.state is State.ON_LEAVE and not _may_log_in(question):
        yield Cause("leave", REFUSED, Phrase("on leave without login: {text}", text=text), "", until)


def _may_log_in(question: Question) -> bool:
    """Whether the positions of the day allow login; a lock is a separate cause."""
    return question.career.login_on(question.as_of) or question.career.locked_on(question.as_of)


def _position_rules(question: Question) -> tuple[Rule, ...]:
    """The positions that decide about login on leave."""
    if question.state is not State.ON_LEAVE:
        return ()
    posts = question.career.posts_on(question.as_of)
    return tuple(dict.fromkeys(Rule(f"positions.{p.position.name}", p.position.line) for p in posts))


def _services(question: Question) -> Iterator[Cause]:
    """Services in their delay after a start or a mutation."""
    for post in question.career.posts_on(question.as_of):
        for service in question.rules.policy.services.values():
            right = name, uai = right_by(post, service)
            if not post.has(service) or right in question.desired.entitlements:
                continue
            reason = question.right_reason(name, uai)
            if reason.code != "delay" or reason.assignment is not post.assignment:
                continue
            where, begins, last = f" at {uai}" if uai else "", reason.values["begins"], reason.values["eve"]
            text = f"{service.label}{where} begins on {begins} ({reason.values['setting']})"
            grant = f"piactl exception grant {question.account.uid} --service {name}"
            command = grant + (f" --uai {uai}" if uai else "") + f' --until {last} --reason "..."'
            row = _text(post.assignment)
            yield Cause("delay", SERVICE, f"{text}: {row}", command, date.fromisoformat(last))


def _notes(question: Question, around: LoginContext) -> Iterator[str]:
    yield from question.hold_notes()
    yield from question.drift_notes()
    device = around.credentials.device
    if around.credentials.linked and device is not None and device.there:
        yield Phrase(
            "the directory requires password and code of {name}, never the password alone", name=device.name
        )
    if question.account.shut and not question.as_of_option:
        yield _how_refused(around.credentials)
    if question.as_of_option:
        yield Phrase("passwords and devices are as they are now, {show}", show=around.show(around.now))


def _how_refused(credentials: Credentials) -> str:
    """How the directory refuses a closed or locked account."""
    if credentials.denied:
        return Phrase(
            "the directory refuses it by its dates and by a link to no device, under any password policy"
        )
    return Phrase(
        "the directory refuses it by its dates alone, which count only where a password policy applies"
    )
