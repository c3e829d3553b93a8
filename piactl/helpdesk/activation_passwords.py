"""Activation passwords: who gets one, and how they are delivered.

Each is for one log in, under a password policy of its own, and must be replaced at once.

The file that hands them out holds exactly those that were set. FILE is created empty; then all are written
and synced to FILE.unfinished before the first is set. At the end FILE gets those that were set, and
FILE.unfinished is deleted. If the command dies in between, every password that was set can be read, and a
FILE with content is complete.
"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time
from pathlib import Path
from typing import cast
from zoneinfo import ZoneInfo

from piactl.core.acts import ActRefused
from piactl.core.credentials.passwords import (
    ActivationPassword,
    new_activation_password,
    valid_until,
)
from piactl.core.model.account import ADOPTED, MAIL_PROOF, NO_DEVICE, Account, State, held_off_until
from piactl.core.model.settings import IdentityName, Settings
from piactl.core.plan.change import PASSWORD
from piactl.core.rules.career import AccountStatus
from piactl.core.rules.desired_account import Rules
from piactl.directory.interfaces import Writer
from piactl.directory.store.account_entries import Entry
from piactl.directory.store.attribute_map import Encoding
from piactl.directory.store.password_state import (
    ActivationPasswordWriter,
    activation_write,
    policy_faults,
    read_credentials,
)
from piactl.edits.account_store import AccountStore, career_and_status
from piactl.edits.carry_out_batch import AccountOutcome, Batch, PreparedAccount, prepare_each
from piactl.errors import REASON, ConfigurationInvalid, PiactlError, system_words
from piactl.helpdesk.attempt_limits import OperationGuard, shown_time
from piactl.helpdesk.holders_of_devices import NEVER_BOTH, find_holder
from piactl.host.private_files import create_private, write_private
from piactl.phrase import Phrase, joined
from piactl.report.table import rendered


@dataclass(frozen=True, slots=True)
class Activation:
    """The activation password for an account, and when it expires."""

    account: Account
    password: ActivationPassword
    ends: datetime


@dataclass(slots=True)
class ActivationDelivery:
    """The activation passwords of a batch, and how they are delivered: in a new file, else as `rows`.

    All are in the file before the first is set. `first_only`: no proof was given, so an account whose
    owner has chosen a password gets none, nor, of several, one whose owner has an unused one.
    """

    settings: Settings
    rules: Rules
    guard: OperationGuard
    to: str | None = None
    private_mail: bool = False
    first_only: bool = False
    rows: list[dict[str, str]] = field(default_factory=list)
    """The passwords that were set or may have been, by column of the file, once the batch is written."""
    _activations: dict[str, Activation] = field(default_factory=dict)
    _file: ActivationFile | StdoutFile | None = None

    def prepare(
        self, store: AccountStore, names: Sequence[str], reason: str, now: datetime, identity: str
    ) -> Batch:
        """A password for each account that may have one, in the order of `names`; nothing is written. Raises
        ConfigurationInvalid without a policy for activation passwords, PiactlError if that policy is
        unsuitable."""
        policy = activation_policy(self.settings)
        faults = policy_faults(store.reader, policy)
        if faults:
            raise PiactlError(
                Phrase(
                    "{policy}: no activation password can be given out under this policy: {faults}.\n"
                    "Set it as cn=activation in slapd/tree.ldif.in; see: piactl doctor",
                    policy=policy,
                    faults=joined(faults),
                )
            )

        def prepare(name: str, entry: Entry) -> PreparedAccount:
            if self.first_only and len(names) > 1:
                _refuse_unused(store, entry, self.settings, now)
            account = self._prepared(store, name, entry, reason, now, identity)
            if len(names) == 1 and find_holder(store, name).is_on_its_way(now):
                careful = Phrase("CAREFUL: its telephone is suspended, new or not verified yet")
                account = replace(
                    account, note=joined([account.note, careful, NEVER_BOTH], "{first}\n{second}")
                )
            return account

        accounts = prepare_each(store, names, prepare, Phrase("it gets one activation password"))
        return self.guard.guarded(store.reader, PASSWORD, accounts)

    def _prepared(
        self, store: AccountStore, name: str, entry: Entry, reason: str, now: datetime, identity: str
    ) -> PreparedAccount:
        account, rules = entry.account, self.rules
        status = refuse_activation(store, account, identity)
        if self.first_only:
            _refuse_chosen(store, entry, self.settings)
        opens = status.login_from if status.login_from and status.login_from > rules.as_of else None
        timezone = rules.policy.timezone
        midnight = datetime.combine(opens, time(), ZoneInfo(timezone)) if opens else None
        ends = valid_until(now, midnight, self.settings.password.activation_hours)
        password = new_activation_password(secrets.choice)
        self._activations[account.uid] = Activation(account, password, ends)
        write = activation_write(store.reader, entry.dn, password, ends, activation_policy(self.settings))
        notes = [*_password_words(account, store.encoding, shown_time(ends, timezone))]
        if opens:
            notes.append(Phrase("the account opens on {opens}", opens=opens))
        held_off = self._mail_held_off(account)
        if self.private_mail and held_off:
            notes.append(
                Phrase(
                    "its private address changed on {changed}, and is not handed out before {day}: give the "
                    "password another way",
                    changed=account.proof_changed(MAIL_PROOF),
                    day=held_off,
                )
            )
        row = write.with_reason(account.uid, ("password",), reason)
        notice = self.guard.notice(account, PASSWORD)
        return PreparedAccount(name, account.uid, writes=(row,), note=joined(notes), notice=notice)

    def begin(self, writer: Writer) -> Writer:
        if self.to is not None:
            mail = ("private_mail",) if self.private_mail else ()
            columns = (*COLUMNS[:3], *mail, *COLUMNS[3:])
            self._file = StdoutFile(columns) if self.to == "-" else ActivationFile(self.to, columns)
        if self._file is not None:
            self._file.promise(
                [self._row(activation, "set or not") for activation in self._activations.values()]
            )
        return cast(Writer, ActivationPasswordWriter(writer))

    def keep(self, outcomes: Mapping[str, AccountOutcome]) -> None:
        """Finishes the file with the activation passwords that were set or may have been.

        Raises ActivationFileUnfinished.
        """
        self.rows = [
            self._row(self._activations[uid], outcome.value)
            for uid, outcome in outcomes.items()
            if outcome in (AccountOutcome.APPLIED, AccountOutcome.IN_DOUBT)
        ]
        if self._file is not None:
            self._file.keep(self.rows)

    def drop(self) -> None:
        if self._file is not None:
            self._file.drop()

    def _mail_held_off(self, account: Account) -> date | None:
        days = self.settings.password.holdoff_days
        return held_off_until(account, MAIL_PROOF, days, self.rules.as_of)

    def _row(self, activation: Activation, outcome: str) -> dict[str, str]:
        account, policy = activation.account, self.rules.policy
        # a password cannot be sent to the mailbox that it opens
        own = account.private_mail.casefold().endswith(f"@{policy.domain.casefold()}")
        hidden = own or self._mail_held_off(account) is not None
        return {
            "uid": account.uid,
            "address": account.address or "",
            "display_name": account.display_name,
            "private_mail": "" if hidden else account.private_mail,
            "activation_password": activation.password.reveal(),
            "valid_until": shown_time(activation.ends, policy.timezone),
            "outcome": outcome,
        }


def chose_password(store: AccountStore, entry: Entry, settings: Settings) -> bool:
    """Whether the owner of an account has ever chosen a password: one is set, and not an activation password
    that waits to be replaced. A password that an adopted entry may have had counts, too."""
    credentials = read_credentials(store.reader, entry.dn, "", settings.password)
    adopted = entry.account.proof_changed(ADOPTED) is not None
    return (credentials.changed is not None or adopted) and not credentials.is_activation


def _refuse_chosen(store: AccountStore, entry: Entry, settings: Settings) -> None:
    uid = entry.account.uid
    if chose_password(store, entry, settings):
        raise ActRefused(
            Phrase(
                "{uid}: its owner has chosen a password, so a proof of identity is needed.\n"
                "With the NUMEN: piactl password reset {uid}\n"
                "An administrator who knows the person: piactl password reset {uid} --without-check {reason}",
                uid=uid,
                reason=REASON,
            )
        )


def _refuse_unused(store: AccountStore, entry: Entry, settings: Settings, now: datetime) -> None:
    """Raises ActRefused for an account whose activation password is on its way: another one would make that
    worthless."""
    until = read_credentials(store.reader, entry.dn, "", settings.password).activation_until
    if until is not None and until > now:
        raise ActRefused(
            Phrase(
                "{uid}: it has an activation password that nobody has used yet, valid until {until}.\n"
                "Another one in its place: piactl password reset {uid} --without-check {reason}",
                uid=entry.account.uid,
                until=shown_time(until, store.policy.timezone),
                reason=REASON,
            )
        )


def activation_policy(settings: Settings) -> str:
    """The DN of the policy of activation passwords. Raises ConfigurationInvalid if none is set."""
    policy = settings.password.activation_policy
    if not policy:
        example = "password: {policy: cn=default,..., activation_policy: cn=activation,...}"
        raise ConfigurationInvalid.of(
            settings.file,
            Phrase(
                "activation passwords need a password policy of their own: add\n{example}\n"
                "with the policies of slapd/tree.ldif.in",
                example=example,
            ),
        )
    return policy


def _password_words(account: Account, encoding: Encoding, until: str) -> Iterator[str]:
    """The activation password, and what the server asks for besides."""
    linked = account.device if encoding.links else ""
    if linked not in ("", NO_DEVICE):
        yield Phrase(
            "an activation password, valid until {until}, followed by a new one-time code of the device: "
            "one that was given as a proof is used up",
            until=until,
        )
        return
    yield Phrase("an activation password, valid until {until}", until=until)
    if linked:
        yield Phrase("its device is suspended, so logging in is refused until another is verified")


def refuse_activation(store: AccountStore, account: Account, identity: str) -> AccountStatus:
    """The status of an account that may have an activation password. Raises ActRefused for an account that it
    would not open, or that `identity` may not change."""

    def instead() -> str:
        held = joined(store.held_by_cases(uid), "{first}\n{second}")
        return held or Phrase("See: piactl why {uid} login", uid=uid)

    uid, as_of = account.uid, store.as_of
    _, status = career_and_status(account, store.rules)
    if account.state is State.ARCHIVED:
        archived = Phrase("{uid}: the account is archived; nobody can log in with it any more", uid=uid)
        raise ActRefused(joined([archived, *store.held_by_cases(uid)], "{first}\n{second}"))
    if account.protected and identity != IdentityName.ADMINISTRATOR:
        raise ActRefused(
            Phrase(
                "{uid}: the account is protected: only an administrator gives it an activation password",
                uid=uid,
            )
        ).with_options("--administrator")
    lock = account.lock
    if lock is not None and lock.covers(as_of):
        raise ActRefused(
            Phrase(
                "{uid}: {lock}\nAn activation password would not open it. If the lock is to end: piactl "
                'account unlock {uid} --reason "..."',
                uid=uid,
                lock=lock.words,
            )
        )
    if status.locked:
        raise ActRefused(
            Phrase(
                "{uid}: locked by its position in HR; an activation password would not open it.\n{instead}",
                uid=uid,
                instead=instead(),
            )
        )
    closed = status.login_until is not None and status.login_until < as_of
    if status.state is State.DEACTIVATED or closed:
        state: str = status.state.words
        if status.state_from:
            state = Phrase("{state} since {day}", state=state, day=status.state_from)
        raise ActRefused(
            Phrase(
                "{uid}: {state}, and nobody may log in; an activation password would not open it.\n{instead}",
                uid=uid,
                state=state,
                instead=instead(),
            )
        )
    return status


Row = Mapping[str, str]
COLUMNS = ("uid", "address", "display_name", "activation_password", "valid_until", "outcome")


class ActivationFileUnfinished(PiactlError):
    """FILE could not be finished; the activation passwords are in FILE.unfinished."""


class ActivationFile:
    """A new file of mode 0600 for a mail merge: CSV, one row for each activation password that was set.
    Raises PiactlError if FILE or FILE.unfinished exists or cannot be created."""

    def __init__(self, path: str, columns: Sequence[str]) -> None:
        self.path, self.unfinished = Path(path), Path(path + ".unfinished")
        self.columns = columns
        if os.path.lexists(self.unfinished):
            raise PiactlError(
                Phrase(
                    "{file}: left by a command that did not end; any of its passwords may be set.\n"
                    "Give those accounts new ones, then delete it; or name another file. To give them: "
                    "piactl password reset - --without-check {reason}",
                    file=self.unfinished,
                    reason=REASON,
                )
            )
        create_private(self.path)

    def promise(self, rows: Iterable[Row]) -> None:
        """Stores all passwords before the first is set. Raises PiactlError, and leaves no file behind."""
        try:
            write_private(self.unfinished, self._content(rows))
        except PiactlError:
            self.drop()
            raise

    def keep(self, rows: Sequence[Row]) -> None:
        """Stores the passwords that were set, or may have been. Raises ActivationFileUnfinished."""
        if not rows:
            self.drop()
            return
        try:
            write_private(self.path, self._content(rows))
        except PiactlError as error:
            raise ActivationFileUnfinished(
                Phrase(
                    "{error}\nThe activation passwords are in {file}", error=str(error), file=self.unfinished
                )
            ) from None
        self.unfinished.unlink(missing_ok=True)

    def drop(self) -> None:
        """Deletes both files: nothing was set."""
        self.unfinished.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)

    def _content(self, rows: Iterable[Row]) -> bytes:
        return content_of_file(rows, self.columns)


class StdoutFile:
    """The same in the file that is stdout, which belongs to the caller. Raises PiactlError."""

    def __init__(self, columns: Sequence[str]) -> None:
        self.columns = columns

    def promise(self, rows: Iterable[Row]) -> None:
        """Stores all passwords before the first is set. Raises PiactlError; the file is then empty."""
        try:
            self._write(content_of_file(rows, self.columns))
        except PiactlError:
            self.drop()
            raise

    def keep(self, rows: Sequence[Row]) -> None:
        """Stores the passwords that were set, or may have been."""
        self._write(content_of_file(rows, self.columns) if rows else b"")

    def drop(self) -> None:
        """Empties the file: nothing was set."""
        os.ftruncate(sys.stdout.fileno(), 0)

    def _write(self, content: bytes) -> None:
        """Writes over what is there, so that no password that may be set is lost before the new line is."""
        descriptor, done = sys.stdout.fileno(), 0
        try:
            while done < len(content):
                done += os.pwrite(descriptor, content[done:], done)
            os.ftruncate(descriptor, len(content))
            os.fsync(descriptor)
        except OSError as error:
            raise ActivationFileUnfinished(
                Phrase("stdout cannot be written ({reason})", reason=system_words(error))
            ) from None


def content_of_file(rows: Iterable[Row], columns: Sequence[str]) -> bytes:
    return "".join(rendered(list(rows), columns, "csv")).encode()
