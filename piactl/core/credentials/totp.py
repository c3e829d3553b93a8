"""One-time-code devices as values, and which of their codes is good: RFC 6238, counted as slapo-otp counts.

A device's time is counted in steps of 30 seconds. Its drift is how many steps its clock is ahead of the
true time (behind: negative); slapo-otp writes it anew with every good code, so a clock that goes wrong
slowly is followed. The last step is that of the last good code, on the device's own clock: no code of that
step or an earlier one is ever good again.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from piactl.core.model.account import NO_DEVICE, Right
from piactl.core.model.policy import Policy, Service

PERIOD = 30
"""Seconds of one step."""
DIGITS = 6
WINDOW = 1
"""Steps before and after the expected one that are tried. Three codes fit at any moment: slapd miscounts many
guesses at once, so few of them may be right."""

Codes = Callable[[int], str]
"""The code of a step."""


class DeviceState(StrEnum):
    """What has become of a device. Only a verified one can be in force: the one its account names."""

    PENDING = "pending"
    VERIFIED = "verified"
    SUSPENDED = "suspended"


@dataclass(frozen=True, slots=True)
class Device:
    """One device of an account, without its secret. `sealed_with` is the id of the key that the copy of the
    secret is sealed with. `last_step` 0: no code was ever used."""

    name: str
    state: DeviceState
    made: datetime
    by: str
    verified: datetime | None = None
    suspended: datetime | None = None
    last_step: int = 0
    drift: int = 0
    sealed_with: str = ""

    @property
    def last_use(self) -> datetime | None:
        """When the last good code was given, to half a minute; None before the first."""
        if not self.last_step:
            return None
        return datetime.fromtimestamp((self.last_step - self.drift) * PERIOD, UTC)


@dataclass(frozen=True, slots=True)
class Match:
    """Where a good code stands: its step on the device's clock, and how far that is from the true time."""

    step: int
    drift: int


class CodeUsed(Exception):
    """The code is right, but it, or a later one, was used before."""


def step_at(now: datetime) -> int:
    return int(now.timestamp()) // PERIOD


def match_code(device: Device, codes: Codes, code: str, now: datetime) -> Match | None:
    """Whether a code is good now, as slapo-otp decides it. Raises CodeUsed for one that was."""
    current = step_at(now)
    expected = current + device.drift
    found = [
        step
        for step in range(expected - WINDOW, expected + WINDOW + 1)
        if hmac.compare_digest(codes(step), code)
    ]
    fresh = [step for step in found if step > device.last_step]
    if fresh:
        step = min(fresh, key=lambda one: (abs(one - expected), one))
        return Match(step, step - current)
    if found:
        raise CodeUsed
    return None


def match_pair(
    device: Device, codes: Codes, pair: tuple[str, str], now: datetime, reach: int
) -> Match | None:
    """Where two successive codes stand on the device's clock, at most `reach` steps from the true time; the
    match is that of the second. Two of them, so that nobody finds the place by chance.

    Raises CodeUsed where the place is there and not after the last code used.
    """
    current = step_at(now)
    found = [
        step
        for step in range(current - reach, current + reach + 1)
        if hmac.compare_digest(codes(step - 1), pair[0]) and hmac.compare_digest(codes(step), pair[1])
    ]
    fresh = [step for step in found if step - 1 > device.last_step]
    if fresh:
        step = min(fresh, key=lambda one: abs(one - current))
        return Match(step, step - current)
    if found:
        raise CodeUsed
    return None


def in_force(devices: Collection[Device], name: str) -> Device | None:
    """The device that an account asks for; None where it has none, or a suspended one."""
    return next((device for device in devices if device.name == name), None)


def to_verify(devices: Sequence[Device], name: str) -> Device | None:
    """The device that the next verification is of: the newest that is neither in force, nor suspended, nor
    replaced. One that was verified last and is not in force was left so by a command that died; it is
    verified once more."""
    active, gone = in_force(devices, name), suspended(devices, name)

    def replaced(device: Device) -> bool:
        if device.verified is None or active is None or active.verified is None:
            return False
        return device.verified <= active.verified

    waiting = [
        device
        for device in devices
        if device.name != name
        and device is not gone
        and device.state is not DeviceState.SUSPENDED
        and not replaced(device)
    ]
    return max(waiting, key=lambda device: (device.made, device.name), default=None)


def suspended(devices: Sequence[Device], name: str) -> Device | None:
    """The device that an account with suspended device had: the one that says so of itself, else, where the
    command died before that was written, the one that was verified."""
    if name != NO_DEVICE:
        return None
    for state in (DeviceState.SUSPENDED, DeviceState.VERIFIED):
        held = [d for d in devices if d.state is state]
        if held:
            return max(held, key=lambda d: (d.suspended or d.verified or d.made, d.name))
    return None


def services_with_code(entitlements: Collection[Right], policy: Policy) -> list[Service]:
    """The services among these rights that ask for a code, off-site or always."""
    names = sorted({service for service, _ in entitlements})
    services = (policy.services.get(name) for name in names)
    return [service for service in services if service is not None and service.otp != "never"]


def drift_words(drift: int) -> str:
    """How wrong the clock of a device goes, for people."""
    if not drift:
        return "none"
    seconds = abs(drift) * PERIOD
    hours, minutes = divmod(seconds // 60, 60)
    parts = [f"{hours} h" if hours else "", f"{minutes} min" if minutes else "", f"{seconds % 60} s"]
    amount = " ".join(part for part in parts if part and part != "0 s")
    return f"{amount} {'ahead' if drift > 0 else 'behind'}"
