"""An activation password or another device for somebody who cannot prove who they are: one operator requests
it, and a second one approves it, once.

A request and its end are two records below `ou=requests`; the request is sealed.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from piactl.core.acts import ActRefused, Author
from piactl.core.credentials.passwords import ALPHABET, LENGTH
from piactl.core.credentials.totp_devices import suspended, to_verify
from piactl.core.model.keyed_digests import DigestKeys
from piactl.core.model.settings import PasswordSettings
from piactl.core.plan.approval_rules import is_one_of
from piactl.core.plan.change import DEVICE, PASSWORD
from piactl.core.plan.write import Write
from piactl.directory.dn import child
from piactl.directory.interfaces import Outcome, RawEntry, Reader, Writer, write_one
from piactl.directory.store.account_entries import Entry
from piactl.directory.store.password_state import read_credentials
from piactl.directory.store.record_entries import (
    DATA,
    REQUESTS,
    Places,
    Record,
    SealedRecords,
    UnreadableRecord,
    UnreadableRecords,
    cn_of,
    instant_of,
    new_record,
    read_records,
    set_record,
    stored,
)
from piactl.directory.store.typed_records import LAYOUTS, Form, Layout, to_json
from piactl.edits.account_store import AccountStore, find_entry
from piactl.edits.carry_out_batch import Batch, PreparedAccount, prepare_each
from piactl.errors import Exit, PiactlError
from piactl.helpdesk.activation_passwords import refuse_activation
from piactl.helpdesk.attempt_limits import delete_malformed, shown_time
from piactl.helpdesk.holders_of_devices import DeviceHolder, deletions, find_holder
from piactl.helpdesk.holders_of_devices import row as device_row
from piactl.journal.origin_of_run import Actor, known_operator
from piactl.phrase import Phrase
from piactl.runs.run import Run

HOURS = timedelta(hours=8)
"""How long a request can be approved."""
COMMANDS = {PASSWORD: "password approve", DEVICE: "otp approve"}
"""The commands that approve, by what is requested."""
TO_SAY = {
    PASSWORD: Phrase(
        "A colleague has to confirm this, and calls you back at your school with a password for one log in"
    ),
    DEVICE: Phrase(
        "A colleague has to confirm this, and calls you back at your school: have the telephone with the "
        "codes at hand"
    ),
}
"""What the caller is told about a request, by what is requested."""
TWO = Phrase("two operators are needed")
APPROVED, WITHDRAWN = "approved", "withdrawn"
_ENDED = "-ended"


class RequestNotFound(PiactlError):
    """There is no such request, or it was deleted long after its end."""

    exit_code = Exit.NOT_FOUND


@dataclass(frozen=True, slots=True)
class Request:
    """A request of `by` at `at`, with its reason: `kind` is PASSWORD or DEVICE, `device` the name of the new
    device, `changed` when the password was last set, "" for never. `ended` is the record of its end, None
    while it is open."""

    name: str
    kind: str
    account: str
    device: str
    changed: str
    by: str
    at: datetime
    reason: str
    ended: Record | None = None

    @property
    def until(self) -> datetime:
        return self.at + HOURS

    @property
    def facts(self) -> dict[str, Any]:
        """What was requested, as JSON has it."""
        facts: dict[str, Any] = to_json(replace(self, ended=None))
        return facts

    @property
    def approving_reason(self) -> str:
        """The reason of the run that approves it."""
        return Phrase("requested by {by} ({name}): {reason}", by=self.by, name=self.name, reason=self.reason)


def _records(reader: Reader, state: str) -> list[RawEntry]:
    return read_records(reader, state, REQUESTS, names=(), beginning=()).later_folder(REQUESTS)


@dataclass(frozen=True, slots=True)
class Requests:
    """The requests in the directory, below the entry `state`. Messages show instants in `timezone`."""

    reader: Reader
    state: str
    keys: DigestKeys
    unreadable: UnreadableRecords
    timezone: str

    def all(self) -> Iterator[Request]:
        """Every request that can be read, ended ones too, the oldest first; those of other programs are added
        to `unreadable`."""
        entries = _records(self.reader, self.state)
        requests = [entry for entry in entries if not cn_of(entry).endswith(_ENDED)]
        for request in self._sealed.read_all(requests, self.unreadable):
            yield replace(request, ended=self._end(request.name))

    def open(self, now: datetime) -> list[Request]:
        return [request for request in self.all() if request.ended is None and now < request.until]

    def open_one(self, name: str, now: datetime) -> Request:
        """The open request of this name. Raises RequestNotFound, UnreadableRecord for a record of another
        program, and ActRefused for a request that is over."""
        name = name.lower()  # the directory ignores the case of a name, the seal does not
        dn = child(self._folder, "cn", name)
        data = stored(self.reader.read(dn, [DATA]))
        if data is None:
            raise RequestNotFound(
                Phrase("{name}: there is no such request. See: piactl password requests", name=name)
            )
        request = replace(self._sealed.read(dn, name, data), ended=self._end(name))
        if request.ended is not None:
            raise ActRefused(Phrase("{name}: {text}", name=name, text=_end_words(request.ended)))
        if now >= request.until:
            raise ActRefused(
                Phrase(
                    "{name}: the request of {by} is over since {time}; request it again",
                    name=name,
                    by=request.by,
                    time=shown_time(request.until, self.timezone),
                )
            )
        return request

    def to_approve(self, name: str, kind: str, actor: Actor, now: datetime) -> tuple[Request, str]:
        """The request of that kind that the operator may approve, and their name. Raises as `open_one`, and
        ActRefused."""
        request = self.open_one(name, now)
        operator = known_operator(actor, TWO)
        if request.kind != kind:
            if request.kind == PASSWORD:
                raise ActRefused(
                    Phrase("{name}: requests a password: piactl password approve {name}", name=name)
                )
            raise ActRefused(Phrase("{name}: requests a device: piactl otp approve {name}", name=name))
        if is_one_of(operator, [request.by]):
            raise ActRefused(
                Phrase(
                    "{name}: {operator} requested it, so somebody else has to approve it",
                    name=name,
                    operator=operator,
                )
            )
        return request, operator

    def end_write(self, request: Request, outcome: str, operator: str, run: str, now: datetime) -> Write:
        """The write of the record that ends a request; it fails if there is such a record."""
        facts = {"outcome": outcome, "by": operator, "run": run, "at": now.isoformat(timespec="seconds")}
        return new_record(child(self._folder, "cn", request.name + _ENDED), facts)

    def withdrawal(self, request: Request, author: Author, run: str, now: datetime) -> Write:
        write = self.end_write(request, WITHDRAWN, author.by, run, now)
        return write.with_reason(request.account, ("request-withdrawn",), author.reason)

    def approve(self, writer: Writer, request: Request, operator: str, run: str, now: datetime) -> None:
        """Uses the request up. Raises ActRefused if another operator was faster."""
        result = write_one(writer, self.end_write(request, APPROVED, operator, run, now))
        if result.outcome is Outcome.CONFLICT:
            raise ActRefused(
                Phrase("{name}: another operator ended this request at the same moment", name=request.name)
            )
        if result.outcome is not Outcome.APPLIED:
            raise PiactlError(
                Phrase(
                    "{name}: the request cannot be used up: {reason}",
                    name=request.name,
                    reason=result.message,
                )
            )

    def approving(self, batch: Batch, request: Request, operator: str, run: str, now: datetime) -> Batch:
        """The batch, which uses the request up once no guard refuses it and before the first write."""

        def reserve(writer: Writer) -> None:
            if batch.reserve is not None:
                batch.reserve(writer)
            self.approve(writer, request, operator, run, now)

        return replace(batch, reserve=reserve)

    def prepare(
        self,
        store: AccountStore,
        settings: PasswordSettings,
        kind: str,
        names: Sequence[str],
        reason: str,
        operator: str,
        now: datetime,
        identity: str,
    ) -> Batch:
        """The requests for an activation password, or for the device that waits to be verified. Raises
        PiactlError in a directory that has no place for requests."""
        if self.reader.read(self._folder, ["ou"]) is None:
            raise PiactlError(
                Phrase("{folder} is missing; add it: docs/upgrade-directory.md", folder=self._folder)
            )

        def prepared(name: str, entry: Entry) -> PreparedAccount:
            uid, device, changed = entry.account.uid, "", ""
            if kind == PASSWORD:
                refuse_activation(store, entry.account, identity)
                changed = _changed(store, entry, settings)
            else:
                device = _waiting(find_holder(store, uid, identity))
            instant = now.replace(microsecond=0)
            request = Request(_new_name(), kind, uid, device, changed, operator, instant, reason)
            write = self._sealed.write(self._folder, request)
            note = Phrase(
                "requested; another operator approves it until {time}: piactl {command} {name}\n"
                "To say: {words}",
                time=shown_time(request.until, self.timezone),
                command=COMMANDS[kind],
                name=request.name,
                words=TO_SAY[kind],
            )
            return PreparedAccount(
                name, uid, writes=(write.with_reason(uid, (f"{kind}-request",), reason),), note=note
            )

        return Batch(prepare_each(store, names, prepared))

    def withdrawing(
        self, batch: Batch, store: AccountStore, author: Author, run: str, now: datetime
    ) -> Batch:
        """The batch, which withdraws the open requests for its accounts and deletes their devices that wait
        to be verified: whoever knows the password may have asked for them."""
        open_requests = self.open(now)

        def followed(prepared: PreparedAccount) -> PreparedAccount:
            if not prepared.writes:
                return prepared
            uid, reason = prepared.uid, author.reason
            rows = [
                self.withdrawal(request, author, run, now)
                for request in open_requests
                if _names(store, request, uid)
            ]
            holder = find_holder(store, uid)
            kept = holder.in_force or holder.entry_of(suspended(holder.plain, holder.account.device))
            rows += [device_row(holder, "otp-remove", reason, w) for w in deletions(holder.others(kept))]
            return replace(prepared, writes=(*prepared.writes, *rows))

        return replace(batch, accounts=tuple(map(followed, batch.accounts)))

    @property
    def _folder(self) -> str:
        return Places(self.state).folder(REQUESTS)

    @property
    def _sealed(self) -> SealedRecords[Request]:
        return SealedRecords(Request, "request", "request", self.keys)

    def _end(self, name: str) -> Record | None:
        """The record that ends the request, {} if it cannot be read, None if there is none."""
        dn = child(self._folder, "cn", name + _ENDED)
        data = stored(self.reader.read(dn, [DATA]))
        return None if data is None else self.unreadable.read(dn, data, dict) or {}


def refuse_changed(store: AccountStore, settings: PasswordSettings, request: Request) -> None:
    """Raises ActRefused if the password of the account was changed since the request: the request has been
    used, though its end was removed, or nobody needs it any more."""
    if _changed(store, find_entry(store, request.account), settings) != request.changed:
        raise ActRefused(
            Phrase(
                "{name}: {account} has got another password since; request it again",
                name=request.name,
                account=request.account,
            )
        )


def waiting_device(holder: DeviceHolder) -> str:
    """The name of the device that `otp verify` would put in force, "" for none."""
    device = to_verify(holder.plain, holder.account.device)
    return device.name if device else ""


def forget_old_requests(run: Run) -> int:
    """Deletes the requests that are over, with their ends, and records that the help desk can add but are
    neither; returns their number. Raises PiactlError."""
    requests = Requests(run.writer, run.settings.directory.state, run.keys, run.unreadable, "UTC")
    folder, gone = run.places.folder(REQUESTS), 0
    for request in requests.all():
        if run.now() < request.until:
            continue
        # the end has no meaning without its request, and is found by it
        for name in (request.name + _ENDED, request.name):
            result = set_record(run.writer, child(folder, "cn", name), None)
            gone += result is not None and result.outcome is Outcome.APPLIED
    entries = {cn_of(entry): entry for entry in _records(run.writer, run.settings.directory.state)}
    for name in [name for name in entries if name.endswith(_ENDED)]:
        if name.removesuffix(_ENDED) in entries:
            del entries[name]  # readable or not: without it the request would be open again
        else:
            why = Phrase("it ends a request that does not exist")
            run.unreadable.add(UnreadableRecord(entries[name].dn, why))
    return gone + delete_malformed(run, folder, entries.values())


def _changed(store: AccountStore, entry: Entry, settings: PasswordSettings) -> str:
    changed = read_credentials(store.reader, entry.dn, "", settings).changed
    return changed.isoformat() if changed else ""


def _names(store: AccountStore, request: Request, uid: str) -> bool:
    """Whether the request is for this account, which may have got another uid since."""
    if request.account == uid:
        return True
    with suppress(PiactlError):
        return find_entry(store, request.account).account.uid == uid
    return False


def _end_words(ended: Record) -> str:
    by, outcome = ended.get("by"), ended.get("outcome")
    if outcome == APPROVED:
        return Phrase("approved by {by} already", by=by)
    if outcome == WITHDRAWN:
        return Phrase("withdrawn by {by} already", by=by)
    return f"{outcome} by {by} already"  # a record of another program


def _waiting(holder: DeviceHolder) -> str:
    uid, device = holder.account.uid, waiting_device(holder)
    if not device:
        raise ActRefused(
            Phrase("{uid}: no device waits to be verified.\nEnrol one: piactl otp enroll {uid}", uid=uid)
        )
    return device


LAYOUTS[Request] = Layout(
    brief=("ended",),
    names={"name": "request"},
    forms={"at": Form(lambda instant: instant.isoformat(timespec="seconds"), instant_of)},
)


def _new_name() -> str:
    return "-".join("".join(secrets.choice(ALPHABET) for _ in range(LENGTH)) for _ in range(2))
