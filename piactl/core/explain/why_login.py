"""Explains why a login fails: lists every cause, the first to remove first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta

from piactl.core.credentials.credentials import Credentials
from piactl.core.explain.question import Answer, Case, Cause, Effect, Rule, absence, next_day, span
from piactl.core.explain.remedies import wait_remedy
from piactl.core.explain.why_state import drift_note, state_ground, state_span
from piactl.core.model.account import NO_DEVICE, State
from piactl.core.model.periods import OPEN, Period, civil, difference, holding
from piactl.core.plan.drift import drift_words
from piactl.core.rules.career import Career
from piactl.core.rules.lifecycle import BEGINNING
from piactl.core.rules.posts import Post
from piactl.core.rules.reasons import assignment_text
from piactl.core.text import counted
from piactl.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class LoginContext:
    """What a login depends on besides the rules. `now` is the time at which passwords are checked, `show`
    formats a time. `by_server`: the directory itself requires one-time codes. `last_run` is the day of the
    last run, None if there was none or it is unknown."""

    credentials: Credentials
    now: datetime
    show: Callable[[datetime], str]
    by_server: bool = True
    last_run: date | None = None


def password_causes(case: Case, around: LoginContext) -> Iterator[Cause]:
    uid, credentials, show = case.account.uid, around.credentials, around.show
    activate = f"piactl password activate {uid}"
    if credentials.changed is None:
        yield Cause("no-password", Effect.REFUSED, "no password was ever set", activate)
        return
    blocked, until = credentials.blocked_until(around.now)
    if credentials.is_activation:
        ends = credentials.activation_until
        if blocked:
            when = f" at {show(ends)}" if ends else ""
            text = f"the activation password ended unused{when}, by time or by wrong attempts"
            yield Cause("activation-ended", Effect.REFUSED, text, activate)
            return
        valid = f", valid until {show(ends)}" if ends else ""
        text = (
            f"an activation password was issued at {show(credentials.changed)}{valid}, and is not used yet:"
            " log in with it once"
        )
        yield Cause("activation-unused", Effect.ASKED, text, activate, ends)
        return
    if blocked:
        yield _block(uid, credentials, until, show)
    elif credentials.failures:
        yield _wrong_tries(uid, credentials, show)
    if credentials.must_change:
        text = "the password must be changed at the next log in"
        yield Cause("must-change", Effect.ASKED, text)
    if credentials.expires is not None and credentials.expires <= around.now:
        text = f"the password expired at {show(credentials.expires)}"
        yield Cause("expired", Effect.REFUSED, text, f"piactl password reset {uid}")


def _wrong_tries(uid: str, credentials: Credentials, show: Callable[[datetime], str]) -> Cause:
    tries = counted(len(credentials.failures), "try", "tries")
    wrong = "the password or the code" if credentials.linked else "the password"
    last = f"{wrong} was wrong at the last {tries}, the latest at {show(credentials.failures[-1])}"
    text = f"{last}; if the password is forgotten, it can be reset"
    return Cause("wrong-tries", Effect.ASKED, text, f"piactl password reset {uid}")


def _block(
    uid: str, credentials: Credentials, until: datetime | None, show: Callable[[datetime], str]
) -> Cause:
    since = f" since {show(credentials.blocked)}" if credentials.blocked else ""
    end = f", until {show(until)}" if until else ""
    if until is None:
        end = ", until it is lifted"
        if credentials.policy is None:
            end = "; its end is not known: the settings name no password policy (password.policy)"
    text = f"blocked by wrong passwords{since}{end}"
    return Cause("blocked", Effect.REFUSED, text, f"piactl password unblock {uid}", until)


def device_causes(case: Case, around: LoginContext) -> Iterator[Cause]:
    uid, device = case.account.uid, around.credentials.device
    enroll = f"piactl otp enroll {uid}"
    if device is None:
        yield from _without_device(case, enroll)
        return
    if not device.there:
        effect = Effect.REFUSED if around.by_server else Effect.SERVICE
        text = f"the device {device.name} was reported lost and has not been replaced"
        yield Cause("device-lost", effect, text, enroll)
    elif device.drift or (around.credentials.linked and around.credentials.failures):
        seconds = abs(device.drift) * device.step
        side = "ahead" if device.drift > 0 else "behind"
        was = f"{seconds} s {side} at its last good code, and is allowed to be" if device.drift else "right"
        text = (
            f"the clock of the device {device.name} was {was}; if its codes are refused, it has drifted since"
        )
        yield Cause("device-drift", Effect.ASKED, text, f"piactl otp resync {uid}")


def _without_device(case: Case, enroll: str) -> Iterator[Cause]:
    """The cause of services that require a one-time code from an account without device."""
    policy = case.rules.policy.services
    services = sorted({name for name, _ in case.desired.entitlements if name in policy})
    always = [policy[name].label for name in services if policy[name].otp == "always"]
    outside = [policy[name].label for name in services if policy[name].otp == "off-site"]
    parts = [f"always by {', '.join(always)}"] if always else []
    parts += [f"from outside by {', '.join(outside)}"] if outside else []
    if parts:
        text = f"a one-time code is required {'; '.join(parts)}, but no device is active"
        yield Cause("device-none", Effect.SERVICE, text, enroll)


_WEIGHT = {Effect.LET_IN: 0, Effect.REFUSED: 0, Effect.ASKED: 1, Effect.SERVICE: 2}
"""The order of causes: those that refuse the login come first."""


def login_answer(case: Case, around: LoginContext) -> Answer:
    """The answer about login: no if any cause refuses it."""
    causes = tuple(sorted(_causes(case, around), key=lambda cause: _WEIGHT[cause.effect]))
    yes = not any(cause.effect is Effect.REFUSED for cause in causes)
    by_rules = holding(login_days(case), case.number) is not None
    # if a password or the entry refuses what the rules allow, the rules do not give the days
    since, until = login_span(case) if yes is by_rules else (None, None)
    first = next((c for c in causes if c.effect is Effect.REFUSED), None)
    text, rules, assignment = state_ground(case)
    return Answer(
        subject="login",
        yes=yes,
        verdict="yes" if yes else "no",
        since=since,
        until=until,
        reason=first.text if first else text,
        rules=_position_rules(case) or rules,
        assignment=assignment,
        notes=tuple(_notes(case, around)),
        causes=causes,
        remedies=() if yes else tuple(wait_remedy(next_day(until), case)),
    )


def login_days(case: Case) -> list[Period]:
    """The days on which the rules allow login, without those of an administrator's lock."""
    account = case.account
    if account.state is State.ARCHIVED:
        return []
    if case.held:
        first, last = account.login_from, account.login_until
        return [(first.toordinal() if first else BEGINNING, last.toordinal() if last else OPEN)]
    lock = account.lock

    def allowed(career: Career) -> list[Period]:
        if lock is None:
            return list(career.login)
        until = OPEN if lock.until is None else lock.until.toordinal()
        return difference(career.login, [(lock.since.toordinal(), until)])

    return case.days(allowed)


def login_span(case: Case) -> tuple[date | None, date | None]:
    """First and last day of the answer by the rules."""
    periods = login_days(case)
    return (span if holding(periods, case.number) else absence)(periods, case.number)


def entry_allows_login(case: Case, credentials: Credentials) -> bool:
    """Whether the directory allows login on the day: the login window of the entry includes it, and no link
    to a device refuses."""
    account = case.account
    inside = (account.login_from or case.as_of) <= case.as_of <= (account.login_until or case.as_of)
    return inside and not _is_denied(case, credentials)


def _is_denied(case: Case, credentials: Credentials) -> bool:
    """Whether the entry refuses login by a link to no device, as on a closed or locked account. Only nights
    change the link, so it counts for today only. A lost device is a separate cause."""
    return credentials.denied and case.account.device != NO_DEVICE and not case.as_of_option


def entry_differs(case: Case, credentials: Credentials) -> bool:
    """Whether directory and rules differ about login on the day."""
    return entry_allows_login(case, credentials) is not (holding(login_days(case), case.number) is not None)


def _causes(case: Case, around: LoginContext) -> Iterator[Cause]:
    yield from _by_the_entry(case, around)
    yield from _locks(case)
    yield from _by_state(case)
    if case.state is State.ARCHIVED:
        return
    yield from password_causes(case, around)
    yield from device_causes(case, around)
    yield from _services(case)


def _by_the_entry(case: Case, around: LoginContext) -> Iterator[Cause]:
    """The cause of a directory entry that differs from the rules."""
    credentials = around.credentials
    if not entry_differs(case, credentials):
        return
    account = case.account
    window = _window(account.login_from, account.login_until)
    if _is_denied(case, credentials):
        window = "it is linked to no device, as a closed or locked account is"
    since = f"the last run was as of {around.last_run}" if around.last_run else "no run has been recorded"
    revert = look = "piactl nightly"
    drift = next(filter(None, map(case.drift.get, ("login_from", "login_until", "device"))), None)
    if drift is not None:
        since = f"another program changed it, {drift_words(drift)}"
        # a refusal may be an emergency stop
        revert, look = f'piactl drift revert {account.uid} --reason "..."', f"piactl drift show {account.uid}"
    if entry_allows_login(case, credentials):
        text = f"the entry allows the login ({window}), but the rules do not; {since}"
        yield Cause("entry", Effect.LET_IN, text, revert)
    else:
        text = f"the rules allow the login, but the entry refuses it ({window}); {since}"
        yield Cause("entry", Effect.REFUSED, text, look)


def _window(first: date | None, last: date | None) -> str:
    if first is not None and last is not None:
        return f"from {first} to {last}"
    if last is not None:
        return f"until {last}"
    return f"from {first}" if first is not None else "without an end"


def _locks(case: Case) -> Iterator[Cause]:
    lock = case.account.lock
    if lock is not None and lock.covers(case.as_of):
        until = f" until {lock.until}" if lock.until else ", until it is lifted"
        text = f"locked by {lock.by} since {lock.since}{until}: {lock.reason}"
        command = f'piactl account unlock {case.account.uid} --reason "..."'
        yield Cause("lock", Effect.REFUSED, text, command, lock.until)
    if case.account.state is State.ARCHIVED or not case.career.locked_on(case.as_of):
        return
    _, last = span(case.days(lambda career: career.locked), case.number)
    post = next((p for p in case.career.posts_on(case.as_of) if p.position.lock), None)
    until = f" until {last}" if last else ", no end known"
    why = f"position {post.position.name}: {_row(post)}" if post else "a position that ended all assignments"
    yield Cause("position-lock", Effect.REFUSED, f"locked by HR{until}: {why}", "", last)


def _row(post: Post) -> str:
    row = post.assignment
    return assignment_text(row) + (f" [{row.origin}]" if row.origin else "")


def _by_state(case: Case) -> Iterator[Cause]:
    text, _, row = state_ground(case)
    if row is not None and row.origin:
        text += f" [{row.origin}]"
    since, until = state_span(case)
    from_when = f" since {since}" if since else ""
    reopen = f'piactl account reopen {case.account.uid} --until DATE --reason "..."'
    if case.state is State.ARCHIVED:
        yield Cause("archived", Effect.REFUSED, f"archived{from_when}: {text}")
    elif case.state is State.ANTICIPATED:
        yield Cause("not-started", Effect.REFUSED, f"not yet started: {text}", "", until)
    elif case.state is State.DEACTIVATED:
        yield Cause("closed", Effect.REFUSED, f"deactivated{from_when}: {text}", reopen, until)
    elif case.state is State.GRACE:
        refused = not case.career.login_on(case.as_of)
        effect = Effect.REFUSED if refused else Effect.SERVICE
        note = "; login was refused on the last day and still is" if refused else ""
        yield Cause("grace", effect, f"in grace: {text}{note}", reopen, until)
    elif case.state is State.ON_LEAVE and not _may_log_in(case):
        yield Cause("leave", Effect.REFUSED, f"on leave without login: {text}", "", until)


def _may_log_in(case: Case) -> bool:
    """Whether the positions of the day allow login; a lock is a separate cause."""
    return case.career.login_on(case.as_of) or case.career.locked_on(case.as_of)


def _position_rules(case: Case) -> tuple[Rule, ...]:
    """The positions that decide about login on leave."""
    if case.state is not State.ON_LEAVE:
        return ()
    posts = case.career.posts_on(case.as_of)
    return tuple(dict.fromkeys(Rule.of_position(post.position) for post in posts))


def _services(case: Case) -> Iterator[Cause]:
    """Services in their delay after a start or a mutation."""
    for post in case.career.posts_on(case.as_of):
        for service in case.rules.policy.services.values():
            begins = civil(post.first + post.delay(service))
            uai = post.assignment.uai if service.per_establishment else ""
            if not _is_waited_for(case, post, service.name, uai) or begins is None:
                continue
            where = f" at {uai}" if uai else ""
            why = "mutation_delay" if post.follows else "grant_delay"
            text = f"{service.label}{where} begins on {begins} ({why}): {_row(post)}"
            grant = f"piactl exception grant {case.account.uid} --service {service.name}"
            last = begins - timedelta(days=1)
            command = grant + (f" --uai {uai}" if uai else "") + f' --until {last} --reason "..."'
            yield Cause("delay", Effect.SERVICE, text, command, last)


def _is_waited_for(case: Case, post: Post, name: str, uai: str) -> bool:
    service = case.rules.policy.services[name]
    return (
        post.has(service)
        and post.position.keeps_service(name)
        and case.number < post.first + post.delay(service)
        and (name, uai) not in case.desired.entitlements
    )


def _notes(case: Case, around: LoginContext) -> Iterator[str]:
    if case.drift:
        yield drift_note(case)
    device = around.credentials.device
    if around.credentials.linked and device is not None and device.there:
        yield f"the directory requires password and code of {device.name}, never the password alone"
    if case.account.shut and not case.as_of_option:
        yield _how_refused(around.credentials)
    if case.as_of_option:
        yield f"passwords and devices are as they are now, {around.show(around.now)}"


def _how_refused(credentials: Credentials) -> str:
    """How the directory refuses a closed or locked account."""
    if credentials.denied:
        return "the directory refuses it by its dates and by a link to no device, under any password policy"
    return "the directory refuses it by its dates alone, which count only where a password policy applies"
