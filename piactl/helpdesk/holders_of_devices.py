"""Accounts with their devices, what `otp show` shows of them, and the parts that changes of devices share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from piactl.core.acts import ActRefused
from piactl.core.credentials.totp_devices import Device, DeviceState, in_force, services_with_code, to_verify
from piactl.core.model.account import NO_DEVICE, Account, State
from piactl.core.model.policy import Policy
from piactl.core.model.settings import IdentityName
from piactl.core.plan.write import Write
from piactl.directory.store.account_entries import Entry
from piactl.directory.store.attribute_map import Encoding
from piactl.directory.store.devices import (
    DeviceEntry,
    device_delete,
    device_dn,
    link_write,
    read_devices,
    words_of,
)
from piactl.edits.account_store import AccountStore, find_entry
from piactl.edits.carry_out_batch import Batch, PreparedAccount, prepare_each
from piactl.phrase import Phrase

NEVER_BOTH = Phrase(
    "Never a password and a telephone in one call: another operator calls the school back for the other one"
)
"""What an operator is told who gives out one while the other one is on its way: both are the account."""
_NEW = timedelta(hours=8)


@dataclass(frozen=True, slots=True)
class DeviceHolder:
    """An account, the name under which it was given, and the devices below it."""

    name: str
    entry: Entry
    devices: tuple[DeviceEntry, ...]
    encoding: Encoding

    @property
    def account(self) -> Account:
        return self.entry.account

    @property
    def plain(self) -> list[Device]:
        return [entry.device for entry in self.devices]

    @property
    def shut_words(self) -> Phrase:
        """Why nobody logs in to a closed or locked account, whatever its device."""
        if self.account.locked:
            return Phrase("the account is locked, so nobody logs in")
        return Phrase("the account is closed, so nobody logs in")

    @property
    def is_suspended(self) -> bool:
        return self.account.device == NO_DEVICE

    def is_on_its_way(self, now: datetime) -> bool:
        """Whether a device is suspended, waits to be verified, or was verified a short time ago."""
        verified = self.in_force.device.verified if self.in_force else None
        new = verified is not None and now - verified < _NEW
        return new or self.is_suspended or to_verify(self.plain, self.account.device) is not None

    @property
    def in_force(self) -> DeviceEntry | None:
        return self.entry_of(in_force(self.plain, self.account.device))

    def entry_of(self, device: Device | None) -> DeviceEntry | None:
        return next((entry for entry in self.devices if entry.device is device), None) if device else None

    def named(self, name: str) -> DeviceEntry | None:
        return next((entry for entry in self.devices if entry.device.name == name), None)

    def others(self, device: DeviceEntry | None) -> list[DeviceEntry]:
        return [entry for entry in self.devices if entry is not device]


def find_holder(store: AccountStore, name: str, identity: str = "") -> DeviceHolder:
    """The account of this name with its devices. Raises NotFound, and ActRefused for an archived account,
    which has no devices any more, and for a protected one if `identity`, which will write, is the help
    desk's."""
    return _holder(store, name, find_entry(store, name), identity)


def _holder(store: AccountStore, name: str, entry: Entry, identity: str) -> DeviceHolder:
    if entry.account.protected and identity == IdentityName.DESK:
        raise ActRefused(
            Phrase(
                "{name}: the account is protected, and out of the help desk's reach: an administrator can go "
                "on",
                name=name,
            )
        ).with_options("--administrator")
    if entry.account.state is State.ARCHIVED:
        raise ActRefused(
            Phrase("{name}: the account is archived; it logs in nowhere and has no device", name=name)
        )
    devices = tuple(read_devices(store.reader, entry.dn, store.unreadable))
    return DeviceHolder(name, entry, devices, store.encoding)


def as_proved(store: AccountStore, holder: DeviceHolder) -> DeviceHolder:
    """The holder after a proof: a code of the device in force changed its entry."""
    return replace(holder, devices=tuple(read_devices(store.reader, holder.entry.dn, store.unreadable)))


def prepare_holders(
    store: AccountStore,
    names: Iterable[str],
    identity: str,
    prepare: Callable[[DeviceHolder], PreparedAccount],
) -> Batch:
    """The batch of what `prepare` returns for each account; see `prepare_each`."""
    return Batch(
        prepare_each(store, names, lambda name, entry: prepare(_holder(store, name, entry, identity)))
    )


def row(holder: DeviceHolder, kind: str, reason: str, write: Write) -> Write:
    return write.with_reason(holder.account.uid, (kind,), reason)


def prepared(
    holder: DeviceHolder, kind: str, reason: str, writes: Sequence[Write | None], note: str
) -> PreparedAccount:
    """The writes in order, without those that are None."""
    rows = tuple(row(holder, kind, reason, write) for write in writes if write is not None)
    people = (holder.account,) if rows else ()
    return PreparedAccount(holder.name, holder.account.uid, writes=rows, note=note, people=people)


def link(holder: DeviceHolder, device: str) -> Write | None:
    return link_write(holder.encoding, holder.entry, device)


def deletions(devices: Iterable[DeviceEntry]) -> list[Write]:
    return [device_delete(entry) for entry in devices]


def login_words(holder: DeviceHolder, device: str) -> Phrase:
    """What logging in requires once `device` is in force for the account."""
    if not holder.encoding.links:
        words = Phrase("the portal asks for its codes") if device else Phrase("the portal asks for no code")
    elif device:
        words = Phrase("logging in takes the password followed by a code")
    else:
        words = Phrase("the password alone logs in")
    if holder.account.shut:
        return Phrase("{shut}; once it opens again, {words}", shut=holder.shut_words, words=words)
    return words


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
        "devices": [{**words_of(entry), "use": _use(holder, entry)} for entry in holder.devices],
        "services": [{"service": service.name, "otp": service.otp} for service in services],
        "blocked": [] if active else [service.name for service in services if service.otp == "always"],
    }


def _login(holder: DeviceHolder, *, active: bool) -> Phrase:
    if _refused_by(holder, active=active) is not None:
        return Phrase("refused")
    return Phrase("password and code") if holder.encoding.link(holder.account) else Phrase("password")


def _refused_by(holder: DeviceHolder, *, active: bool) -> str | None:
    account = holder.account
    if account.shut:
        return "lock" if account.locked else "closure"
    linked = bool(holder.encoding.link(account))
    return "device" if linked and not active else None


def _use(holder: DeviceHolder, entry: DeviceEntry) -> Phrase:
    """The use of a device: in force, waits (to be verified), suspended, or left over from a command that
    died."""
    if entry is holder.in_force:
        return Phrase("in force")
    if entry.device.state is DeviceState.PENDING:
        return Phrase("waits")
    return Phrase("suspended") if holder.is_suspended else Phrase("left over")
