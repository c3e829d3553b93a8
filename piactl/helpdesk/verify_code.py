"""Checks a one-time code and uses it up, before anything follows from it.

A code is used up by a compare-and-swap on the device's entry: one modify deletes the last step that was read
and adds the new one. Of two checks of one code at the same instant, one finds that the old value is gone: for
that check the code has already been used.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from piactl.core.acts import ActRefused
from piactl.core.credentials.totp_devices import DIGITS, CodeMatch, CodeUsed, match_code
from piactl.core.model.keyed_digests import DigestKeys
from piactl.core.plan.write import Write
from piactl.directory.interfaces import Outcome, Reader
from piactl.directory.store.account_entries import Entry
from piactl.directory.store.devices import DeviceEntry, device_change, device_dn, read_devices
from piactl.directory.store.record_entries import UnreadableRecords
from piactl.errors import PiactlError
from piactl.otp_secret import OtpSecret, sealed, unsealed
from piactl.phrase import Phrase

_CODE = re.compile(rf"[0-9]{{{DIGITS}}}")


class WrongCode(ActRefused):
    """A wrong code; it counts as a failed try."""


def read_code(text: str) -> str:
    """The code in typed text, without blanks. Raises WrongCode, without the text, if it cannot be a code."""
    code = "".join(text.split())
    if not _CODE.fullmatch(code):
        raise WrongCode(
            Phrase("not a code: it has {digits} digits, as the telephone shows them now", digits=DIGITS)
        )
    return code


def opened(keys: DigestKeys, uid: str, entry: DeviceEntry) -> OtpSecret:
    """The secret of a device. Raises PiactlError if there is no copy that this identity may read, and
    SealBroken."""
    if not entry.sealed:
        raise PiactlError(
            Phrase(
                "{uid}: codes of {device} cannot be checked: the sealed copy of its secret is not there, or "
                "this identity may not read it.\nIf the account is not protected, enrol anew",
                uid=uid,
                device=entry.device.name,
            )
        ).with_options("--administrator")
    return unsealed(entry.sealed, keys, uid, entry.device.name)


def checked_match(uid: str, entry: DeviceEntry, secret: OtpSecret, code: str, now: datetime) -> CodeMatch:
    """The match of a code of a device. Raises WrongCode, which says why."""
    try:
        match = match_code(entry.device, secret.code, read_code(code), now)
    except CodeUsed:
        raise WrongCode(
            Phrase("{uid}: this code, or a later one, was used before; wait for the next one", uid=uid)
        ) from None
    if match is None:
        raise WrongCode(
            Phrase(
                "{uid}: the code is wrong. Is it that of this account, typed while the telephone showed it?\n"
                "If its clock is wrong: set the telephone's time to automatic, or piactl otp resync {uid}",
                uid=uid,
            )
        )
    return match


def used_up(keys: DigestKeys, uid: str, entry: DeviceEntry, match: CodeMatch, **changed: object) -> Write:
    """The write that uses a code up, changes other fields of the device with it, and seals its secret under
    the current key if it was sealed under another."""
    device = replace(entry.device, last_step=match.step, drift=match.drift, **changed)  # type: ignore[arg-type]
    fresh = b""
    if device.sealed_with != keys.current:
        fresh = sealed(opened(keys, uid, entry), keys, uid, device.name)
        device = replace(device, sealed_with=keys.current)
    write = device_change(entry, device, mark=secrets.token_hex(8), sealed=fresh)
    if write is None:
        raise AssertionError("the mark is never that of another write")
    return write


def use_code(
    reader: Reader,
    keys: DigestKeys,
    unreadable: UnreadableRecords,
    entry: Entry,
    code: str,
    now: datetime,
    make: Callable[[Write], Outcome],
) -> None:
    """Checks a code of the device in force and uses it up by the write that `make` makes: it returns for one
    code only once, ever. Raises WrongCode, which says why, SealBroken, and PiactlError if the code cannot be
    checked."""
    uid, name = entry.account.uid, entry.account.device
    device = next((d for d in read_devices(reader, entry.dn, unreadable) if d.device.name == name), None)
    if device is None and device_dn(entry.dn, name) in unreadable:
        raise PiactlError(
            Phrase(
                "{uid}: codes of {device} cannot be checked: its entry cannot be read.\n"
                "Delete that entry, then enrol another: piactl otp enroll {uid}",
                uid=uid,
                device=name,
            )
        )
    if device is None:
        raise WrongCode(
            Phrase("{uid}: its device is suspended; enrol another: piactl otp enroll {uid}", uid=uid)
        )
    match = checked_match(uid, device, opened(keys, uid, device), code, now)
    if make(used_up(keys, uid, device, match)) is not Outcome.APPLIED:
        raise WrongCode(
            Phrase("{uid}: this code was used at the same moment; wait for the next one", uid=uid)
        )
