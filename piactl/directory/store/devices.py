"""One-time-code devices as entries below their account, and the account's link to the one in force.

A device is one entry with the classes of OATH-LDAP (in the schema of slapo-otp) that is both token and
parameters: slapo-otp reads the drift from the parameters and writes it to the token. Facts without a standard
attribute (state, dates, author) are JSON in piactlData.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from piactl.core.credentials.totp_devices import DIGITS, PERIOD, WINDOW, Device
from piactl.core.plan.write import Values, Write
from piactl.directory import filters
from piactl.directory.dn import child, normal_dn
from piactl.directory.interfaces import RawEntry, Reader
from piactl.directory.store.account_entries import IN_ACCOUNTS, Entry, account_change
from piactl.directory.store.attribute_map import Encoding
from piactl.directory.store.find_drift import ANY_DEVICE
from piactl.directory.store.record_entries import (
    DATA,
    RECORD_CLASS,
    Record,
    UnreadableRecords,
    dumps,
    instant_of,
    text_of,
)
from piactl.directory.store.typed_records import LAYOUTS, Form, Layout, from_json, to_json

SEALED = "piactlSealed"
_STEP, _DRIFT = "oathTOTPLastTimeStep", "oathTOTPTimeStepDrift"
_HMAC_SHA1 = b"1.2.840.113549.2.7"
_CLASSES = (RECORD_CLASS.encode(), b"oathTOTPToken", b"oathTOTPParams")
_ATTRIBUTES = ("cn", DATA, _STEP, _DRIFT, SEALED)
IN_DEVICE = filters.all_of(filters.equals("objectClass", RECORD_CLASS), ANY_DEVICE)
_FEW = 20
"""The largest number of accounts whose devices are searched one by one."""


@dataclass(frozen=True, slots=True)
class DeviceEntry:
    """A device with the exact values of its entry, which a later write asserts. `sealed` is empty for an
    identity that may not read it."""

    dn: str
    device: Device
    values: Values = field(repr=False)

    @property
    def sealed(self) -> bytes:
        return next(iter(self.values.get(SEALED, ())), b"")


def read_devices(reader: Reader, account_dn: str, unreadable: UnreadableRecords) -> list[DeviceEntry]:
    """The devices below an account, by name; those that cannot be read are added to `unreadable`."""
    entries = reader.search(account_dn, IN_DEVICE, _ATTRIBUTES, scope="one")
    devices = (_device_entry(raw, unreadable) for raw in entries)
    return sorted((entry for entry in devices if entry is not None), key=lambda entry: entry.device.name)


def device_deletions(reader: Reader, accounts: str, owners: Sequence[str]) -> dict[str, list[Write]]:
    """The deletions of every device below these accounts (DNs), by normal DN of the account; for many
    accounts in one search of all devices."""
    few = len(owners) <= _FEW
    bases = [(dn, "one") for dn in owners] if few else [(accounts, "subtree")]
    wanted = {normal_dn(dn) for dn in owners}
    deletions: dict[str, list[Write]] = {}
    for base, scope in bases:
        for raw in reader.search(base, ANY_DEVICE, [DATA], scope=scope):
            owner = normal_dn(raw.dn).partition(",")[2]
            if owner in wanted:
                deletions.setdefault(owner, []).append(raw_delete(raw))
    return deletions


def raw_delete(raw: RawEntry) -> Write:
    """The deletion of the entry of a device. `raw` was read with its data; any program may have added it.
    Data that is not text is not asserted: a plan holds texts."""
    try:
        data = raw.values.get(DATA, ())
        b"".join(data).decode()
    except UnicodeDecodeError:
        data = ()
    return Write("delete", raw.dn, delete={DATA: data} if data else {})


def read_seal_keys(reader: Reader, accounts: str, unreadable: UnreadableRecords) -> Iterator[tuple[str, str]]:
    """(DN, id of the key that its secret is sealed with) of every device that can be read."""
    for raw in reader.search(accounts, IN_DEVICE, [DATA]):
        key = unreadable.read(raw.dn, raw.first(DATA), lambda record: text_of(record, "sealed_with"))
        if key is not None:
            yield raw.dn, key


def read_all_devices(
    reader: Reader, accounts: str, encoding: Encoding, unreadable: UnreadableRecords
) -> Iterator[tuple[str, DeviceEntry]]:
    """(uid, device) of every device of every account; those that cannot be read are added to `unreadable`."""
    devices = list(reader.search(accounts, IN_DEVICE, _ATTRIBUTES))
    if not devices:
        return
    uids = {
        normal_dn(raw.dn): raw.text(encoding.name("uid"))
        for raw in reader.search(accounts, IN_ACCOUNTS, [encoding.name("uid")])
    }
    for raw in devices:
        uid = uids.get(normal_dn(raw.dn).partition(",")[2])
        entry = _device_entry(raw, unreadable) if uid is not None else None
        if uid is not None and entry is not None:
            yield uid, entry


def _device_entry(raw: RawEntry, unreadable: UnreadableRecords) -> DeviceEntry | None:
    def read(record: Record) -> Device:
        device: Device = from_json(Device, {**record, "name": raw.text("cn")})
        step, drift = (int(raw.text(name) or 0) for name in (_STEP, _DRIFT))
        device = replace(device, last_step=step, drift=drift)
        _ = device.last_use  # raises an error for a step beyond the calendar
        return device

    device = unreadable.read(raw.dn, raw.first(DATA), read)
    return DeviceEntry(raw.dn, device, raw.values) if device is not None else None


def _record(device: Device, mark: str) -> bytes:
    record = to_json(device) | ({"mark": mark} if mark else {})
    del record["name"]  # the cn of the entry
    return dumps(record)


def _iso(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat(timespec="milliseconds")


LAYOUTS[Device] = Layout(
    only=("name", "state", "made", "by", "verified", "suspended", "sealed_with"),
    brief=("verified", "suspended"),
    forms=dict.fromkeys(("made", "verified", "suspended"), Form(_iso, instant_of)),
)


def device_dn(account_dn: str, name: str) -> str:
    return child(account_dn, "cn", name)


def device_add(account_dn: str, device: Device, secret: bytes, sealed: bytes) -> Write:
    """The write that creates a device. Its step is 0 (no code used), so that every use of a code deletes an
    old value."""
    dn = device_dn(account_dn, device.name)
    add = {
        "objectClass": _CLASSES,
        "cn": (device.name.encode(),),
        DATA: (_record(device, ""),),
        SEALED: (sealed,),
        "oathSecret": (secret,),
        "oathTOTPParams": (dn.encode(),),
        "oathOTPLength": (str(DIGITS).encode(),),
        "oathHMACAlgorithm": (_HMAC_SHA1,),
        "oathTOTPTimeStepPeriod": (str(PERIOD).encode(),),
        "oathTOTPTimeStepWindow": (str(WINDOW).encode(),),
        _STEP: (str(device.last_step).encode(),),
    }
    return Write("add", dn, add=add)


def device_change(entry: DeviceEntry, device: Device, mark: str = "", sealed: bytes = b"") -> Write | None:
    """The compare-and-swap write from the entry to `device`, None if they are equal. `mark` makes each write
    unique, so that two writes that use up the same code at once differ. `sealed` is a new sealed copy."""
    wanted: dict[str, tuple[bytes, ...]] = {DATA: (_record(device, mark),)}
    if device.last_step != entry.device.last_step:
        wanted[_STEP] = (str(device.last_step).encode(),)
    if device.drift != entry.device.drift:
        wanted[_DRIFT] = (str(device.drift).encode(),)
    if sealed:
        wanted[SEALED] = (sealed,)
    old = {name: entry.values[name] for name in wanted if entry.values.get(name)}
    unchanged = [name for name, values in wanted.items() if old.get(name) == values]
    delete = {name: values for name, values in old.items() if name not in unchanged}
    add = {name: values for name, values in wanted.items() if name not in unchanged}
    return Write("modify", entry.dn, add=add, delete=delete) if add else None


def device_delete(entry: DeviceEntry) -> Write:
    return Write("delete", entry.dn, delete={DATA: entry.values[DATA]})


def link_write(encoding: Encoding, entry: Entry, name: str) -> Write | None:
    """The write that puts the device `name` in force for an account, "" for none; None if it is in force. It
    changes nothing else, so an identity that may only write devices can send it."""
    account = replace(entry.account, device=name)
    wanted = {"piactlDevice": name, "oathTOTPToken": encoding.link(account)}
    values = {encoding.name(attribute): _one(text) for attribute, text in wanted.items()}
    current = {attribute: entry.values.get(attribute, ()) for attribute in values}
    return account_change(encoding, entry.dn, current, values)


def _one(text: str) -> tuple[bytes, ...]:
    return (text.encode(),) if text else ()


def words_of(entry: DeviceEntry) -> Mapping[str, Any]:
    """The facts that `otp show` prints about a device; it has no secret, sealed or not."""
    device = entry.device
    return {
        "device": device.name,
        "state": device.state.value,
        "made": _iso(device.made),
        "by": device.by,
        "verified": _iso(device.verified) if device.verified else None,
        "suspended": _iso(device.suspended) if device.suspended else None,
        "last_use": _iso(device.last_use) if device.last_use else None,
        "drift_seconds": device.drift * PERIOD,
    }
