"""Explains why a login fails: lists every cause, the first to remove first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from typing import NamedTuple

from piactl.core.credentials.credential_state import NEVER_VALID, Credentials
from piactl.core.credentials.totp_devices import PERIOD, clock_words
from piactl.core.explain.question import (
    ASKED,
    GRACE,
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
from piactl.core.rules.reasons import BY_HAND, Rule, assignment_text, left_by_position, locking_post
from piactl.core.rules.rights_over_time import right_by
from piactl.core.text import from_to
from piactl.errors import REASON
from piactl.phrase import Phrase, counted, joined


class LoginContext(NamedTuple):
    """What a login depends on besides the rules. `now` is the time at which passwords are checked, `show`
    formats a time. `by_server`: the directory itself requires one-time codes. `last_run` is the day of the
    last run, None if there was none or it is unknown."""

    credentials: Credentials
    now: datetime
    show: Callable[[datetime], str]
    by_server: bool = True
    last_run: date | None = None
    numen_proves: bool = True
    """Whether the NUMEN of the person can prove who they are: it is known, and did not change lately."""

    @property
    def two_operators(self) -> str:
        """What goes behind a command that asks for the NUMEN if it proves nothing."""
        return "" if self.numen_proves else f" --second-person {REASON}"


def password_causes(question: Question, around: LoginContext) -> Iterator[Cause]:
    uid, credentials, show = question.account.uid, around.credentials, around.show
    reset = f"piactl password reset {uid}{around.two_operators}"
    activate = f"piactl password activate {uid}" if around.numen_proves else reset
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
            text = Phrase("the activation password ended unused, by time or by wrong attempts")
            if ends:
                text = Phrase(
                    "the activation password ended unused at {end}, by time or by wrong attempts",
                    end=show(ends),
                )
            yield Cause("activation-ended", REFUSED, text, activate)
            return
        if blocked:
            yield _block(uid, credentials, until, show)
        issued = show(credentials.changed)
        if ends:
            issued = Phrase("{issued}, valid until {end}", issued=issued, end=show(ends))
        text = Phrase(
            "an activation password was issued at {issued}, and is not used yet: log in with it once; "
            "another one would replace it",
            issued=issued,
        )
        yield Cause("activation-unused", ASKED, text, activate, ends)
        return
    if blocked:
        yield _block(uid, credentials, until, show)
    elif credentials.failures:
        yield _wrong_tries(credentials, show, reset)
    if credentials.must_change:
        text = Phrase("the password must be changed at the next log in")
        yield Cause("must-change", ASKED, text)
    if credentials.expires is not None and credentials.expires <= around.now:
        text = Phrase("the password expired at {expired}", expired=show(credentials.expires))
        yield Cause("expired", REFUSED, text, reset)


def _wrong_tries(credentials: Credentials, show: Callable[[datetime], str], reset: str) -> Cause:
    text = Phrase(
        "{wrong} was wrong at the last {tries}, the latest at {latest}; "
        "if the password is forgotten, it can be reset",
        wrong=Phrase("the password or the code") if credentials.linked else Phrase("the password"),
        tries=counted(len(credentials.failures), "try", "tries"),
        latest=show(credentials.failures[-1]),
    )
    return Cause("wrong-tries", ASKED, text, reset)


def _block(
    uid: str, credentials: Credentials, until: datetime | None, show: Callable[[datetime], str]
) -> Cause:
    if until is not None and until == credentials.delayed:
        text = Phrase("delayed by wrong passwords until {until}; this ends by itself", until=show(until))
        return Cause("delayed", REFUSED, text, until=until)
    text = Phrase("blocked by wrong passwords")
    if credentials.blocked:
        text = Phrase("blocked by wrong passwords since {since}", since=show(credentials.blocked))
    if until is not None:
        text = Phrase("{blocked}, until {until}", blocked=text, until=show(until))
    elif credentials.policy is not None:
        text = Phrase("{blocked}, until it is lifted", blocked=text)
    else:
        text = Phrase(
            "{blocked}; its end is not known: the settings name no password policy (password.policy)",
            blocked=text,
        )
    return Cause("blocked", REFUSED, text, f"piactl password unblock {uid}", until)


def device_causes(question: Question, around: LoginContext) -> Iterator[Cause]:
    uid, device = question.account.uid, around.credentials.device
    enroll = f"piactl otp enroll {uid}"
    if device is None:
        yield from _without_device(question, enroll)
        return
    if not device.there:
        effect = REFUSED if around.by_server else SERVICE
        text = Phrase("the device {device} was reported lost and has not been replaced", device=device.name)
        if device.name == NO_DEVICE:
            text = Phrase(
                "its device was reported lost, or suspended by a lock as compromised, and has not been "
                'replaced; with the telephone in hand: piactl otp resume {uid} --reason "..."',
                uid=uid,
            )
            if not around.numen_proves:
                text = Phrase(
                    "its device was reported lost, or suspended by a lock as compromised, and has not been "
                    "replaced"
                )
        yield Cause("device-lost", effect, text, enroll)
    elif device.drift or (around.credentials.linked and around.credentials.failures):
        clock = Phrase("the clock of the device {device} was right", device=device.name)
        if device.drift:
            clock = Phrase(
                "the clock of the device {device} was {error} at its last good code, and is allowed to be",
                device=device.name,
                error=clock_words(device.drift * device.step // PERIOD),
            )
        text = Phrase("{clock}; if its codes are refused, it was changed or has drifted since", clock=clock)
        yield Cause(
            "device-drift" if device.drift else "device-clock", ASKED, text, f"piactl otp resync {uid}"
        )


def _without_device(question: Question, enroll: str) -> Iterator[Cause]:
    """The cause of services that require a one-time code from an account without device."""
    policy = question.rules.policy.services
    services = sorted({name for name, _ in question.desired.entitlements if name in policy})
    always = [policy[name].label for name in services if policy[name].otp == "always"]
    outside = [policy[name].label for name in services if policy[name].otp == "off-site"]
    parts = [Phrase("always by {services}", services=", ".join(always))] if always else []
    parts += [Phrase("from outside by {services}", services=", ".join(outside))] if outside else []
    if parts:
        text = Phrase("a one-time code is required {when}, but no device is active", when=joined(parts))
        yield Cause("device-none", SERVICE, text, enroll)


_WEIGHT = {LET_IN: 0, REFUSED: 0, ASKED: 1, SERVICE: 2}
"""The order of causes: those that refuse the login come first."""


def _weight(cause: Cause) -> tuple[int, bool]:
    # a wrong code counts as a wrong password: the clock of the telephone is the likelier cause
    return _WEIGHT[cause.effect], cause.kind == "wrong-tries"


def login_answer(question: Question, around: LoginContext) -> Answer:
    """The answer about login: no if any cause refuses it."""
    causes = tuple(sorted(_causes(question, around), key=_weight))
    yes = not any(cause.effect is REFUSED for cause in causes)
    by_rules = holding(login_days(question), question.number) is not None
    # if a password or the entry refuses what the rules allow, the rules do not give the days
    since, until = span(login_days(question), question.number) if yes is by_rules else (None, None)
    if since is not None and question.is_kept and not question.held:
        since = question.state_span()[0]  # it could log in until it was closed
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


def _causes(question: Question, around: LoginContext) -> Iterator[Cause]:
    yield from _by_the_entry(question, around)
    locks = list(_locks(question))
    yield from locks
    yield from _by_state(question)
    if question.state is State.ARCHIVED:
        return
    for cause in (*password_causes(question, around), *device_causes(question, around)):
        after = Phrase("once the lock is lifted: {cause}", cause=cause.text)
        yield cause._replace(text=after) if locks else cause
    yield from _services(question)


def _by_the_entry(question: Question, around: LoginContext) -> Iterator[Cause]:
    """The cause of a directory entry that differs from the rules."""
    account, credentials = question.account, around.credentials
    allows = entry_allows_login(question, credentials)
    if allows is (holding(login_days(question), question.number) is not None):
        return
    window = _window(account.login_from, account.login_until)
    if _is_denied(question, credentials):
        window = Phrase("it is linked to no device, as a closed or locked account is")
    since = Phrase("no run has been recorded")
    if around.last_run:
        since = Phrase("the last run was as of {day}", day=around.last_run)
    revert = look = "piactl nightly"
    drift = next(filter(None, map(question.drift.get, ("login_from", "login_until", "device"))), None)
    if drift is not None:
        since = Phrase("another program changed it, {drift}", drift=drift_words(drift))
        # a refusal may be an emergency stop
        revert, look = f'piactl drift revert {account.uid} --reason "..."', f"piactl drift show {account.uid}"
    if allows:
        text = Phrase(
            "the entry allows the login ({window}), but the rules do not; {since}", window=window, since=since
        )
        yield Cause("entry", LET_IN, text, revert)
    else:
        text = Phrase(
            "the rules allow the login, but the entry refuses it ({window}); {since}",
            window=window,
            since=since,
        )
        yield Cause("entry", REFUSED, text, look)


def _window(first: date | None, last: date | None) -> Phrase:
    if first is not None:
        return from_to(first, last)
    return Phrase("until {last}", last=last) if last is not None else Phrase("without an end")


def _locks(question: Question) -> Iterator[Cause]:
    lock = question.account.lock
    if lock is not None and lock.covers(question.as_of):
        locked = Phrase("locked by {by}", by=lock.by)
        if lock.known_since:
            locked = Phrase("locked by {by} since {since}", by=lock.by, since=lock.since)
        text = Phrase("{locked}, until it is lifted: {reason}", locked=locked, reason=lock.why)
        if lock.until:
            until = lock.until
            text = Phrase("{locked} until {until}: {reason}", locked=locked, until=until, reason=lock.why)
        command = f'piactl account unlock {question.account.uid} --reason "..."'
        yield Cause("lock", REFUSED, text, command, lock.until)
    if question.account.state is State.ARCHIVED or not question.career.locked_on(question.as_of):
        return
    _, last = span(question.days(lambda career: career.locked), question.number)
    post = locking_post(question.career, question.as_of)
    why = Phrase("a position that ended all assignments")
    if post:
        row = _text(post.assignment)
        why = Phrase("position {position}: {post}", position=post.position.name, post=row)
    absent = question.lock_left() if post is None else None
    command = ""
    if absent is not None and absent.end is not None:
        why = Phrase(
            "position {position}: {post}; the row is absent since {since}; it ends when HR lists the person "
            "without it, or by an administrator",
            position=absent.position,
            post=_text(absent),
            since=absent.end + timedelta(days=1),
        )
        command = f'piactl account unlock {question.account.uid} --reason "..."'
    text = Phrase("locked by HR, no end known: {why}", why=why)
    if last:
        text = Phrase("locked by HR until {last}: {why}", last=last, why=why)
    yield Cause("position-lock", REFUSED, text, command, last)


def _text(row: Assignment) -> str:
    return _with_origin(assignment_text(row), row)


def _with_origin(text: str, row: Assignment | None) -> str:
    return Phrase("{text} [{origin}]", text=text, origin=row.origin) if row and row.origin else text


def _by_state(question: Question) -> Iterator[Cause]:
    text, _, row = question.state_ground
    text = _with_origin(text, row)
    since, until = question.state_span()
    state: Phrase = question.state.words
    if since:
        state = Phrase("{state} since {since}", state=state, since=since)
    closed = joined([state, text], "{first}: {second}")
    reopen = f'piactl account extend {question.account.uid} --until DATE --reason "..."'
    if question.cases:
        reopen = f"piactl match show {question.cases[0].id}"
    elif BY_HAND in question.because.values:
        reopen = f'piactl account reopen {question.account.uid} --reason "..."'
    elif left_by_position(question.career, question.as_of) or question.next_post:
        reopen = ""
    if question.state is State.ARCHIVED:
        yield Cause("archived", REFUSED, closed)
    elif question.state is State.ANTICIPATED:
        yield Cause("not-started", REFUSED, Phrase("not yet started: {text}", text=text), "", until)
    elif question.state is State.DEACTIVATED:
        by_hand = BY_HAND in question.because.values
        yield Cause("closed-by-hand" if by_hand else "closed", REFUSED, closed, reopen, until)
    elif question.state is State.GRACE:
        refused = not question.career.login_on(question.as_of)
        grace = Phrase("in grace: {text}", text=text)
        if refused:
            grace = Phrase("{grace}; login was refused on the last day and still is", grace=grace)
        yield Cause(GRACE, REFUSED if refused else SERVICE, grace, reopen, until)
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
            if name not in post.services or right in question.desired.entitlements:
                continue
            reason = question.right_reason(name, uai)
            if reason.code != "delay" or reason.assignment is not post.assignment:
                continue
            label, last = service.label, reason.values["eve"]
            text = Phrase(
                "{service} begins on {begins} ({setting}): {post}",
                service=Phrase("{service} at {uai}", service=label, uai=uai) if uai else label,
                begins=reason.values["begins"],
                setting=reason.values["setting"],
                post=_text(post.assignment),
            )
            grant = f"piactl exception grant {question.account.uid} --service {name}"
            command = grant + (f" --uai {uai}" if uai else "") + f' --until {last} --reason "..."'
            yield Cause("delay", SERVICE, text, command, date.fromisoformat(last))


def _notes(question: Question, around: LoginContext) -> Iterator[str]:
    yield from question.hold_notes()
    yield from question.drift_notes()
    device = around.credentials.device
    if around.credentials.linked and device is not None and device.there:
        yield Phrase(
            "the directory requires password and code of {device}, never the password alone",
            device=device.name,
        )
    if question.account.shut and not question.as_of_option:
        yield _how_refused(around.credentials)
    if question.as_of_option:
        yield Phrase("passwords and devices are as they are now, {now}", now=around.show(around.now))


def _how_refused(credentials: Credentials) -> str:
    """How the directory refuses a closed or locked account."""
    if credentials.denied:
        return Phrase(
            "the directory refuses it by its dates and by a link to no device, under any password policy"
        )
    return Phrase(
        "the directory refuses it by its dates alone, which count only where a password policy applies"
    )
