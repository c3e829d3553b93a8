"""Reads the state of the password and the device of one account (ppolicy, slapo-otp).

Operational attributes are requested by name. Neither a password nor the secret of a device can be read.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from piactl.core.credentials.credentials import Credentials, DeviceStatus, PasswordPolicy
from piactl.core.model.account import NO_DEVICE
from piactl.core.model.settings import PasswordSettings
from piactl.directory import filters
from piactl.directory.dn import child, same_dn
from piactl.directory.port import RawEntry, Reader
from piactl.directory.store.accounts import IN_ACCOUNTS

_FOR_GOOD = "000001010000Z"
_ACCOUNT = ("pwdChangedTime", "pwdReset", "pwdAccountLockedTime", "pwdPolicySubentry", "oathTOTPToken",
            "pwdFailureTime")  # fmt: skip
_TOKEN = ("oathTOTPParams", "oathTOTPTimeStepDrift", "oathTOTPTimeStepPeriod")
_POLICY = ("pwdLockout", "pwdLockoutDuration", "pwdMaxAge")


def read_credentials(reader: Reader, dn: str, device: str, settings: PasswordSettings) -> Credentials:
    """The credentials of the account `dn` with the device `device` in force, "" for none.

    Makes one search for the account and its devices, and reads its password policy.
    """
    query = filters.any_of(IN_ACCOUNTS, filters.equals("objectClass", "oathTOTPToken"))
    entries = list(reader.search(dn, query, [*_ACCOUNT, *_TOKEN]))
    entry = next((raw for raw in entries if same_dn(raw.dn, dn)), RawEntry(dn, {}))
    blocked, link = entry.text("pwdAccountLockedTime"), entry.text("oathTOTPToken")
    return Credentials(
        changed=instant(entry.text("pwdChangedTime")),
        must_change=entry.text("pwdReset") == "TRUE",
        blocked=None if blocked == _FOR_GOOD else instant(blocked),
        blocked_for_good=blocked == _FOR_GOOD,
        policy=_policy(reader, entry.text("pwdPolicySubentry") or settings.policy, settings),
        device=_device(reader, entries, child(dn, "cn", device), device) if device else None,
        linked=bool(link and device) and same_dn(link, child(dn, "cn", device)),
        denied=bool(link) and same_dn(link, child(dn, "cn", NO_DEVICE)),
        failures=_instants(entry, "pwdFailureTime"),
    )


def _policy(reader: Reader, dn: str, settings: PasswordSettings) -> PasswordPolicy | None:
    entry = reader.read(dn, _POLICY) if dn else None
    if entry is None:
        return None
    return PasswordPolicy(
        name=dn,
        blocks=entry.text("pwdLockout") == "TRUE",
        block=_seconds(entry, "pwdLockoutDuration"),
        max_age=_seconds(entry, "pwdMaxAge"),
        activation=bool(settings.activation_policy) and same_dn(dn, settings.activation_policy),
    )


def _device(reader: Reader, entries: Sequence[RawEntry], dn: str, name: str) -> DeviceStatus:
    entry = next((raw for raw in entries if same_dn(raw.dn, dn)), None)
    if entry is None:
        return DeviceStatus(name, there=False)
    place = entry.text("oathTOTPParams") or dn
    params = next((raw for raw in entries if same_dn(raw.dn, place)), None) or reader.read(place, _TOKEN)
    if params is None:
        return DeviceStatus(name, there=True)
    return DeviceStatus(
        name,
        there=True,
        drift=_whole(params.text("oathTOTPTimeStepDrift"), 0),
        step=_whole(params.text("oathTOTPTimeStepPeriod"), 30),
    )


def instant(text: str) -> datetime | None:
    """The instant of a GeneralizedTime in UTC, with or without fractions of a second; None for other text."""
    digits = text.removesuffix("Z").partition(".")[0]
    try:
        return datetime.strptime(digits, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None


def _instants(entry: RawEntry, attribute: str) -> tuple[datetime, ...]:
    texts = (value.decode("ascii", "replace") for value in entry.values.get(attribute, ()))
    return tuple(sorted(raw for raw in map(instant, texts) if raw is not None))


def _seconds(entry: RawEntry, attribute: str) -> timedelta:
    return timedelta(seconds=_whole(entry.text(attribute), 0))


def _whole(text: str, usual: int) -> int:
    return int(text) if text.removeprefix("-").isdigit() else usual
