"""How a device comes into force, and how the wrong clock of a device is allowed for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from piactl.core.credentials.totp import (
    PERIOD,
    CodeUsed,
    DeviceState,
    Match,
    drift_words,
    match_pair,
    to_verify,
)
from piactl.core.edits import ActRefused, Author
from piactl.core.plan.guards import DEVICE
from piactl.directory.store.devices import DeviceEntry
from piactl.flows.accounts.batch import Batch
from piactl.flows.helpdesk.identity_check_limit import Answer, IdentityChecks, begin_attempt
from piactl.flows.helpdesk.operator_limits import OperationGuard
from piactl.flows.helpdesk.otp.check_code import WrongCode, checked_match, opened, read_code, used_up
from piactl.flows.helpdesk.otp.holder import (
    Holder,
    as_proved,
    deletions,
    find_holder,
    link,
    login_words,
    prepared,
)
from piactl.flows.queries.accounts import AccountStore
from piactl.otp_secret import OtpSecret

Prove = Callable[[Holder], None]
"""Has the person of an account prove who they are before their device is replaced or removed. Raises
PiactlError where they do not."""
Ask = Callable[[str], str]
"""Asks a person for a code; given what to ask, returns what they typed."""


def prepare_verification(
    store: AccountStore,
    checks: IdentityChecks,
    name: str,
    ask: Ask,
    prove: Prove,
    guard: OperationGuard,
    author: Author,
    now: Callable[[], datetime],
    identity: str,
) -> Batch:
    """Checks a code of the device that waits, and prepares to put it in force: the code is used up, the
    account linked to it, and older devices deleted, in that order. `prove` is asked before another device,
    in force or suspended, is replaced.

    The check counts as an attempt; a good code of a new device ends no count, because it proves nothing.
    Raises WrongCode, TooManyAttempts, and what `prove` raises; that the account is not found, or no device
    waits, is raised before anything is asked for.
    """
    holder = find_holder(store, name, identity)
    device = holder.entry_of(to_verify(holder.plain, holder.account.device))
    if device is None:
        raise ActRefused(_nothing_waits(holder))
    uid, named = holder.account.uid, device.device.name
    secret = opened(store.keys, uid, device)
    replaces = bool(holder.account.device)
    if replaces:
        prove(holder)
        holder = as_proved(store, holder)
        device = holder.named(named) or device
    code = read_code(ask(f"Code of {named} for {uid}"))
    instant = now()
    attempt = begin_attempt(checks, uid, instant, Answer.CODE)
    match = checked_match(uid, device, secret, code, instant)
    attempt.take_back()
    writes = [
        used_up(store.keys, uid, device, match, state=DeviceState.VERIFIED, verified=instant, suspended=None),
        link(holder, named),
        *deletions(holder.others(device)),
    ]
    words = login_words(holder, named)
    note = f"device {named} is in force: {words}. This code is used up; the next one logs in"
    verified = prepared(holder, "otp-verify", author.reason, writes, note)
    if not replaces:
        return Batch((verified,))
    verified = replace(verified, notice=guard.notice(holder.account, DEVICE))
    return guard.guarded(store.reader, DEVICE, (verified,))


def _nothing_waits(holder: Holder) -> str:
    uid = holder.account.uid
    if holder.in_force is not None:
        return f"{uid}: {holder.account.device} is in force already, and no new device waits to be verified"
    return f"{uid}: no device waits to be verified.\nEnrol one: piactl otp enroll {uid}"


def prepare_resync(
    store: AccountStore,
    checks: IdentityChecks,
    reach_minutes: int,
    name: str,
    ask: Ask,
    author: Author,
    now: Callable[[], datetime],
    identity: str,
) -> Batch:
    """Finds how wrong the clock of a device goes from two of its codes that follow each other, at most
    `reach_minutes`, and prepares to write it down. Both codes are used up by it.

    It is the device in force; where the codes are not its, or none is, the one that waits to be verified.
    """
    holder = find_holder(store, name, identity)
    tried = [holder.in_force, holder.entry_of(to_verify(holder.plain, holder.account.device))]
    devices = [one for one in tried if one is not None]
    uid = holder.account.uid
    if not devices:
        raise ActRefused(f"{uid}: it has no device in force and none that waits; see: piactl otp show {uid}")
    opened_ = [(one, opened(store.keys, uid, one)) for one in devices]
    first = read_code(ask(f"First code for {uid}"))
    second = read_code(ask("The code that came after it"))
    if first == second:
        raise WrongCode(f"{uid}: this is the same code twice; wait until the telephone shows another one")
    instant = now()
    attempt = begin_attempt(checks, uid, instant, Answer.CODE)
    device, match = _matching(reach_minutes, uid, opened_, (first, second), instant)
    if device is holder.in_force:
        attempt.right()
    else:
        attempt.take_back()
    writes = [used_up(store.keys, uid, device, match)]
    said = drift_words(match.drift)
    clock = "right" if not match.drift else f"{said} of the time"
    note = f"the clock of {device.device.name} is {clock}; its codes count so from now on, the next one first"
    return Batch((prepared(holder, "otp-resync", author.reason, writes, note),))


def _matching(
    reach_minutes: int,
    uid: str,
    devices: Sequence[tuple[DeviceEntry, OtpSecret]],
    pair: tuple[str, str],
    now: datetime,
) -> tuple[DeviceEntry, Match]:
    reach = reach_minutes * 60 // PERIOD
    for device, secret in devices:
        try:
            match = match_pair(device.device, secret.code, pair, now, reach)
        except CodeUsed:
            raise WrongCode(_went_back(uid, device, now)) from None
        if match is not None:
            return device, match
    raise WrongCode(
        f"{uid}: these are not two codes of its device that follow each other, or its clock is more than "
        f"{reach_minutes} minutes wrong.\nGive a code, wait for the next, give that; or set the telephone's "
        f"time to automatic; or enrol anew: piactl otp enroll {uid}"
    )


def _went_back(uid: str, device: DeviceEntry, now: datetime) -> str:
    """Codes up to the last step are used up for ever; a clock that was put back has to reach it again."""
    ahead = (device.device.last_step + 1) * PERIOD - int(now.timestamp())
    if ahead <= 3 * PERIOD:
        return f"{uid}: these codes, or later ones, were used before; give the next two"
    until = now + timedelta(seconds=ahead)
    return (
        f"{uid}: codes up to {until:%H:%M} UTC on this device's clock were used while it was ahead; none of "
        f"them is good again.\nWait until then, or enrol anew: piactl otp enroll {uid}"
    )
