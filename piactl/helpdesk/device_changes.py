"""Changes of devices: enrol, verify, suspend, resume, remove, resynchronise.

A new device is made, shown once, and waits to be verified.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from textwrap import wrap
from typing import Self
from urllib.parse import parse_qs, urlsplit

from piactl.core.acts import ActRefused, Author
from piactl.core.credentials.totp_devices import (
    PERIOD,
    CodeMatch,
    CodeUsed,
    Device,
    DeviceState,
    clock_words,
    match_pair,
    services_with_code,
    suspended,
    to_verify,
)
from piactl.core.model.account import NO_DEVICE
from piactl.core.model.keyed_digests import DigestKeys
from piactl.core.model.policy import Policy
from piactl.core.model.settings import PasswordSettings
from piactl.core.plan.change import DEVICE
from piactl.directory.interfaces import Writer
from piactl.directory.store.devices import DeviceEntry, device_add, device_change
from piactl.directory.store.password_state import read_credentials
from piactl.edits.account_store import AccountStore
from piactl.edits.carry_out_batch import AccountOutcome, Batch, PreparedAccount
from piactl.errors import PiactlError
from piactl.helpdesk.attempt_limits import (
    IdentityChecks,
    OperationGuard,
    ProofKind,
    begin_attempt,
    shown_time,
)
from piactl.helpdesk.holders_of_devices import (
    NEVER_BOTH,
    DeviceHolder,
    as_proved,
    deletions,
    find_holder,
    link,
    login_words,
    prepare_holders,
    prepared,
)
from piactl.helpdesk.verify_code import WrongCode, checked_match, opened, read_code, used_up
from piactl.host.private_files import create_private, write_private
from piactl.otp_secret import OtpSecret, new_device_name, new_secret, png, sealed
from piactl.phrase import Phrase, joined


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What must reach the telephone of the person, and nobody else: `uri` holds the secret."""

    uid: str
    address: str
    uri: str = field(repr=False)

    @property
    def key(self) -> str:
        """The secret as it is read out and typed in, in groups of four characters."""
        [secret] = parse_qs(urlsplit(self.uri).query)["secret"]
        return " ".join(wrap(secret, 4))


@dataclass(slots=True)
class EnrolmentDelivery:
    """New devices of a batch, and the files that hold them: `png` holds the QR code of one device, `uri_file`
    the otpauth URIs, as TSV for several accounts; None means no such file.

    `prepared` are the devices of the batch, `made` those that exist once it is written.
    """

    png: str | None
    uri_file: str | None
    alone: bool
    """Whether the batch is one account."""
    made: list[Enrolment] = field(default_factory=list)
    prepared: list[Enrolment] = field(default_factory=list)
    _empty: list[Path] = field(default_factory=list)

    def prepare(
        self,
        store: AccountStore,
        issuer: str,
        names: Sequence[str],
        author: Author,
        now: datetime,
        identity: str,
    ) -> Batch:
        """A new device for each account; it replaces one that still waits to be verified, and the device in
        force stays in force. Devices show `issuer` beside their codes."""

        def prepare(holder: DeviceHolder) -> PreparedAccount:
            account, enrolment = _enrolled(holder, store.keys, issuer, author, now)
            self.prepared.append(enrolment)
            return account

        return prepare_holders(store, names, identity, prepare)

    def __enter__(self) -> Self:
        """Creates the files, empty and of mode 0600. Raises PiactlError if one exists."""
        try:
            for path in map(Path, filter(None, (self.png, self.uri_file))):
                create_private(path)
                self._empty.append(path)
        except PiactlError:
            self.drop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Deletes the files that hold no device."""
        self.drop()

    def begin(self, writer: Writer) -> Writer:
        return writer

    def keep(self, outcomes: Mapping[str, AccountOutcome]) -> None:
        """Fills the files with the devices that were made. Raises PiactlError."""
        self.made = [
            enrolment for enrolment in self.prepared if outcomes.get(enrolment.uid) is AccountOutcome.APPLIED
        ]
        if not self.made:
            return
        try:
            if self.png:
                self._fill(Path(self.png), png(self.made[0].uri))
            if self.uri_file:
                self._fill(Path(self.uri_file), _uris(self.made, alone=self.alone))
        except PiactlError as error:
            raise PiactlError(
                Phrase(
                    "{error}\nThe device is made, but its file is not: enrol once more, with a file that can "
                    "be written",
                    error=str(error),
                )
            ) from None

    def drop(self) -> None:
        for path in self._empty:
            path.unlink(missing_ok=True)
        self._empty.clear()

    def _fill(self, path: Path, content: bytes) -> None:
        write_private(path, content)
        self._empty.remove(path)


def _uris(enrolments: Sequence[Enrolment], *, alone: bool) -> bytes:
    if alone:
        return f"{enrolments[0].uri}\n".encode()
    rows = [f"{enrolment.uid}\t{enrolment.address}\t{enrolment.uri}\n" for enrolment in enrolments]
    return "".join(["uid\taddress\turi\n", *rows]).encode()


def _enrolled(
    holder: DeviceHolder, keys: DigestKeys, issuer: str, author: Author, now: datetime
) -> tuple[PreparedAccount, Enrolment]:
    account = holder.account
    secret, name = new_secret(), new_device_name()
    device = Device(name, DeviceState.PENDING, now, author.by, sealed_with=keys.current)
    copy = sealed(secret, keys, account.uid, name)
    kept_names = {account.device, getattr(suspended(holder.plain, account.device), "name", "")}
    abandoned = [entry for entry in holder.devices if entry.device.name not in kept_names]
    writes = [device_add(holder.entry.dn, device, secret.raw, copy), *deletions(abandoned)]
    address = account.address or account.uid
    enrolment = Enrolment(account.uid, address, secret.uri(issuer, address))
    note = Phrase(
        "device {name} is made; {until}.\nNext: piactl otp verify {uid}",
        name=name,
        until=_until(holder),
        uid=account.uid,
    )
    return prepared(holder, "otp-enroll", author.reason, writes, note), enrolment


def _until(holder: DeviceHolder) -> Phrase:
    if holder.account.shut:
        return Phrase("{shut}, before it is verified and after", shut=holder.shut_words)
    if holder.is_suspended:
        return Phrase("until it is verified, which asks for the NUMEN, logging in stays refused")
    if holder.in_force is not None:
        return Phrase(
            "until it is verified, {device} stays in force; that asks for one of its codes, or for the NUMEN",
            device=holder.account.device,
        )
    if not holder.encoding.links:
        return Phrase("until it is verified, the portal does not count it")
    return Phrase("until it is verified, the password alone logs in")


Prove = Callable[[DeviceHolder], None]
"""Asks the person of an account for a proof before a device is put in force or removed. Raises PiactlError if
they do not give it."""
Ask = Callable[[str], str]
"""Asks a person for a code: gets the text to ask with, returns what they typed."""


def prepare_verification(
    store: AccountStore,
    checks: IdentityChecks,
    name: str,
    ask: Ask,
    prove: Prove,
    guard: OperationGuard,
    author: Author,
    now: Callable[[], datetime],
    identity: str,
) -> Batch:
    """Checks a code of the device that waits, and prepares to put it in force: the code is used up, the
    account linked to it, and older devices deleted, in that order. `prove` is called first. The guards count
    a device that replaces another.

    The check counts as an attempt; a good code of a new device ends no count, because it proves nothing.
    Raises WrongCode, TooManyAttempts, and what `prove` raises; if the account is not found or no device
    waits, that is raised before anything is asked for.
    """
    holder = find_holder(store, name, identity)
    device = holder.entry_of(to_verify(holder.plain, holder.account.device))
    if device is None:
        raise ActRefused(_nothing_waits(holder))
    uid, named = holder.account.uid, device.device.name
    secret = opened(store.keys, uid, device)
    prove(holder)
    holder = as_proved(store, holder)
    device = holder.named(named) or device
    code = read_code(ask(Phrase("Code of the new device {named} for {uid}", named=named, uid=uid)))
    instant = now()
    attempt = begin_attempt(checks, uid, instant, ProofKind.CODE)
    match = checked_match(uid, device, secret, code, instant)
    attempt.take_back()
    writes = [
        used_up(store.keys, uid, device, match, state=DeviceState.VERIFIED, verified=instant, suspended=None),
        link(holder, named),
        *deletions(holder.others(device)),
    ]
    words = login_words(holder, named)
    note: str = Phrase(
        "device {named} is in force: {words}. This code is used up; the next one logs in",
        named=named,
        words=words,
    )
    note = _careful(note, store, holder, checks.passwords)
    verified = prepared(holder, "otp-verify", author.reason, writes, note)
    verified = replace(verified, notice=guard.notice(holder.account, DEVICE))
    if not holder.account.device:
        return Batch((verified,))
    return guard.guarded(store.reader, DEVICE, (verified,))


def _careful(note: str, store: AccountStore, holder: DeviceHolder, passwords: PasswordSettings) -> str:
    """The note, with a warning if an activation password is on its way, too."""
    if not read_credentials(store.reader, holder.entry.dn, "", passwords).is_activation:
        return note
    given = Phrase("CAREFUL: an activation password was given, and is not used yet")
    return joined([note, given, NEVER_BOTH], "{first}\n{second}")


def _nothing_waits(holder: DeviceHolder) -> Phrase:
    uid = holder.account.uid
    if holder.in_force is not None:
        return Phrase(
            "{uid}: {device} is in force already, and no new device waits to be verified",
            uid=uid,
            device=holder.account.device,
        )
    return Phrase("{uid}: no device waits to be verified.\nEnrol one: piactl otp enroll {uid}", uid=uid)


def prepare_resync(
    store: AccountStore,
    checks: IdentityChecks,
    reach_minutes: int,
    name: str,
    ask: Ask,
    author: Author,
    now: Callable[[], datetime],
    identity: str,
) -> Batch:
    """Finds by how much the clock of a device is wrong, at most `reach_minutes`, from two of its codes that
    follow each other, and prepares to store it. This uses up both codes.

    The device is the one in force; if there is none, or the codes are not its own, the one that waits to be
    verified.
    """
    holder = find_holder(store, name, identity)
    tried = [holder.in_force, holder.entry_of(to_verify(holder.plain, holder.account.device))]
    devices = [device for device in tried if device is not None]
    uid = holder.account.uid
    if not devices:
        raise ActRefused(
            Phrase(
                "{uid}: it has no device in force and none that waits; see: piactl otp show {uid}", uid=uid
            )
        )
    opened_ = [(device, opened(store.keys, uid, device)) for device in devices]
    first = read_code(ask(Phrase("First code for {uid}", uid=uid)))
    second = read_code(ask(Phrase("The code that came after it")))
    if first == second:
        raise WrongCode(
            Phrase("{uid}: this is the same code twice; wait until the telephone shows another one", uid=uid)
        )
    instant = now()
    attempt = begin_attempt(checks, uid, instant, ProofKind.CODE)
    device, match = _matching(reach_minutes, store.policy.timezone, uid, opened_, (first, second), instant)
    if device is holder.in_force:
        attempt.right()
    else:
        attempt.take_back()
    writes = [used_up(store.keys, uid, device, match)]
    named, error = device.device.name, clock_words(match.drift)
    clock = Phrase("the clock of {device} is right", device=named)
    if match.drift:
        clock = Phrase("the clock of {device} is {error} of the time", device=named, error=error)
    note = Phrase(
        "{clock}; its codes count so from now on, the next one first: leave the telephone's time as it is",
        clock=clock,
    )
    return Batch((prepared(holder, "otp-resync", author.reason, writes, note),))


def _matching(
    reach_minutes: int,
    timezone: str,
    uid: str,
    devices: Sequence[tuple[DeviceEntry, OtpSecret]],
    pair: tuple[str, str],
    now: datetime,
) -> tuple[DeviceEntry, CodeMatch]:
    reach = reach_minutes * 60 // PERIOD
    for device, secret in devices:
        try:
            match = match_pair(device.device, secret.code, pair, now, reach)
        except CodeUsed:
            raise WrongCode(_went_back(uid, device, now, timezone)) from None
        if match is not None:
            return device, match
    raise WrongCode(
        Phrase(
            "{uid}: these are not two codes of its device that follow each other, or its clock is more than "
            "{minutes} minutes wrong.\nSet the telephone's time to automatic; give a code, wait for the "
            "next, give that; or enrol anew: piactl otp enroll {uid}",
            uid=uid,
            minutes=reach_minutes,
        )
    )


def _went_back(uid: str, device: DeviceEntry, now: datetime, timezone: str) -> Phrase:
    """The message for used codes: codes up to the last step stay used up, and a clock that was set back has
    to reach that step again."""
    ahead = (device.device.last_step + 1) * PERIOD - int(now.timestamp())
    if ahead <= 3 * PERIOD:
        return Phrase("{uid}: these codes, or later ones, were used before; give the next two", uid=uid)
    until = now + timedelta(seconds=ahead)
    return Phrase(
        "{uid}: the clock of this device was ahead, and its codes up to {time} are used up.\nWait until "
        "then, and leave its time as it is; or enrol anew: piactl otp enroll {uid}",
        uid=uid,
        time=shown_time(until, timezone),
    )


def prepare_suspension(
    store: AccountStore,
    names: Iterable[str],
    author: Author,
    now: datetime,
    identity: str,
) -> Batch:
    """Links the account to no device, so that logging in is refused until another device is verified or this
    one resumed; then marks the device as suspended."""

    def prepare(holder: DeviceHolder) -> PreparedAccount:
        uid = holder.account.uid
        if not holder.account.device:
            raise ActRefused(
                Phrase(
                    "{uid}: no device is in force: the telephone gives no codes, and nothing needs to be "
                    "done for them.\nIf a password was stored in it: piactl password reset {uid}\nIf "
                    "somebody else has used the account: piactl account lock {uid} --compromised --reason "
                    '"..."',
                    uid=uid,
                )
            )
        device = holder.in_force or holder.entry_of(suspended(holder.plain, holder.account.device))
        mark = None
        if device is not None and device.device.state is not DeviceState.SUSPENDED:
            mark = device_change(device, replace(device.device, state=DeviceState.SUSPENDED, suspended=now))
        effect = Phrase("logging in is refused") if holder.encoding.links else Phrase("no code is good")
        note = Phrase(
            "the device is suspended: {effect} until another is verified (piactl otp enroll {uid}), or "
            'this one is found (piactl otp resume {uid} --reason "...")',
            effect=effect,
            uid=uid,
        )
        return prepared(holder, "otp-suspend", author.reason, [link(holder, NO_DEVICE), mark], note)

    return prepare_holders(store, names, identity, prepare)


def prepare_resumption(
    store: AccountStore,
    names: Sequence[str],
    passwords: PasswordSettings,
    prove: Prove,
    author: Author,
    identity: str,
) -> Batch:
    """Puts the suspended device in force again, after `prove`: the finder of the telephone may not be its
    owner."""

    def prepare(holder: DeviceHolder) -> PreparedAccount:
        uid = holder.account.uid
        if holder.in_force is not None and holder.in_force.device.state is DeviceState.VERIFIED:
            there = Phrase("{device} is in force", device=holder.account.device)
            return prepared(holder, "otp-resume", author.reason, [], there)
        device = holder.in_force or holder.entry_of(suspended(holder.plain, holder.account.device))
        if device is None:
            raise ActRefused(
                Phrase("{uid}: it has no suspended device.\nEnrol one: piactl otp enroll {uid}", uid=uid)
            )
        prove(holder)
        named = device.device.name
        mark = device_change(device, replace(device.device, state=DeviceState.VERIFIED, suspended=None))
        words = login_words(holder, named)
        again = Phrase("{named} is in force again: {words}", named=named, words=words)
        note = _careful(again, store, holder, passwords) if len(names) == 1 else again
        return prepared(holder, "otp-resume", author.reason, [mark, link(holder, named)], note)

    return prepare_holders(store, names, identity, prepare)


def prepare_removal(
    store: AccountStore,
    policy: Policy,
    names: Iterable[str],
    prove: Prove,
    guard: OperationGuard,
    author: Author,
    identity: str,
    *,
    password_alone: bool,
) -> Batch:
    """Unlinks the account and deletes its devices. Refused if a service of the account asks for a code,
    unless `password_alone` is set. `prove` is called if a device is in force or suspended."""

    def prepare(holder: DeviceHolder) -> PreparedAccount:
        _refuse_needed(policy, holder, password_alone)
        if holder.account.device:
            prove(holder)
            holder = as_proved(store, holder)
        note = Phrase("it has no device")
        if holder.devices or holder.account.device:
            note = Phrase("it has no device any more: {words}", words=login_words(holder, ""))
        writes = [link(holder, ""), *deletions(holder.devices)]
        removed = prepared(holder, "otp-remove", author.reason, writes, note)
        return replace(removed, notice=guard.notice(holder.account, DEVICE))

    batch = prepare_holders(store, names, identity, prepare)
    return guard.guarded(store.reader, DEVICE, batch.accounts)


def _refuse_needed(policy: Policy, holder: DeviceHolder, password_alone: bool) -> None:
    if password_alone or not holder.account.device:
        return
    services = services_with_code(holder.account.entitlements, policy)
    if services:
        uid = holder.account.uid
        names = ", ".join(f"{service.name} ({service.otp})" for service in services)
        raise ActRefused(
            Phrase(
                "{uid}: services of this account ask for a code: {services}.\n"
                'For a lost telephone: piactl otp suspend {uid} --reason "..."; for a new one: piactl otp '
                "enroll {uid}; to go back to the password alone all the same, add --password-alone",
                uid=uid,
                services=names,
            )
        )
