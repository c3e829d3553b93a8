"""Giving out codes: each a password for once, under a policy of its own, that must be changed at once."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time
from pathlib import Path
from zoneinfo import ZoneInfo

from piactl.core.credentials.activation_password import Code, new_code, valid_until
from piactl.core.edits import ActRefused
from piactl.core.model.account import NO_DEVICE, Account, State
from piactl.core.model.digests import DigestKeys
from piactl.core.model.settings import Settings
from piactl.core.rules.career import AccountStatus
from piactl.core.rules.desired import Rules
from piactl.directory.port import Writer
from piactl.directory.store.accounts import Entry
from piactl.directory.store.activation_passwords import Ending, code_write, policy_faults
from piactl.directory.store.attribute_map import Encoding
from piactl.directory.store.memory_records import read_last
from piactl.directory.store.records import UnreadableRecords
from piactl.errors import ConfigurationInvalid, Mistake, PiactlError, ReplyLost
from piactl.flows.accounts.edit import Prepared
from piactl.flows.apply.executor import Done, Stop, write_alone
from piactl.flows.apply.run import Order, check_date, run_alone
from piactl.flows.helpdesk.rate_limit import shown_time
from piactl.flows.plan.ready_plan import AccountWrite
from piactl.flows.queries.accounts import AccountStore, career_and_status, find_entry
from piactl.private_files import create_private, write_private
from piactl.report.table import rendered

# The file that codes are handed out in: never a code that nobody can read, never one that was not set.
#
# All codes are written and synced to FILE.unfinished before the first is set; FILE, made empty before, gets
# those that were set once all is over, and then FILE.unfinished goes. Whatever happens in between, every code
# that was set can be read, and a FILE that holds codes is complete and true.

Row = Mapping[str, str]
COLUMNS = ("uid", "address", "display_name", "code", "valid_until", "outcome")


class CodesLeft(PiactlError):
    """FILE could not be finished; the codes are in FILE.unfinished."""


class CodeFile:
    """A new file of mode 0600, fit for a mail merge: CSV, one row for each code that was set.

    `private_mail`: with a column of that name. Raises PiactlError where FILE or FILE.unfinished is there
    already or cannot be made.
    """

    def __init__(self, path: str, *, private_mail: bool) -> None:
        self.path, self.unfinished = Path(path), Path(path + ".unfinished")
        mail = ("private_mail",) if private_mail else ()
        self.columns = (*COLUMNS[:3], *mail, *COLUMNS[3:])
        if os.path.lexists(self.unfinished):
            raise PiactlError(
                f"{self.unfinished}: left by a command that did not end; any code in it may have been set.\n"
                "Give those accounts new codes, then delete it; or name another file"
            )
        os.close(create_private(self.path))

    def promise(self, rows: Iterable[Row]) -> None:
        """Keeps all codes before the first is set. Raises PiactlError, and nothing is left behind."""
        try:
            write_private(self.unfinished, self._content({**row, "outcome": "set or not"} for row in rows))
        except PiactlError:
            self.drop()
            raise

    def keep(self, rows: Sequence[Row]) -> None:
        """The codes that were set, or may have been. Raises CodesLeft."""
        if not rows:
            self.drop()
            return
        try:
            write_private(self.path, self._content(rows))
        except PiactlError as error:
            raise CodesLeft(f"{error}\nThe codes are in {self.unfinished}") from None
        self.unfinished.unlink(missing_ok=True)

    def drop(self) -> None:
        """Nothing was set: both files go."""
        self.unfinished.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)

    def _content(self, rows: Iterable[Row]) -> bytes:
        return "".join(rendered(list(rows), self.columns, "csv")).encode()


ADMINISTRATOR = "administrator"


@dataclass(frozen=True, slots=True)
class Coded:
    """One account of a command with the code it is to have: the account and when the code ends. `prepared`
    has the error where it gets none."""

    prepared: Prepared
    code: Code | None = None
    account: Account | None = None
    ends: datetime | None = None
    opens: date | None = None


@dataclass(slots=True)
class Given:
    """What became of the codes: outcome and message by uid, the account whose write was left in doubt, and
    the error or the signal that ended it early."""

    outcomes: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    doubtful: str = ""
    error: PiactlError | None = None
    stopped: str = ""

    def became(self, one: Prepared) -> tuple[str, str]:
        if one.uid in self.outcomes:
            return self.outcomes[one.uid]
        if one.uid and one.uid == self.doubtful:
            return "in doubt", "no answer came: the code is set or not"
        return (
            "not made",
            f"stopped by {self.stopped}" if self.stopped else "the command had to end before it",
        )


def prepare_codes(
    store: AccountStore,
    rules: Rules,
    settings: Settings,
    names: Sequence[str],
    reason: str,
    now: datetime,
    identity: str,
) -> list[Coded]:
    """A code for each account that may have one, in the order of `names`; nothing is written.

    Raises ConfigurationInvalid without a policy for codes, PiactlError where it does not do for them.
    """
    policy = activation_policy(settings)
    faults = policy_faults(store.reader, policy)
    if faults:
        raise PiactlError(
            f"{policy}: codes cannot be given out under this password policy: {'; '.join(faults)}.\n"
            "Set it as cn=activation in schemas/ldap/tree.ldif.in; see: piactl doctor"
        )
    seen: dict[str, str] = {}
    coded = []
    for name in names:
        uid = ""
        try:
            entry = find_entry(store, name)
            uid = entry.account.uid
            if uid in seen:
                raise ActRefused(f"{name}: names the same account as {seen[uid]} ({uid}); it gets one code")
            seen[uid] = name
            coded.append(_coded(store, rules, settings, name, entry, reason, now, identity))
        except PiactlError as error:
            coded.append(Coded(Prepared(name, uid, error=error)))
    return coded


def activation_policy(settings: Settings) -> str:
    """The DN of the policy of codes. Raises ConfigurationInvalid where none is set."""
    policy = settings.password.activation_policy
    if not policy:
        example = "password: {policy: cn=default,..., activation_policy: cn=activation,...}"
        raise ConfigurationInvalid(
            [
                Mistake(
                    settings.file,
                    0,
                    0,
                    f"codes need a password policy of their own: add\n{example}\n"
                    "with the policies of schemas/ldap/tree.ldif.in",
                )
            ]
        )
    return policy


def _coded(
    store: AccountStore,
    rules: Rules,
    settings: Settings,
    name: str,
    entry: Entry,
    reason: str,
    now: datetime,
    identity: str,
) -> Coded:
    account = entry.account
    _, status = career_and_status(account, rules.policy, rules.register, rules.as_of)
    refuse_code(account, status, rules.as_of, identity)
    opens = status.login_from if status.login_from and status.login_from > rules.as_of else None
    timezone = rules.policy.timezone
    midnight = datetime.combine(opens, time(), ZoneInfo(timezone)) if opens else None
    ends = valid_until(now, midnight, settings.password.code_hours)
    code = new_code(secrets.choice)
    write = code_write(store.reader, entry.dn, code, ends, activation_policy(settings))
    row = AccountWrite(account.uid, ("password",), reason, write)
    note = f"a code, valid until {shown_time(ends, timezone)}"
    note += _with_device(account, store.encoding)
    if opens:
        note += f"; the account opens on {opens}"
    return Coded(Prepared(name, account.uid, write=row, note=note), code, account, ends, opens)


def _with_device(account: Account, encoding: Encoding) -> str:
    """What the server asks for besides the code."""
    if not account.device or not encoding.links:
        return ""
    if account.device == NO_DEVICE:
        return "; its device is suspended, so logging in is refused until another is verified"
    return ", followed by a one-time code of the device as before"


def refuse_code(account: Account, status: AccountStatus, as_of: date, identity: str) -> None:
    """Raises ActRefused for an account that a code would not open, or that `identity` may not touch."""
    uid = account.uid
    if account.state is State.ARCHIVED:
        raise ActRefused(f"{uid}: the account is archived; nobody can log in with it any more")
    if account.protected and identity != ADMINISTRATOR:
        raise ActRefused(
            f"{uid}: the account is protected: only an administrator gives it a code: add --administrator"
        )
    lock = account.lock
    if lock is not None and lock.covers(as_of):
        until = f" to {lock.until}" if lock.until else ""
        raise ActRefused(
            f"{uid}: locked from {lock.since}{until} by {lock.by}: {lock.reason}\nA code would not open it. "
            f'If the lock is to end: piactl account unlock {uid} --reason "..."'
        )
    if status.locked:
        raise ActRefused(
            f"{uid}: locked by its position in HR; a code would not open it.\nSee: piactl why {uid} login"
        )
    closed = status.login_until is not None and status.login_until < as_of
    if status.state is State.DEACTIVATED or closed:
        since = f" since {status.state_from}" if status.state_from else ""
        raise ActRefused(
            f"{uid}: {status.state.value}{since}, and nobody may log in; a code would not open it.\n"
            f"See: piactl why {uid} login"
        )


def give_codes(
    writer: Writer,
    order: Order,
    coded: Sequence[Coded],
    settings: Settings,
    keys: DigestKeys,
    unreadable: UnreadableRecords,
    *,
    now: Callable[[], datetime],
    say: Callable[[str], None],
    stop: Stop,
) -> Given:
    """Sets the codes: one journalled write per account. What ends it early is in the result, beside the
    codes that were set before.

    Raises PiactlError only before the first of them.
    """
    writes = [one.prepared.write for one in coded if one.prepared.write is not None]
    if not writes:
        return Given()
    last = read_last(writer, settings.directory.state, unreadable)
    check_date(order, last, settings)
    done = Done(order.run)
    given = Given(done.results)
    begun = False
    try:
        with run_alone(Ending(writer), order, settings, keys, unreadable, now, say, recorded=False) as run:
            begun = True
            write_alone(run, writes, done, stop)
    except PiactlError as error:
        if not begun:
            raise
        given.error = error
        if isinstance(error, ReplyLost):
            given.doubtful = next((one.uid for one in writes if one.uid not in done.results), "")
    given.stopped = done.stopped
    return given
