"""One-time-code devices, and the check of their codes: RFC 6238, with the steps and drift of slapo-otp.

Time is counted in steps of 30 seconds. The drift is the number of steps by which the clock of a device is
ahead (negative: behind). slapo-otp updates it with every correct code, and so follows a clock that drifts
slowly. The last step is the step of the last correct code on the clock of the device; codes of this step and
of earlier ones are refused from then on.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from piactl.core.model.account import NO_DEVICE, Right
from piactl.core.model.policy import Policy, Service
from piactl.phrase import Phrase

PERIOD = 30
"""Seconds per step."""
DIGITS = 6
WINDOW = 1
"""How many steps before and after the expected one are tried. Three codes fit at any moment: slapd miscounts
many guesses at once, so few of them may be right."""

Codes = Callable[[int], str]
"""Returns the code of a step."""


class DeviceState(StrEnum):
    """The state of a device. A verified device is in force if its account names it."""

    PENDING = "pending"
    VERIFIED = "verified"
    SUSPENDED = "suspended"


@dataclass(frozen=True, slots=True)
class Device:
    """One device of an account, without its secret. `sealed_with` is the id of the key that seals the copy of
    its secret. `last_step` 0: no code has been used."""

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
        """When the last correct code was entered, to half a minute; None before the first."""
        if not self.last_step:
            return None
        return datetime.fromtimestamp((self.last_step - self.drift) * PERIOD, UTC)


@dataclass(frozen=True, slots=True)
class CodeMatch:
    """The step of a correct code on the clock of the device, and the drift of that clock."""

    step: int
    drift: int


class CodeUsed(Exception):
    """The code is correct, but it or a later one has been used."""


def step_at(now: datetime) -> int:
    return int(now.timestamp()) // PERIOD


def match_code(device: Device, codes: Codes, code: str, now: datetime) -> CodeMatch | None:
    """The match of a code by the rules of slapo-otp, or None if it is wrong. Raises CodeUsed."""
    current = step_at(now)
    expected = current + device.drift
    matching = [
        step
        for step in range(expected - WINDOW, expected + WINDOW + 1)
        if hmac.compare_digest(codes(step), code)
    ]
    return _nearest(matching, expected, current, device.last_step)


def match_pair(
    device: Device, codes: Codes, pair: tuple[str, str], now: datetime, reach: int
) -> CodeMatch | None:
    """Finds the step at which two consecutive codes match, at most `reach` steps from the true time, and
    returns the match of the second. Two codes are required so that a guess is very unlikely to match.

    Raises CodeUsed if the codes match only at a step that is not after the last one used.
    """
    current = step_at(now)
    matching = [
        step
        for step in range(current - reach, current + reach + 1)
        if hmac.compare_digest(codes(step - 1), pair[0]) and hmac.compare_digest(codes(step), pair[1])
    ]
    return _nearest(matching, current, current, device.last_step + 1)


def _nearest(matching: Sequence[int], expected: int, current: int, used: int) -> CodeMatch | None:
    """The match of the step nearest to the expected one, None without any. Raises CodeUsed if none is after
    `used`."""
    fresh = [step for step in matching if step > used]
    if matching and not fresh:
        raise CodeUsed
    step = min(fresh, key=lambda step: (abs(step - expected), step), default=None)
    return None if step is None else CodeMatch(step, step - current)


def in_force(devices: Collection[Device], name: str) -> Device | None:
    """The device in force, or None if the account has none or a suspended one."""
    return next((device for device in devices if device.name == name), None)


def to_verify(devices: Sequence[Device], name: str) -> Device | None:
    """The device to verify next: the newest that is neither in force, nor suspended, nor replaced. A device
    that is verified but not in force was left by an interrupted command; it is verified again."""
    active, suspended_device = in_force(devices, name), suspended(devices, name)

    def replaced(device: Device) -> bool:
        if device.verified is None or active is None or active.verified is None:
            return False
        return device.verified <= active.verified

    waiting = [
        device
        for device in devices
        if device.name != name
        and device is not suspended_device
        and device.state is not DeviceState.SUSPENDED
        and not replaced(device)
    ]
    return max(waiting, key=lambda device: (device.made, device.name), default=None)


def suspended(devices: Sequence[Device], name: str) -> Device | None:
    """The suspended device of an account: the one in state SUSPENDED, or the verified one if the command was
    interrupted before it wrote that state."""
    if name != NO_DEVICE:
        return None
    for state in (DeviceState.SUSPENDED, DeviceState.VERIFIED):
        candidates = [d for d in devices if d.state is state]
        if candidates:
            return max(candidates, key=lambda d: (d.suspended or d.verified or d.made, d.name))
    return None


def services_with_code(entitlements: Collection[Right], policy: Policy) -> list[Service]:
    """The services among these rights that require a code, off-site or always."""
    names = sorted({service for service, _ in entitlements})
    services = (policy.services.get(name) for name in names)
    return [service for service in services if service is not None and service.otp != "never"]


def clock_words(drift: int) -> Phrase:
    """The drift of a clock in words: `1 min 30 s ahead`."""
    if not drift:
        return Phrase("none")
    seconds = abs(drift) * PERIOD
    hours, minutes = divmod(seconds // 60, 60)
    parts = [f"{hours} h" if hours else "", f"{minutes} min" if minutes else "", f"{seconds % 60} s"]
    amount = " ".join(part for part in parts if part and part != "0 s")
    return Phrase("{time} ahead", time=amount) if drift > 0 else Phrase("{time} behind", time=amount)
