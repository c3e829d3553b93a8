"""The batches of one-off commands: find and prepare the named accounts, check guards, write, hand out.

Every command that changes accounts one by one uses them: edits, activation passwords, unblocking, devices.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from enum import StrEnum
from typing import Protocol

from piactl.core.acts import ActRefused
from piactl.core.model.account import Account
from piactl.core.plan.change import Change
from piactl.core.plan.check_guards import Refusal
from piactl.core.plan.write import Write
from piactl.directory.interfaces import Outcome, Writer
from piactl.directory.store.account_entries import Entry
from piactl.edits.account_store import AccountStore, find_entry
from piactl.errors import REASON, Exit, PiactlError, ReplyLost, UnsafePlan
from piactl.phrase import Phrase, counted
from piactl.runs.apply_plan import Done, Stop, refused, write_alone
from piactl.runs.begin_run import begin_run
from piactl.runs.hooks import OwnerNotice, promise_notices
from piactl.runs.run import CommandRun, Run


class AccountOutcome(StrEnum):
    """What a command did with one account."""

    APPLIED = Phrase("applied")
    UNCHANGED = Phrase("unchanged")
    CONFLICT = Phrase("conflict")
    FAILED = Phrase("failed")
    WOULD_CHANGE = Phrase("would change")
    NOT_FOUND = Phrase("not found")
    REFUSED = Phrase("refused")
    NOT_MADE = Phrase("not made")
    IN_DOUBT = Phrase("in doubt")

    @property
    def is_good(self) -> bool:
        return self in (AccountOutcome.APPLIED, AccountOutcome.UNCHANGED, AccountOutcome.WOULD_CHANGE)


@dataclass(frozen=True, slots=True)
class PreparedAccount:
    """One account of a command: what would change, and the writes in order; or the `error` that prevents it.

    Without `writes` and without an error, nothing has to change. Each write is made once those before it were
    made. `outlook` is what follows on later days; `note` is a sentence for the person who asked, once it is
    done; `notice` is the message to the owner. `undo` is what an undo takes back, if that is not the first
    write. `people` are the accounts before the change, for a preview
    to name their owners.
    """

    name: str
    uid: str = ""
    changes: tuple[Change, ...] = ()
    writes: tuple[Write, ...] = ()
    outlook: tuple[tuple[date, str], ...] = ()
    error: PiactlError | None = None
    note: str = ""
    notice: OwnerNotice | None = None
    undo: tuple[Write, ...] = ()
    people: tuple[Account, ...] = ()

    @property
    def write(self) -> Write | None:
        """The first write."""
        return self.writes[0] if self.writes else None


@dataclass(frozen=True, slots=True)
class Batch:
    """All accounts of a command, in the order of their names, and the guards that they break together.
    `reserve` counts the batch before its first write, and raises UnsafePlan if it may not be made; `approval`
    raises it if another person has to approve the batch and did not."""

    accounts: tuple[PreparedAccount, ...]
    refusals: tuple[Refusal, ...] = ()
    reserve: Callable[[Writer], None] | None = None
    approval: Callable[[Run], None] | None = None

    @property
    def writes(self) -> list[Write]:
        return [account.write for account in self.accounts if account.write is not None]

    @property
    def changed(self) -> int:
        """The number of accounts that it changes."""
        return len({write.uid for account in self.accounts for write in account.writes})


@dataclass(slots=True)
class BatchResult:
    """What became of a batch. `outcomes` has the outcome and message of each write that was made or refused,
    by uid.

    `refused` says why nothing may be written; `error` is the error, `stopped` the signal that ended the batch
    early; `undelivered` says why the secrets that were set could not be delivered. `planned`: nothing was to
    be written. `late` is that of Done. `lagging` are the servers that do not have what was written, each with
    the reason.
    """

    run: str = ""
    planned: bool = False
    outcomes: dict[str, tuple[str, str]] = field(default_factory=dict)
    stopped: str = ""
    refused: PiactlError | None = None
    error: PiactlError | None = None
    undelivered: PiactlError | None = None
    late: Sequence[str] = ()
    lagging: Sequence[str] = ()

    def of(self, account: PreparedAccount) -> tuple[AccountOutcome, str]:
        """The outcome of an account, and a sentence about it or ""."""
        if account.error is not None:
            missing = account.error.exit_code == Exit.NOT_FOUND
            return AccountOutcome.NOT_FOUND if missing else AccountOutcome.REFUSED, str(account.error)
        if account.write is None:
            return AccountOutcome.UNCHANGED, account.note
        if self.refused is not None:
            return AccountOutcome.REFUSED, str(self.refused)
        if self.planned:
            return AccountOutcome.WOULD_CHANGE, account.note
        if account.uid in self.outcomes:
            word, message = self.outcomes[account.uid]
            outcome = AccountOutcome[Outcome(word).name]
            return outcome, message or (account.note if outcome.is_good else "")
        if self.error is None:
            return AccountOutcome.NOT_MADE, Phrase("stopped by {signal}", signal=self.stopped)
        if account.write.dn in getattr(self.error, "doubtful", ()):
            return AccountOutcome.IN_DOUBT, Phrase("no answer came: it is made or not")
        return AccountOutcome.NOT_MADE, Phrase("the command had to end")


class Delivery(Protocol):
    """Hands out the secrets that a batch sets."""

    def begin(self, writer: Writer) -> Writer:
        """Called before the first write; returns the writer that sets the secrets. If it raises PiactlError,
        nothing is written."""

    def keep(self, outcomes: Mapping[str, AccountOutcome]) -> None:
        """Called after the last write with the outcomes by uid. Raises PiactlError."""

    def drop(self) -> None:
        """Cleans up after a batch that set nothing."""


def prepare_each(
    store: AccountStore,
    names: Iterable[str],
    prepare: Callable[[str, Entry], PreparedAccount],
    once: str = Phrase("it is changed once"),
) -> tuple[PreparedAccount, ...]:
    """The accounts of `names`, in their order, each prepared on its own.

    An account that cannot be found or prepared has an error of its own, and so has a second name for the same
    account; that error says `once`.
    """
    first_names: dict[str, str] = {}
    accounts = []
    for name in names:
        uid = ""
        try:
            entry = find_entry(store, name)
            uid = entry.account.uid
            first = first_names.get(uid)
            if first is not None:
                raise ActRefused(
                    Phrase(
                        "{name}: names the same account as {other} ({uid}); {once}",
                        name=name,
                        other=first,
                        uid=uid,
                        once=once,
                    )
                )
            first_names[uid] = name
            prepared = prepare(name, entry)
            accounts.append(replace(prepared, people=prepared.people or (entry.account,)))
        except PiactlError as error:
            accounts.append(PreparedAccount(name, uid, error=error))
    return tuple(accounts)


def refuse_broken_guards(refusals: Sequence[Refusal], allowed: Mapping[str, int]) -> None:
    """Raises UnsafePlan, with `options_allowing` them, if guards are broken and not allowed."""
    broken = refused(refusals, allowed)
    if broken:
        guards = counted(len(broken), "guard is broken", "guards are broken")
        message = Phrase("{guards}; nothing was written", guards=guards)
        raise UnsafePlan(message, broken).with_options(*options_allowing(broken, allowed))


def options_allowing(broken: Sequence[Refusal], allowed: Mapping[str, int]) -> tuple[str, ...]:
    """The options that approve broken guards, together with those that are `allowed` already."""
    totals = {**allowed, **{refusal.kind: refusal.total for refusal in broken}}
    return *(f"--allow {kind}={total}" for kind, total in sorted(totals.items())), REASON


def made_writes(batch: Batch, result: BatchResult) -> dict[str, list[Write]]:
    """The writes that were made, by DN."""
    made: dict[str, list[Write]] = {}
    for account in batch.accounts:
        if result.of(account)[0].is_good:
            for write in account.writes:
                made.setdefault(write.dn, []).append(write)
    return made


def deliver(writer: Writer, batch: Batch, run: CommandRun, stop: Stop, delivery: Delivery) -> BatchResult:
    """Like `carry_out`, for a batch that sets secrets, which it hands out."""
    try:
        result = carry_out(delivery.begin(writer), batch, run, stop)
    except PiactlError:
        delivery.drop()
        raise
    try:
        delivery.keep(
            {account.uid: result.of(account)[0] for account in batch.accounts if account.write is not None}
        )
    except PiactlError as error:
        result.undelivered = error
    return result


def carry_out(writer: Writer, batch: Batch, run: CommandRun, stop: Stop) -> BatchResult:
    """Makes the writes of a batch, each with the preconditions of its account, and journals them.

    What ends it early is in the result. Raises PiactlError if nothing was written.
    """
    result = BatchResult(run.order.run)
    if not batch.writes:
        return result
    done = Done(run.order.run, results=result.outcomes)
    then = {account.uid: account.writes[1:] for account in batch.accounts if account.writes[1:]}
    try:
        with begin_run(run, writer, locked=False, dated=True) as begun:
            if batch.approval is not None:
                batch.approval(begun)
            if batch.reserve is not None:
                batch.reserve(writer)
            promise_notices(begun, [a.notice for a in batch.accounts if a.write and a.notice])
            undo = [row for account in batch.accounts for row in account.undo or account.writes[:1]]
            write_alone(begun, batch.writes, done, stop, then, undo, run.finish)
    except PiactlError as error:
        if not result.outcomes and not isinstance(error, ReplyLost):
            raise
        result.error = error
    result.stopped, result.late = done.stopped, done.late
    return result
