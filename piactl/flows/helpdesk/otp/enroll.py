"""A new device: it is made, shown once, and waits to be verified."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import field
from datetime import datetime
from pathlib import Path
from typing import Self

from piactl.core.credentials.totp import Device, DeviceState, suspended
from piactl.core.edits import Author
from piactl.core.model.digests import DigestKeys
from piactl.dataclass import dataclass
from piactl.directory.port import Writer
from piactl.directory.store.devices import device_add
from piactl.errors import PiactlError
from piactl.flows.accounts.batch import AccountOutcome, Batch, PreparedAccount
from piactl.flows.helpdesk.otp.holder import Holder, deletions, prepare_holders, prepared
from piactl.flows.queries.accounts import AccountStore
from piactl.otp_secret import new_device_name, new_secret, sealed
from piactl.private_files import create_private, write_private


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What has to reach the person's telephone, and nobody else: `uri` holds the secret."""

    uid: str
    address: str
    uri: str = field(repr=False)


@dataclass(slots=True)
class EnrolmentDelivery:
    """New devices of a batch, and the files that hold them: `png` the QR code of one device, `uri_file` the
    otpauth URIs, of several accounts as TSV; None for no such file.

    `prepared` are those of the batch, `made` those that exist once it is written.
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
        """A new device for each account, which takes the place of one that still waits to be verified; the
        device in force stays so. Devices show `issuer` beside their codes."""

        def prepare(holder: Holder) -> PreparedAccount:
            account, enrolment = _enrolled(holder, store.keys, issuer, author, now)
            self.prepared.append(enrolment)
            return account

        return prepare_holders(store, names, identity, prepare)

    def __enter__(self) -> Self:
        """Makes the files, empty and of mode 0600. Raises PiactlError where one exists."""
        try:
            for path in map(Path, filter(None, (self.png, self.uri_file))):
                os.close(create_private(path))
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
        from piactl.otp_secret import png

        self.made = [one for one in self.prepared if outcomes.get(one.uid) is AccountOutcome.APPLIED]
        if not self.made:
            return
        try:
            if self.png:
                self._fill(Path(self.png), png(self.made[0].uri))
            if self.uri_file:
                self._fill(Path(self.uri_file), _uris(self.made, alone=self.alone))
        except PiactlError as error:
            raise PiactlError(
                f"{error}\nThe device is made, but its file is not: enrol once more, with a file that can be "
                "written"
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
    rows = [f"{one.uid}\t{one.address}\t{one.uri}\n" for one in enrolments]
    return "".join(["uid\taddress\turi\n", *rows]).encode()


def _enrolled(
    holder: Holder, keys: DigestKeys, issuer: str, author: Author, now: datetime
) -> tuple[PreparedAccount, Enrolment]:
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
        return "until it is verified, which asks for the NUMEN, logging in stays refused"
    if holder.in_force is not None:
        return (
            f"until it is verified, {holder.account.device} stays in force; that asks for one of its codes, "
            "or for the NUMEN"
        )
    if not holder.encoding.links:
        return "until it is verified, the portal does not count it"
    return "until it is verified, the password alone logs in"
