"""The shared parts of commands that change single accounts: names, preview, confirmation and results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from piactl.ask.account_views import person_row
from piactl.cli.framework.configuration import Configuration, this_configuration
from piactl.cli.framework.open_directory import reading, writing
from piactl.cli.framework.options import (
    ActAsOf,
    Allow,
    DryRun,
    Form,
    Reason,
    ShowOutput,
    Yes,
    need_reason,
    read_allowed,
)
from piactl.cli.framework.output import display, layout_or_default, put, say, say_text
from piactl.cli.framework.terminal import StdoutLost, can_ask, confirm, stop_on_signals
from piactl.cli.framework.writing_command import new_order, run_of, say_broken_guards
from piactl.core.acts import Act, Author
from piactl.core.model.keyed_digests import masked, read_numen
from piactl.core.model.settings import IdentityName
from piactl.core.plan.change import Kind
from piactl.directory.interfaces import Reader, Writer
from piactl.directory.same_on_servers import not_arrived
from piactl.directory.store.typed_records import to_json
from piactl.edits.account_store import AccountStore
from piactl.edits.carry_out_batch import (
    AccountOutcome,
    Batch,
    BatchResult,
    Delivery,
    PreparedAccount,
    carry_out,
    deliver,
    made_writes,
    refuse_broken_guards,
)
from piactl.edits.one_off_change import prepare
from piactl.errors import Exit, PiactlError, ReasonMissing, UnsafePlan, UsageError
from piactl.helpdesk.attempt_limits import OperationGuard
from piactl.host.secret_files import identity_password
from piactl.journal import Order
from piactl.night.housekeeping import after_merges
from piactl.phrase import Phrase, counted, joined
from piactl.planning.signed_plan_file import change_facts
from piactl.report.establishment_names import with_names
from piactl.report.plan_text import RESULT_COLUMNS, person_text, result_text
from piactl.report.table import rendered
from piactl.runs.hooks import say_sessions_go_on
from piactl.runs.run import CommandRun, Run

IdentityCheck = Callable[[Writer], None]
"""Raises PiactlError if the person has not proved who they are."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How a command changes accounts. The fields of its subclasses with an annotation are options."""

    reason: str = ""
    dry_run: bool = False
    yes: bool = False
    output: Form | None = None
    as_of: date | None = None
    allow: Sequence[str] | None = None
    identity: str = IdentityName.ADMINISTRATOR
    reader: str = IdentityName.READER
    """The identity of a dry run."""
    recorded: bool = True
    """Whether the run writes a record to the directory; the help desk's identity may not."""
    emergency: bool = False
    """Whether the command takes access away. It then runs even if the default password policy is missing."""
    secrets_on_stdout: bool = False
    """Whether stdout is the file of the secrets; the results then go to stderr."""


@dataclass(frozen=True, slots=True)
class EditOptions(Manner):
    """The options of a command that changes accounts by hand."""

    reason: Reason = ""
    dry_run: DryRun = False
    yes: Yes = False
    output: ShowOutput = None
    as_of: ActAsOf = None
    allow: Allow = None


def begin(
    manner: Manner, *, usual_reason: str = "", changes: bool = True, emergency: bool = False
) -> AccountCommand:
    """The command, once its options are read; `usual_reason` is that of one without a reason. Raises
    ReasonMissing if a command that `changes` something has no reason, or guards are approved without one, and
    UsageError if anyone other than an administrator approves them."""
    reason = manner.reason if manner.reason.strip() else usual_reason
    if changes and not reason.strip():
        raise ReasonMissing(Phrase('a change by hand needs a reason: add --reason "..."'))
    if manner.allow and changes:
        need_reason(manner.reason, "--allow", manner.allow)
        if manner.identity != IdentityName.ADMINISTRATOR:
            raise UsageError(Phrase("only an administrator approves guards of the help desk")).with_options(
                "--administrator"
            )
    configuration, reason = this_configuration(), masked(reason)
    order = new_order(configuration, manner.as_of, reason, read_allowed(manner.allow or ()))
    if emergency:
        manner = replace(manner, emergency=True)
    return AccountCommand(configuration, manner, order, Author(order.actor.author, reason))


@dataclass(frozen=True, slots=True)
class AccountCommand:
    """A command that changes accounts, before it changes any."""

    configuration: Configuration
    manner: Manner
    order: Order
    author: Author

    def act_on(self, names: Sequence[str], act: Act) -> int:
        """Applies the act to each named account and returns the exit code.

        On a terminal, shows what would change and asks for confirmation. Raises what refuses the change,
        after the results if they are data, and the error of the account if only one is named.
        """
        return self.decide(lambda store: prepare(store, names, act, self.order.reason))

    def decide(
        self,
        prepare: Callable[[AccountStore], Batch],
        delivery: Delivery | None = None,
        show: Callable[[], None] | None = None,
        *,
        everywhere: bool = False,
        check: IdentityCheck | None = None,
    ) -> int:
        """Runs a batch, prints its results and returns the exit code. `show` prints the secrets of
        `delivery`; `check` as in `carry_through`. With `everywhere`, and if access is taken away, each listed
        server has to have it."""
        everywhere = everywhere or self.manner.emergency
        batch, result = self.carry_through(prepare, delivery, everywhere=everywhere, check=check)
        applied = (account for account in batch.accounts if result.of(account)[0] is AccountOutcome.APPLIED)
        if any(Kind.LOCK.value in write.kinds for account in applied for write in account.writes):
            say_sessions_go_on(self.configuration.settings, say)
        code = finish(batch, result, self.manner, self.order.as_of)
        if show is not None and result.undelivered is None and result.refused is None:
            show()
        error = result.refused or result.error or result.undelivered
        if error is not None:
            raise error
        return code

    def accounts(self, reader: Reader) -> AccountStore:
        """The accounts that `reader` reads, as of the day of the command."""
        return self.configuration.accounts(reader, self.order.as_of)

    def run(self) -> CommandRun:
        """The run of the command, which has not begun."""

        def finish(run: Run) -> None:
            store = self.accounts(run.writer)
            after_merges(run, store)

        return replace(
            run_of(self.configuration, self.order),
            recorded=self.manner.recorded,
            emergency=self.manner.emergency,
            finish=finish if self.manner.recorded else None,
        )

    def operation_guard(self) -> OperationGuard:
        """The guards on the operations of the operator of the command today."""
        settings, policy = self.configuration.settings, self.configuration.policy
        order, unreadable = self.order, self.configuration.unreadable
        return OperationGuard(settings, policy, order.as_of, order.actor.author, order.allowed, unreadable)

    def carry_through(
        self,
        prepare: Callable[[AccountStore], Batch],
        delivery: Delivery | None = None,
        *,
        everywhere: bool = False,
        check: IdentityCheck | None = None,
    ) -> tuple[Batch, BatchResult]:
        """Prepares a batch, asks the operator, writes it and delivers its secrets. The reader of the
        store is a Writer, except in a dry run. `check`, if there is one, is made before the operator is
        asked. With `everywhere`, the entries are read back on every listed server.

        A broken guard that is not allowed, or an error before anything was written, is `refused` in the
        result; a later error is its `error`. Raises Declined, and what `prepare` raises.
        """
        if self.manner.dry_run:
            with reading(self.configuration, self.manner.reader) as reader:
                batch = prepare(self.accounts(reader))
            return batch, BatchResult(planned=True, refused=self._broken(batch))
        with self.writing() as writer:
            batch = prepare(self.accounts(writer))
            if not batch.writes:
                return batch, BatchResult(self.order.run)
            broken = self._broken(batch)
            if broken is not None:
                return batch, BatchResult(refused=broken)
            if check is not None:
                try:
                    check(writer)
                except PiactlError as error:
                    return batch, BatchResult(refused=error)
            self.confirm(batch)
            try:
                # signals are held back only while writing; a prompt can be interrupted at once
                with stop_on_signals() as stop:
                    if delivery is None:
                        result = carry_out(writer, batch, self.run(), stop)
                    else:
                        result = deliver(writer, batch, self.run(), stop, delivery)
                if everywhere:
                    result.lagging = not_arrived(
                        self.configuration.settings.directory,
                        self.manner.identity,
                        identity_password,
                        made_writes(batch, result),
                    )
                return batch, result
            except PiactlError as error:
                return batch, BatchResult(refused=error)

    def _broken(self, batch: Batch) -> UnsafePlan | None:
        """Reports the guards that the batch breaks and that are not allowed."""
        try:
            refuse_broken_guards(batch.refusals, self.order.allowed)
        except UnsafePlan as error:
            say_broken_guards(error.refusals)
            if self.manner.identity != IdentityName.ADMINISTRATOR:
                error.with_options("--administrator")
            return error
        return None

    def writing(self) -> AbstractContextManager[Writer]:
        return writing(self.configuration, self.manner.identity)

    def confirm(self, batch: Batch) -> None:
        results = results_of(batch, BatchResult(planned=True), self.order.as_of)
        register = self.configuration.register
        texts = (with_names(result_text(facts), register) for facts in results)
        accounts = counted(batch.changed, "account", "accounts")
        question = Phrase("Change {accounts}?", accounts=accounts)
        people = [person for facts in results if facts["kinds"] for person in facts["people"]]
        if 0 < len(people) <= 2:  # two of a merge, or namesakes; the preview names those of more
            person = joined(map(person_text, people))
            question = Phrase("Change {accounts}: {person}?", accounts=accounts, person=person)
        ask(lambda: "".join(texts), with_names(question, register), yes=self.manner.yes)


def ask(text: Callable[[], str], question: str, *, yes: bool) -> None:
    """On a terminal and without --yes, shows what would be done and asks. Raises Declined."""
    if not yes and can_ask():
        say_text(text())
        confirm(question)


def results_of(batch: Batch, result: BatchResult, day: date) -> list[dict[str, Any]]:
    return [result_facts(account, result, day) for account in batch.accounts]


def result_facts(account: PreparedAccount, result: BatchResult, day: date) -> dict[str, Any]:
    """The result object of one account on a day; see docs/accounts.md."""
    policy = this_configuration().policy
    outcome, message = result.of(account)
    return {
        "account": str(read_numen(account.name) or account.name),
        "uid": account.uid or None,
        "people": [person_row(person, policy, day) for person in account.people],
        "outcome": outcome.value,
        "kinds": list(account.write.kinds) if account.write else [],
        "message": message,
        "changes": [change_facts(change) for change in account.changes],
        "refusals": list(map(to_json, getattr(result.refused, "refusals", ()))) if account.write else [],
        "outlook": [{"day": day.isoformat(), "what": sentence} for day, sentence in account.outlook],
    }


def finish(batch: Batch, result: BatchResult, manner: Manner, day: date) -> int:
    """Prints the results on the day, in the order of the names, and returns the exit code."""
    accounts = batch.accounts
    if len(accounts) == 1 and accounts[0].error is not None and manner.output is None:
        raise accounts[0].error
    if result.refused is not None and not result.planned and manner.output is None:
        raise result.refused
    try:
        put_results(results_of(batch, result, day), manner)
    except StdoutLost as lost:
        if not (result.run and batch.writes):
            raise
        say(
            Phrase(
                "{lost}\nThe changes were made; see: piactl journal show --run {run}",
                lost=str(lost),
                run=result.run,
            )
        )
        return int(Exit.FAILED)
    for server in result.lagging:
        say(Phrase("not yet on {server}", server=server))
    for problem in result.late:
        say(problem)
    failed = [account for account in accounts if not result.of(account)[0].is_good]
    if not failed:
        return int(Exit.PARTLY if result.lagging or result.late else Exit.DONE)
    if len(accounts) == 1:
        error: PiactlError | None = accounts[0].error
        return int(error.exit_code if error else Exit.FAILED)
    if len(failed) == 1:
        say(Phrase("1 of {accounts} accounts was not changed", accounts=len(accounts)))
    else:
        say(
            Phrase(
                "{failed} of {accounts} accounts were not changed", failed=len(failed), accounts=len(accounts)
            )
        )
    return int(Exit.PARTLY)


def put_results(results: Sequence[dict[str, Any]], manner: Manner) -> None:
    if manner.output is None:
        register = this_configuration().register
        texts = (with_names(result_text(result), register) for result in results)
        if manner.secrets_on_stdout:
            say_text("".join(texts))
        else:
            display(texts)
    else:
        put(rendered(results, RESULT_COLUMNS, layout_or_default(manner.output)))
