"""Enrolling a device: it is made, shown once, and waits to be verified."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from piactl.core.credentials.totp_devices import Device, DeviceState, suspended
from piactl.core.edits import Author
from piactl.core.model.digests import DigestKeys
from piactl.directory.store.devices import device_add
from piactl.directory.store.records import UnreadableRecords
from piactl.flows.accounts.edit import Preparation, Prepared
from piactl.flows.helpdesk.otp.holder import Holder, deletions, each, find_holder, prepared
from piactl.flows.queries.accounts import AccountStore
from piactl.otp import new_device_name, new_secret, sealed


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What has to reach the person's telephone, and nobody else: `uri` holds the secret."""

    uid: str
    address: str
    uri: str = field(repr=False)


def prepare_enrolment(
    store: AccountStore,
    issuer: str,
    unreadable: UnreadableRecords,
    names: Iterable[str],
    author: Author,
    now: datetime,
    identity: str,
) -> tuple[Preparation, list[Enrolment]]:
    """A new device for each account, which takes the place of one that still waits to be verified; what is
    in force stays so. The enrolments are of those accounts that have no error, in their order. The device
    shows `issuer` beside its codes."""
    enrolments: dict[str, Enrolment] = {}

    def one(name: str) -> Prepared:
        holder = find_holder(store, name, unreadable, identity)
        prepared_, enrolment = _enrolled(holder, store.keys, issuer, author, now)
        # an account that is named twice has the device of the first time
        enrolments.setdefault(enrolment.uid, enrolment)
        return prepared_

    return each(names, one), list(enrolments.values())


def _enrolled(
    holder: Holder, keys: DigestKeys, issuer: str, author: Author, now: datetime
) -> tuple[Prepared, Enrolment]:
    account = holder.account
    secret, name = new_secret(), new_device_name()
    device = Device(name, DeviceState.PENDING, now, author.by, sealed_with=keys.current)
    copy = sealed(secret, keys, account.uid, name)
    kept = {account.device, getattr(suspended(holder.plain, account.device), "name", "")}
    abandoned = [one for one in holder.devices if one.device.name not in kept]
    writes = [device_add(holder.entry.dn, device, secret.raw, copy), *deletions(abandoned)]
    address = account.address or account.uid
    enrolment = Enrolment(account.uid, address, secret.uri(issuer, address))
    note = f"device {name} is made; {_until(holder)}.\nNext: piactl otp verify {account.uid}"
    return prepared(holder, "otp-enroll", author.reason, writes, note), enrolment


def _until(holder: Holder) -> str:
    """What holds until the new device is verified."""
    if holder.account.shut:
        return f"{holder.shut_words}, before it is verified and after"
    if holder.is_suspended:
        return "until it is verified, logging in stays refused"
    if holder.in_force is not None:
        return f"until it is verified, {holder.account.device} stays in force"
    if not holder.encoding.links:
        return "until it is verified, the portal does not count it"
    return "until it is verified, the password alone logs in"
