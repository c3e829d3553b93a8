"""Proofs of identity before a password is reset or a device replaced: the NUMEN, and codes of the device in
force."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from piactl.core.acts import ActRefused
from piactl.core.credentials.proofs import verifies
from piactl.core.model.account import NO_DEVICE, NUMEN_PROOF, Account, held_off_until
from piactl.core.model.keyed_digests import NUMEN, DigestKeys, Numen, read_numen
from piactl.core.model.settings import IdentityName
from piactl.core.plan.write import Write
from piactl.directory.interfaces import Outcome
from piactl.directory.store.account_entries import Entry
from piactl.edits.account_store import AccountStore, find_entry
from piactl.errors import PiactlError, ReasonMissing, UsageError
from piactl.helpdesk.activation_passwords import refuse_activation
from piactl.helpdesk.attempt_limits import (
    IdentityChecks,
    ProofKind,
    begin_attempt,
    shown_time,
    tries_left,
)
from piactl.helpdesk.verify_code import WrongCode, read_code, use_code
from piactl.phrase import Phrase, counted, joined
from piactl.runs.apply_plan import write_beside
from piactl.runs.begin_run import begin_run
from piactl.runs.run import CommandRun


class NotProved(PiactlError):
    """The answers do not match the account. The message does not say which one was wrong."""


def understood_numen(text: str) -> Numen:
    """The NUMEN in a text. Raises UsageError for text that cannot be a NUMEN: a typing error, which is not
    counted."""
    numen = read_numen(text)
    if numen is None:
        raise UsageError(
            Phrase("this is not a NUMEN, which has 13 characters as in 01E9501234ABC; nothing was changed")
        )
    return numen


@dataclass(frozen=True, slots=True)
class ResetTerms:
    """How a password is reset: as which identity, for what reason, and whether the identity of the person is
    checked. Without that the administrator confirms the reset."""

    identity: str
    reason: str
    checked: bool


def reset_terms(
    names: Sequence[str], reason: str, *, administrator: bool, without_check: bool, dry_run: bool
) -> ResetTerms:
    """The terms of a reset. Raises UsageError for a reset without a check that gives no reason, and for a
    check of more than one account."""
    if without_check and not reason.strip():
        raise ReasonMissing(Phrase('a reset without a check of identity needs a reason: add --reason "..."'))
    if not without_check and not dry_run and len(names) != 1:
        raise UsageError(Phrase("an identity is checked for one account at a time; name one"))
    identity = IdentityName.ADMINISTRATOR if administrator or without_check else IdentityName.DESK
    return ResetTerms(identity, reason or Phrase("reset after a check of identity"), not without_check)


@dataclass(frozen=True, slots=True)
class ProofNeeded:
    """The answers that the person of an account must give: the NUMEN, and a code if a device is in force."""

    entry: Entry
    one_time_code: bool


def proof_needed(
    store: AccountStore, name: str, identity: str, holdoff_days: int, instead: Sequence[str]
) -> ProofNeeded:
    """The answers that a person must give. Raises NotFound, and ActRefused for an account that gets no
    activation password, or that has nothing to compare an answer with; `instead` as there."""
    entry = find_entry(store, name)
    refuse_activation(store, entry.account, identity)
    refuse_unprovable(entry.account, holdoff_days, store.as_of, instead, "password reset")
    return ProofNeeded(entry, entry.account.device not in ("", NO_DEVICE))


def check_code(checks: IdentityChecks, entry: Entry, code: str, command: CommandRun) -> None:
    """Checks a code of the device in force, as a portal asks for it: it is counted, used up and journalled
    like a proof. Raises WrongCode, which says why, and TooManyAttempts; ActRefused, which is not counted, if
    nobody logs in with a code."""
    account = entry.account
    if account.shut:
        shut = (
            Phrase("it is locked: nobody logs in")
            if account.locked
            else Phrase("it is closed: nobody logs in")
        )
        raise ActRefused(Phrase("{name}: {text}", name=account.uid, text=shut))
    if account.device in ("", NO_DEVICE):
        why = Phrase("its device is suspended") if account.device else Phrase("no device is in force")
        raise ActRefused(Phrase("{uid}: {why}; enrol one: piactl otp enroll {uid}", uid=account.uid, why=why))
    code = read_code(code)
    attempt = begin_attempt(checks, account.uid, command.now(), ProofKind.CODE)
    try:
        _use(checks, entry, code, command)
    except WrongCode:
        _note_wrong(checks, account.uid, command)
        raise
    attempt.right()


def _use(checks: IdentityChecks, entry: Entry, code: str, command: CommandRun) -> None:
    """Uses a code up by a journalled write. Raises as `use_code` does."""

    def make(write: Write) -> Outcome:
        row = write.with_reason(entry.account.uid, ("otp-code",), command.order.reason)
        with begin_run(command, checks.writer, locked=False) as run:
            done = write_beside(run, [row])
            run.counts = done.counts
        return Outcome(done.results[row.uid][0])

    use_code(checks.writer, command.keys, command.unreadable, entry, code, command.now(), make)


def _note_wrong(checks: IdentityChecks, uid: str, command: CommandRun) -> None:
    with begin_run(command, checks.writer, locked=False) as run:
        run.journal.note(f"{uid}: an identity check was wrong")


def refuse_unprovable(
    account: Account, holdoff_days: int, today: date, instead: Sequence[str], two: str = ""
) -> None:
    """Raises ActRefused if the account has nothing to compare an answer with, or its NUMEN changed in the
    last `holdoff_days`. `instead` are the options of an administrator, `two` is the command by which two
    operators go on, if there is one."""
    go_on: str = Phrase("An administrator who knows the person can go on")
    if two:
        go_on = joined([_called_back(two, account.uid), go_on], "{first}\n{second}")
    if account.numen_digest is None:
        raise ActRefused(
            Phrase(
                "{uid}: no NUMEN is known of this person, so nobody can prove to be them by it.\n{go_on}",
                uid=account.uid,
                go_on=go_on,
            )
        ).with_options(*instead)
    until = held_off_until(account, NUMEN_PROOF, holdoff_days, today)
    if until is not None:
        raise ActRefused(
            Phrase(
                "{uid}: the NUMEN of this person changed on {changed}, and proves nothing before {until}.\n"
                "{go_on}",
                uid=account.uid,
                changed=account.proof_changed(NUMEN_PROOF),
                until=until,
                go_on=go_on,
            )
        ).with_options(*instead)


def understood_proof(account: Account, text: str) -> tuple[Numen | None, str | None]:
    """The NUMEN or the code of the device in force in an answer. Raises UsageError for other text, which is
    not counted."""
    numen = read_numen(text)
    if numen is not None:
        return numen, None
    code = "".join(text.split())
    if account.device in ("", NO_DEVICE):
        raise UsageError(
            Phrase(
                "{uid}: this is not a NUMEN; no device is in force, so no code counts either", uid=account.uid
            )
        )
    if not (code.isascii() and code.isdigit()):
        raise UsageError(Phrase("{uid}: neither a code nor a NUMEN; nothing was changed", uid=account.uid))
    return None, code


def _is_numen(keys: DigestKeys, account: Account, numen: str) -> bool:
    """Whether it is the NUMEN of the account: by the slow verifier if there is one, else by the digest."""
    if account.numen_verifier is not None:
        return verifies(keys, account.numen_verifier, numen)
    return keys.matches(account.numen_digest or "", NUMEN, numen)


def check_proof(
    checks: IdentityChecks,
    entry: Entry,
    numen: Numen | None,
    code: str | None,
    command: CommandRun,
    two: str = "",
) -> None:
    """Compares the NUMEN in constant time with the verifier or the keyed digest of the account, under any
    known key, and uses up the code; None for an answer that is not needed. Both are checked, even if the
    first is wrong.

    The check is counted before it is made; a wrong one is journalled. `two` as in `refuse_unprovable`. Raises
    NotProved, TooManyAttempts.
    """
    account, now = entry.account, command.now()
    values = {ProofKind.NUMEN: numen, ProofKind.CODE: code}
    answers = tuple(answer for answer, value in values.items() if value is not None)
    attempt = begin_attempt(checks, account.uid, now, *answers)
    right = bool(answers)
    if numen is not None:
        right = _is_numen(checks.keys, account, numen.reveal())
    if code is not None:
        try:
            _use(checks, entry, code, command)
        except WrongCode:
            right = False
    if right:
        attempt.right()
        return
    if len(answers) > 1:
        problem = Phrase("the NUMEN and the one-time code do not both belong to this account")
    elif code is None:
        problem = Phrase("the NUMEN is not that of this account")
    else:
        problem = Phrase("the one-time code is not one of this account")
    _note_wrong(checks, account.uid, command)
    tries, wait = tries_left(checks, account.uid, now, *answers)
    after = Phrase("the next try has to wait")
    if wait is not None:
        after = Phrase("the next try has to wait until {time}", time=shown_time(wait, checks.timezone))
    if tries:
        after = Phrase("{tries} left", tries=counted(tries, "try is", "tries are"))
    wrong: str = Phrase(
        "{uid}: {problem}; nothing was changed, and {after}", uid=account.uid, problem=problem, after=after
    )
    if two:
        wrong = joined([wrong, _called_back(two, account.uid)], "{first}\n{second}")
    raise NotProved(wrong)


def _called_back(two: str, uid: str) -> Phrase:
    """The command `two` with which two operators go on, one of whom calls the person back."""
    return Phrase(
        "Without a proof, a colleague calls the school back: piactl {two} {uid} --second-person --reason "
        '"..."',
        two=two,
        uid=uid,
    )
