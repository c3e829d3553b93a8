"""What `otp show` shows of an account and its devices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from piactl.core.credentials.totp import DeviceState, services_with_code
from piactl.core.model.policy import Policy
from piactl.directory.store.devices import DeviceEntry, device_dn, words_of
from piactl.flows.helpdesk.otp.holder import Holder, find_holder
from piactl.flows.queries.accounts import AccountStore


def devices_shown(store: AccountStore, policy: Policy, name: str) -> Mapping[str, Any]:
    """An account's devices and what they mean for it; no secret. `login` is what the directory asks for at
    a bind, `refused_by` why it refuses: "closure" or "lock", whatever the device, or "device"; `blocked` are
    the services that always need a code while no device is in force."""
    holder = find_holder(store, name)
    account = holder.account
    services = services_with_code(account.entitlements, policy)
    # the server asks for codes of a device whether piactl can read its record or not
    named = device_dn(holder.entry.dn, account.device) if account.device else ""
    active = holder.in_force is not None or bool(named and named in store.unreadable)
    return {
        "uid": account.uid,
        "state": account.state.value,
        "enforced_by": policy.otp_enforced_by,
        "in_force": account.device if active else None,
        "suspended": bool(account.device) and not active,
        "login": _login(holder, active=active),
        "refused_by": _refused_by(holder, active=active),
        "devices": [{**words_of(one), "use": _use(holder, one)} for one in holder.devices],
        "services": [{"service": service.name, "otp": service.otp} for service in services],
        "blocked": [] if active else [service.name for service in services if service.otp == "always"],
    }


def _login(holder: Holder, *, active: bool) -> str:
    if _refused_by(holder, active=active) is not None:
        return "refused"
    return "password and code" if holder.encoding.link(holder.account) else "password"


def _refused_by(holder: Holder, *, active: bool) -> str | None:
    account = holder.account
    if account.shut:
        return "lock" if account.locked else "closure"
    linked = bool(holder.encoding.link(account))
    return "device" if linked and not active else None


def _use(holder: Holder, entry: DeviceEntry) -> str:
    """in force, waits (to be verified), suspended, or left over where a command died."""
    if entry is holder.in_force:
        return "in force"
    if entry.device.state is DeviceState.PENDING:
        return "waits"
    return "suspended" if holder.is_suspended else "left over"
