"""Proving who somebody is before their password is reset: by the NUMEN, and a code of the device in force."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from piactl.core.edits import ActRefused
from piactl.core.model.account import Account
from piactl.core.model.digests import DigestKeys
from piactl.core.model.numen import Numen, read_numen
from piactl.core.model.settings import Settings
from piactl.core.rules.desired import NUMEN
from piactl.core.text import counted
from piactl.directory.port import EntryWrite, Outcome, Writer
from piactl.directory.store.accounts import Entry
from piactl.directory.store.attribute_map import Encoding
from piactl.directory.store.records import UnreadableRecords
from piactl.errors import PiactlError, UsageError
from piactl.flows.apply.executor import write_beside
from piactl.flows.apply.run import Order, run_alone
from piactl.flows.helpdesk.otp import CodeOutcome, use_code
from piactl.flows.helpdesk.rate_limit import IdentityChecks, begin_attempt, tries_left
from piactl.flows.plan.ready_plan import AccountWrite

Proof = Callable[[str], bool]
"""Whether a code of the device in force is good; a good one is used up by it."""


class NotProved(PiactlError):
    """What was given is not what is known of the account; which of it was wrong is not said."""


def understood_numen(text: str) -> Numen:
    """Raises UsageError for what cannot be a NUMEN: a slip of the keyboard, which is not counted."""
    numen = read_numen(text)
    if numen is None:
        raise UsageError("this is no NUMEN, which has 13 characters as in 01E9501234ABC; nothing was changed")
    return numen


def proof_by_device(
    writer: Writer,
    order: Order,
    entry: Entry,
    encoding: Encoding,
    settings: Settings,
    keys: DigestKeys,
    unreadable: UnreadableRecords,
    *,
    now: Callable[[], datetime],
    say: Callable[[str], None],
) -> Proof:
    """The proof by the device in force of an account; that a code is used up is journalled."""
    uid = entry.account.uid

    def good(code: str) -> bool:
        def stored(write: EntryWrite) -> Outcome:
            with run_alone(writer, order, settings, keys, unreadable, now, say, recorded=False) as run:
                done = write_beside(run, [AccountWrite(uid, ("otp-code",), order.reason, write)])
                run.journal.end(done.counts)
            return Outcome(done.results[uid][0])

        checked = use_code(writer, encoding, keys, unreadable, entry, code, now(), stored=stored)
        return checked.outcome is CodeOutcome.GOOD

    return good


def journalled_trace(
    writer: Writer,
    order: Order,
    settings: Settings,
    keys: DigestKeys,
    unreadable: UnreadableRecords,
    *,
    now: Callable[[], datetime],
    say: Callable[[str], None],
) -> Callable[[str], None]:
    """A function that leaves a note in the journal of this host."""

    def trace(text: str) -> None:
        with run_alone(writer, order, settings, keys, unreadable, now, say, recorded=False) as run:
            run.journal.note(text)
            run.journal.end({})

    return trace


def refuse_unprovable(account: Account) -> None:
    """Raises ActRefused where nothing is known that could be compared."""
    if account.numen_digest is None:
        raise ActRefused(
            f"{account.uid}: no NUMEN is known of this person, so nobody can prove to be them by it.\n"
            'An administrator who knows the person can go on: --without-check --reason "..."'
        )


def prove(
    checks: IdentityChecks,
    account: Account,
    numen: Numen,
    code: str | None,
    use_code: Proof,
    now: datetime,
    trace: Callable[[str], None],
) -> None:
    """Compares in constant time with the keyed digest of the account, under every key that is known, and has
    the code used up where one is needed (`code` is then not None). Both are looked at, whichever is wrong.

    The check is counted before it is made; `trace` is told of a wrong one. Raises NotProved,
    TooManyAttempts, ActRefused.
    """
    refuse_unprovable(account)
    attempt = begin_attempt(checks, account.uid, now)
    right = checks.keys.matches(account.numen_digest or "", NUMEN, numen.reveal())
    if code is not None:
        right = use_code(code) and right
    if right:
        attempt.right()
        return
    what = "the NUMEN" if code is None else "the NUMEN and the one-time code do not both belong to"
    said = f"{account.uid}: {what} is not that of" if code is None else f"{account.uid}: {what}"
    trace(f"{account.uid}: an identity check was wrong")
    left = tries_left(checks, account.uid, now)
    after = f"{counted(left, 'try is', 'tries are')} left" if left else "the next try has to wait"
    raise NotProved(f"{said} this account; nothing was changed, and {after}")
