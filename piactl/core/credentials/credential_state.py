"""The state of the password and the device of an account; never the secrets themselves."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

NEVER_VALID = datetime(2000, 1, 1, tzinfo=UTC)
"""The end of the activation password of an account whose password was removed: it has none that works."""


@dataclass(frozen=True, slots=True)
class PasswordPolicy:
    """The password policy of an account. `blocks`: wrong passwords block the account for `block`, or until an
    administrator unblocks it if that is zero. `max_age` zero: passwords do not expire. `activation`: this is
    the policy of activation passwords."""

    name: str
    blocks: bool = False
    block: timedelta = timedelta()
    max_age: timedelta = timedelta()
    activation: bool = False


@dataclass(frozen=True, slots=True)
class DeviceStatus:
    """The device in force. `there`: its entry exists. `drift` is the error of its clock at the last correct
    code, in steps of `step` seconds; positive is ahead."""

    name: str
    there: bool
    drift: int = 0
    step: int = 30


@dataclass(frozen=True, slots=True)
class Credentials:
    """`changed` is when the password was last set, None if never. `blocked` is when wrong passwords blocked
    it; `blocked_for_good` is a block without a time. `failures` are the times of failed log ins (password or
    code) since the last successful one, the oldest first. `delayed`: until then the server refuses every log
    in after wrong passwords, under a policy that does not block. `policy` is None if unknown. `linked`: the
    server asks for a code of the device. `denied`: the account is linked to no device, so the server refuses
    every log in."""

    changed: datetime | None = None
    must_change: bool = False
    blocked: datetime | None = None
    blocked_for_good: bool = False
    policy: PasswordPolicy | None = None
    device: DeviceStatus | None = None
    linked: bool = False
    denied: bool = False
    failures: tuple[datetime, ...] = ()
    delayed: datetime | None = None

    @property
    def is_activation(self) -> bool:
        """Whether the password is an activation password that nobody has used yet."""
        return self.must_change and self.policy is not None and self.policy.activation

    @property
    def activation_until(self) -> datetime | None:
        """When an unused activation password expires: the directory stores it as a block in the future."""
        return self.blocked if self.is_activation else None

    def blocked_until(self, now: datetime) -> tuple[bool, datetime | None]:
        """Whether the password is blocked now, and until when; None if only an administrator can unblock
        it."""
        if self.policy is not None and not self.policy.blocks:
            return False, None
        if self.blocked_for_good:
            return True, None
        if self.delayed is not None and now < self.delayed:
            return True, self.delayed
        if self.blocked is None or now < self.blocked:
            return False, None
        if self.policy is None or not self.policy.block:
            return True, None
        until = self.blocked + self.policy.block
        return now < until, until

    @property
    def expires(self) -> datetime | None:
        """When the password expires; None if never, or if it must be changed anyway."""
        if self.changed is None or self.must_change or self.policy is None or not self.policy.max_age:
            return None
        return self.changed + self.policy.max_age
