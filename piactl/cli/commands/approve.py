"""`approve`, `reject`, `password approve|requests`, `otp approve`: what a second person decides."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import Annotated

import typer

from piactl.cli.commands.otp import ask_code
from piactl.cli.commands.password import PrivateMail, To, hand_out, refuse_unsafe_way
from piactl.cli.commands.plan import read_plan_file
from piactl.cli.framework.account_command import AccountCommand, Manner, begin
from piactl.cli.framework.configuration import this_configuration
from piactl.cli.framework.help_desk import DeskOptions, identity_checks, requests_of, say_call_back, say_whom
from piactl.cli.framework.open_directory import reading, writing
from piactl.cli.framework.options import (
    DryRun,
    Output,
    PlanFile,
    Reason,
    ShowOutput,
    SometimesReason,
    Yes,
    need_reason,
)
from piactl.cli.framework.output import display, layout_or_default, show_rows
from piactl.cli.framework.writing_command import new_order, run_of
from piactl.clock import utc_now
from piactl.core.acts import ActRefused, Author
from piactl.core.model.settings import IdentityName
from piactl.core.plan.change import DEVICE, PASSWORD
from piactl.core.text import minute
from piactl.directory.interfaces import Reader
from piactl.directory.store.account_entries import Entry
from piactl.edits.account_store import AccountStore, find_entry, find_named
from piactl.edits.carry_out_batch import Batch, PreparedAccount
from piactl.errors import REASON, Exit
from piactl.helpdesk.device_changes import prepare_verification
from piactl.helpdesk.holders_of_devices import DeviceHolder
from piactl.helpdesk.second_person import TWO, Request, refuse_changed, waiting_device
from piactl.journal.origin_of_run import known_operator
from piactl.phrase import Phrase, counted
from piactl.runs.approvals import answer_plan
from piactl.runs.begin_run import begin_beside
from piactl.translation import translate

COLUMNS = ("request", "account", "until", "by", "kind", "reason", "at")
Name = Annotated[
    str,
    typer.Argument(
        metavar="REQUEST", help="The id of a request, as in `password requests`.", show_default=False
    ),
]


def approve(file: PlanFile, reason: Reason = "") -> int:
    """Approve a plan that another person made.

    The policy says which plans need an approval (`approvals`). Read the plan first: `plan show PLAN`. An
    approval covers this plan only, with the guards that it breaks and their numbers. It can be used once,
    for the hours that the policy sets, until another plan is made. You cannot approve a plan that you made,
    or apply a plan that you approved.

    Exit codes: 0 approved, 4 refused: you made the plan.

    Example: piactl approve plan.json --reason "read with the head of HR"
    """
    return _answer(file, reason, approved=True)


def reject(file: PlanFile, reason: Reason = "") -> int:
    """Reject a plan. Neither it nor another plan with one of its feeds can be applied.

    A later approval of a plan ends the rejection for that plan.

    Example: piactl reject plan.json --reason "HR sends a new file"
    """
    return _answer(file, reason, approved=False)


def _answer(file: str, reason: str, *, approved: bool) -> int:
    need_reason(reason, "approve" if approved else "reject", [file])
    configuration = this_configuration()
    ready = read_plan_file(file, configuration)
    order = new_order(configuration, ready.plan.basis.as_of, reason)
    with (
        writing(configuration, IdentityName.APPROVER) as writer,
        begin_beside(run_of(configuration, order), writer) as run,
    ):
        answer = answer_plan(run, ready, configuration.policy.approvals, approved=approved)
    short = ready.fingerprint[:12]
    if not approved:
        rejected = Phrase(
            "plan {plan}: rejected by {by}; its feeds are not applied. Next: HR delivers a corrected feed, "
            "and the night is started again.\nTo have this plan applied after all: {command}",
            plan=short,
            by=answer.by,
            command=f"piactl approve {shlex.quote(file)} {REASON}",
        )
        display([f"{translate(rejected)}\n"])
        return int(Exit.DONE)
    approved_plan = Phrase(
        "plan {plan}: approved by {by} for {hours}; another person applies it",
        plan=short,
        by=answer.by,
        hours=counted(configuration.policy.approvals.hours, "hour", "hours"),
    )
    display([f"{translate(approved_plan)}\n"])
    return int(Exit.DONE)


def approve_password(
    name: Name,
    to: To = None,
    private_mail: PrivateMail = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    output: ShowOutput = None,
) -> int:
    """Give the activation password that another operator requested with `password reset --second-person`.

    You vouch for the person: the journal names both operators. You get the password as with `password
    activate`. A request can be approved once, within eight hours, by another operator.

    Example: piactl password approve 2222-2222 --out password.csv
    """
    manner = DeskOptions("approval", dry_run, yes, output)
    refuse_unsafe_way(manner, to)
    command, operator, request = _to_approve(name, PASSWORD, manner)

    def approving(writer: Reader, batch: Batch) -> Batch:
        all_requests = requests_of(command.configuration, writer)
        return all_requests.approving(batch, request, operator, command.order.run, utc_now())

    return hand_out(command, [request.account], to, private_mail, approving=approving)


def approve_device(name: Name, yes: Yes = False, output: ShowOutput = None) -> int:
    """Put the new device in force that another operator requested with `otp verify --second-person`.

    Reads a code of the new device on a terminal, otherwise from a line of stdin. You vouch for the person:
    the journal names both operators. A request can be approved once, within eight hours, by another
    operator.

    Example: piactl otp approve 2222-2222
    """
    manner = DeskOptions("approval", yes=yes, output=output)
    command, operator, request = _to_approve(name, DEVICE, manner)
    configuration, order = command.configuration, command.order

    def prove(holder: DeviceHolder) -> None:
        if waiting_device(holder) != request.device:
            raise ActRefused(Phrase("{name}: another device was enrolled since; request it again", name=name))

    def prepared(store: AccountStore) -> Batch:
        say_whom(command, store, request.account)
        batch = prepare_verification(
            store,
            identity_checks(configuration, store.reader),
            request.account,
            ask_code,
            prove,
            command.operation_guard(),
            Author(operator, order.reason),
            utc_now,
            manner.identity,
        )
        all_requests = requests_of(configuration, store.reader)
        return all_requests.approving(batch, request, operator, order.run, utc_now())

    return command.decide(prepared)


def requests(
    withdraw: Annotated[
        str | None,
        typer.Option("--withdraw", metavar="REQUEST", help="Withdraw this request; needs --reason."),
    ] = None,
    reason: SometimesReason = "",
    yes: Yes = False,
    output: Output = None,
) -> int:
    """List the open requests for activation passwords and devices, the oldest first, or withdraw one.

    `password reset --second-person` and `otp verify --second-person` make requests. Any operator may
    withdraw a request.

    Example: piactl password requests
    """
    if withdraw is not None:
        return _withdraw(withdraw, DeskOptions(reason, yes=yes, output=output))
    configuration = this_configuration()
    with reading(configuration) as reader:
        open_requests = requests_of(configuration, reader).open(utc_now())
    rows = [
        {**request.facts, "until": request.until.isoformat(timespec="seconds")} for request in open_requests
    ]
    if layout_or_default(output) in ("table", "xlsx"):
        zone = configuration.policy.timezone
        rows = [{**row, **{name: minute(row[name], zone) for name in ("at", "until")}} for row in rows]
    show_rows(rows, COLUMNS, output)
    return int(Exit.PARTLY if len(configuration.unreadable) else Exit.DONE)


def _withdraw(name: str, manner: Manner) -> int:
    command = begin(manner)
    order = command.order

    def prepared(store: AccountStore) -> Batch:
        all_requests = requests_of(command.configuration, store.reader)
        request = all_requests.open_one(name, utc_now())
        operator = known_operator(order.actor, TWO)
        uid, note = request.account, Phrase("{name} is withdrawn", name=name)
        row = all_requests.withdrawal(request, Author(operator, order.reason), order.run, utc_now())
        people = find_named(store, uid)
        accounts = tuple(entry.account for entry in people if isinstance(entry, Entry))
        return Batch((PreparedAccount(uid, uid, writes=(row,), note=note, people=accounts),))

    return command.decide(prepared)


def _to_approve(name: str, kind: str, manner: Manner) -> tuple[AccountCommand, str, Request]:
    """The command, whose reason names who made the request; the operator; and the request."""
    command = begin(manner)
    configuration, order = command.configuration, command.order
    with reading(configuration) as reader:
        request, operator = requests_of(configuration, reader).to_approve(name, kind, order.actor, utc_now())
        store = command.accounts(reader)
        if kind == PASSWORD:
            refuse_changed(store, configuration.settings.password, request)
        say_call_back(configuration, find_entry(store, request.account).account, command.order.as_of)
    return replace(command, order=replace(order, reason=request.approving_reason)), operator, request
