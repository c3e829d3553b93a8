"""The state of the password and the device of an account; never the secrets themselves."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class PasswordPolicy:
    """The password policy that an account is under. `blocks`: wrong passwords block for `block` (zero: until
    somebody lifts it). `max_age` zero: passwords do not expire. `activation`: it is the
    policy of activation passwords."""

    name: str
    blocks: bool = False
    block: timedelta = timedelta()
    max_age: timedelta = timedelta()
    activation: bool = False


@dataclass(frozen=True, slots=True)
class Device:
    """The device in force. `there`: its entry exists. `drift` is how far its clock was off at the last good
    code, in steps of `step` seconds, positive where it is ahead."""

    name: str
    there: bool
    drift: int = 0
    step: int = 30


@dataclass(frozen=True, slots=True)
class Credentials:
    """`changed` is when the password was last set, None where it never was. `blocked` is when wrong
    passwords blocked it, `blocked_for_good` where that is no instant. `failures` are when log ins failed
    since the last good one, the oldest first, be it the password or the code. `policy` None is not known;
    `linked`: the server itself asks for a code of the device; `denied`: the account is linked to no device,
    so that the server refuses it."""

    changed: datetime | None = None
    must_change: bool = False
    blocked: datetime | None = None
    blocked_for_good: bool = False
    policy: PasswordPolicy | None = None
    device: Device | None = None
    linked: bool = False
    denied: bool = False
    failures: tuple[datetime, ...] = ()

    @property
    def is_activation(self) -> bool:
        """Whether the password is an activation password that nobody has used yet."""
        return self.must_change and self.policy is not None and self.policy.activation

    @property
    def activation_until(self) -> datetime | None:
        """When such a password ends: it is a block that lies ahead."""
        return self.blocked if self.is_activation else None

    def blocked_until(self, now: datetime) -> tuple[bool, datetime | None]:
        """Whether the password is blocked now, and until when, None where that does not end by itself."""
        if self.policy is not None and not self.policy.blocks:
            return False, None
        if self.blocked_for_good:
            return True, None
        if self.blocked is None or now < self.blocked:
            return False, None
        if self.policy is None or not self.policy.block:
            return True, None
        until = self.blocked + self.policy.block
        return now < until, until

    @property
    def expires(self) -> datetime | None:
        """When the password expires, None where it does not: the age of one that must be changed anyway is
        not looked at."""
        if self.changed is None or self.must_change or self.policy is None or not self.policy.max_age:
            return None
        return self.changed + self.policy.max_age
