"""What a password and a device do to a log in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime

from piactl.core.counting import counted
from piactl.core.credentials import Credentials
from piactl.core.explaining.answer import Cause, Effect
from piactl.core.explaining.case import Case


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a log in depends on besides the rules. `now` is the instant for which passwords are judged and
    `show` says an instant in words. `by_server`: the directory itself asks for codes. `last_run` is the day
    of the last run, None where there was none or it is not known."""

    credentials: Credentials
    now: datetime
    show: Callable[[datetime], str]
    by_server: bool = True
    last_run: date | None = None


def by_password(case: Case, around: Circumstances) -> Iterator[Cause]:
    uid, known, show = case.account.uid, around.credentials, around.show
    activate = f"piactl password activate {uid}"
    if known.changed is None:
        yield Cause("no-password", Effect.REFUSED, "no password was ever set", activate)
        return
    blocked, until = known.blocked_until(around.now)
    if known.is_code:
        ends = known.code_until
        if blocked:
            when = f" at {show(ends)}" if ends else ""
            text = f"the code that support gave out has ended{when}, by time or by wrong tries, unused"
            yield Cause("code-ended", Effect.REFUSED, text, activate)
            return
        valid = f", valid until {show(ends)}" if ends else ""
        text = (
            f"a code was given out at {show(known.changed)} and is not used yet{valid}: log in with it once"
        )
        yield Cause("code-unused", Effect.ASKED, text, activate, ends)
        return
    if blocked:
        yield _block(uid, known, until, show)
    elif known.failures:
        yield _wrong_tries(uid, known, show)
    if known.must_change:
        text = "the password must be changed at the next log in"
        yield Cause("must-change", Effect.ASKED, text)
    if known.expires is not None and known.expires <= around.now:
        text = f"the password expired at {show(known.expires)}"
        yield Cause("expired", Effect.REFUSED, text, f"piactl password reset {uid}")


def _wrong_tries(uid: str, known: Credentials, show: Callable[[datetime], str]) -> Cause:
    tries = counted(len(known.failures), "try", "tries")
    what = "the password or the code" if known.linked else "the password"
    last = f"{what} was wrong at the last {tries}, the latest at {show(known.failures[-1])}"
    text = f"{last}; if the password is forgotten, it can be reset"
    return Cause("wrong-tries", Effect.ASKED, text, f"piactl password reset {uid}")


def _block(uid: str, known: Credentials, until: datetime | None, show: Callable[[datetime], str]) -> Cause:
    since = f" since {show(known.blocked)}" if known.blocked else ""
    end = f", until {show(until)}" if until else ""
    if until is None:
        end = ", until it is lifted"
        if known.policy is None:
            end = "; until when is not known: the settings name no password policy (password.policy)"
    text = f"blocked by wrong passwords{since}{end}"
    return Cause("blocked", Effect.REFUSED, text, f"piactl password unblock {uid}", until)


def by_device(case: Case, around: Circumstances) -> Iterator[Cause]:
    uid, device = case.account.uid, around.credentials.device
    enroll = f"piactl otp enroll {uid}"
    if device is None:
        yield from _without_device(case, enroll)
        return
    if not device.there:
        effect = Effect.REFUSED if around.by_server else Effect.SERVICE
        text = f"the device {device.name} was given up as lost and none has replaced it"
        yield Cause("device-lost", effect, text, enroll)
    elif device.drift or (around.credentials.linked and around.credentials.failures):
        seconds = abs(device.drift) * device.step
        side = "ahead" if device.drift > 0 else "behind"
        was = f"{seconds} s {side} at its last good code, and is allowed to be" if device.drift else "right"
        text = f"the clock of the device {device.name} was {was}; if its codes are refused, it drifted since"
        yield Cause("device-drift", Effect.ASKED, text, f"piactl otp resync {uid}")


def _without_device(case: Case, enroll: str) -> Iterator[Cause]:
    """Services of the account that ask for a code which nothing can make."""
    policy = case.rules.policy.services
    held = sorted({name for name, _ in case.desired.entitlements if name in policy})
    always = [policy[name].label for name in held if policy[name].otp == "always"]
    outside = [policy[name].label for name in held if policy[name].otp == "off-site"]
    parts = [f"always by {', '.join(always)}"] if always else []
    parts += [f"from outside by {', '.join(outside)}"] if outside else []
    if parts:
        text = f"a one-time code is asked for {'; '.join(parts)}, and no device is active"
        yield Cause("device-none", Effect.SERVICE, text, enroll)
