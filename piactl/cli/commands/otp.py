"""`otp enroll|verify|check|show|suspend|resume|remove|resync`: one-time-code devices."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

import typer

from piactl.cli.framework.account_command import AccountCommand, begin
from piactl.cli.framework.configuration import this_configuration
from piactl.cli.framework.help_desk import (
    CodeOptions,
    DeskOptions,
    DeskReasonOptions,
    identity_checks,
    request_approval,
    say_call_back,
    say_person,
    say_whom,
)
from piactl.cli.framework.open_directory import reading, writing
from piactl.cli.framework.options import (
    Allow,
    AsAdministrator,
    Names,
    OneName,
    SecondPerson,
    ShowOutput,
    with_shared_options,
)
from piactl.cli.framework.output import display, of_each, put, say, show_views
from piactl.cli.framework.terminal import ask_secret, can_ask, interruptible
from piactl.clock import utc_now
from piactl.core.acts import ActRefused
from piactl.core.model.account import NO_DEVICE
from piactl.core.model.settings import IdentityName
from piactl.core.plan.change import DEVICE
from piactl.edits.account_store import AccountStore, find_entry
from piactl.edits.carry_out_batch import Batch
from piactl.errors import REASON, Exit, UsageError
from piactl.helpdesk.device_changes import (
    Enrolment,
    EnrolmentDelivery,
    Prove,
    prepare_removal,
    prepare_resumption,
    prepare_resync,
    prepare_suspension,
    prepare_verification,
)
from piactl.helpdesk.holders_of_devices import DeviceHolder, devices_shown, find_holder
from piactl.helpdesk.identity_proof import check_code, check_proof, refuse_unprovable, understood_proof
from piactl.host.caller import sudo_service
from piactl.host.private_files import refuse_input, refuse_output
from piactl.otp_secret import drawn
from piactl.phrase import Phrase
from piactl.report.device_text import DEVICE_COLUMNS, devices_text
from piactl.translation import translate

CodeFile = Annotated[
    str | None,
    typer.Option("--code-file", metavar="FILE", help="Read the code from this file (mode 0600); - is stdin."),
]
ProofFile = Annotated[
    str | None,
    typer.Option(
        "--proof-file",
        metavar="FILE",
        help="Read a code of the device in force, or the NUMEN, from this file; - is stdin.",
    ),
]


@with_shared_options
def enroll(
    names: Names,
    options: DeskOptions,
    png: Annotated[
        str | None, typer.Option("--png", metavar="FILE", help="Write the QR code to a new file (mode 0600).")
    ] = None,
    uri_file: Annotated[
        str | None,
        typer.Option(
            "--uri-file",
            metavar="FILE",
            help="Write the otpauth URI to a new file (mode 0600); for several accounts as TSV, a line each.",
        ),
    ] = None,
) -> int:
    """Create a device for accounts, and show it once: as a QR code in the terminal, or in files.

    Below the QR code is the key, in groups of four characters, to type in instead.
    `otp verify` with one of its codes puts the device in force. Until then an older device stays in force,
    and an account without one logs in with the password alone.

    Example: piactl otp enroll claire.dubreuil --png claire.png
    """
    on_screen = sys.stdout.isatty() and len(names) == 1 and options.output is None
    _need_a_way(names, png, uri_file, on_screen or options.dry_run)
    command = begin(options, usual_reason=Phrase("enrolment"))
    files = (None, None) if options.dry_run else (png, uri_file)
    with EnrolmentDelivery(*files, alone=len(names) == 1) as delivery:

        def prepare(store: AccountStore) -> Batch:
            issuer, identity = store.policy.otp_issuer, options.identity
            batch = delivery.prepare(store, issuer, names, command.author, utc_now(), identity)
            if on_screen and delivery.prepared:
                _picture(delivery.prepared[0])
                say_call_back(command.configuration, find_entry(store, names[0]).account, command.order.as_of)
            return batch

        def show() -> None:
            if on_screen and delivery.made:
                _show_once(delivery.made[0])

        return command.decide(prepare, delivery, show)


def _need_a_way(names: Sequence[str], png: str | None, uri_file: str | None, otherwise: bool) -> None:
    """Raises UsageError if the secret would reach nobody, or would go into a pipe."""
    for option, file in (("--png", png), ("--uri-file", uri_file)):
        if file:
            refuse_output(option, file, instead=Phrase("leave {option} out, on a terminal", option=option))
    if png and len(names) != 1:
        raise UsageError(Phrase("--png is for one account; for several: --uri-file FILE"))
    if not (png or uri_file or otherwise):
        never = Phrase(
            "the secret of a device is shown on a terminal or written to a new file, never to a pipe: type "
            "it on a terminal"
        )
        files = Phrase("{never}, or add --png FILE or --uri-file FILE", never=never)
        raise UsageError(never if sudo_service() else files)


def _picture(enrolment: Enrolment) -> str:
    """The QR code as this terminal can show it. Raises UsageError if it cannot."""
    try:
        blocks = "▀▄█".encode(sys.stdout.encoding) != b""
    except UnicodeEncodeError:
        blocks = False
    picture, columns = drawn(enrolment.uri, blocks=blocks)
    if not blocks and os.environ.get("TERM", "dumb") == "dumb":
        raise UsageError(
            Phrase(
                "this terminal cannot show a QR code (it has no UTF-8): add --png FILE, or --uri-file FILE. "
                "Nothing was changed"
            )
        )
    width = shutil.get_terminal_size((columns, 24)).columns
    if width < columns:
        raise UsageError(
            Phrase(
                "a QR code takes {columns} columns here, and this terminal has {width}: widen it, or add "
                "--png FILE, or --uri-file FILE. Nothing was changed",
                columns=columns,
                width=width,
            )
        )
    return picture


def _show_once(enrolment: Enrolment) -> None:
    key = translate(Phrase("key to type in, for codes by time: {key}", key=enrolment.key))
    put([_picture(enrolment), f"{enrolment.uri}\n", f"{key}\n"])
    say(
        Phrase(
            "scan it now: it is shown only once. A photograph of it is a copy of the device: clear the screen"
        )
    )


@with_shared_options
def verify(
    name: OneName,
    options: CodeOptions,
    code_file: CodeFile = None,
    proof_file: ProofFile = None,
    second_person: SecondPerson = False,
    allow: Allow = None,
) -> int:
    """Put a new device in force, with a code that it shows now.

    Reads the code on a terminal, otherwise from a line of stdin. Older devices end, and the code is used
    up. The command first asks for the NUMEN, or for a code of a device in force; an administrator skips
    this with --administrator and --reason.

    If the person has neither, --second-person with --reason requests the device, and another operator
    approves it with a code of the new device (`otp approve`).

    Example: piactl otp verify claire.dubreuil --proof-file numen.txt
    """
    refuse_input("--code-file", code_file)
    refuse_input("--proof-file", proof_file)
    options = replace(options, allow=allow)
    if second_person:
        return request_approval(DEVICE, [name], options, code_file, proof_file, options.administrator)
    command = begin(options, usual_reason=Phrase("verification"))

    def prepared(store: AccountStore) -> Batch:
        say_whom(command, store, name)
        return prepare_verification(
            store,
            identity_checks(command.configuration, store.reader),
            name,
            lambda label: ask_code(label, code_file),
            _proof(command, proof_file, store.reader, named=True, two="otp verify"),
            command.operation_guard(),
            command.author,
            utc_now,
            options.identity,
        )

    return command.decide(prepared)


def check(name: OneName, code_file: CodeFile = None, administrator: AsAdministrator = False) -> int:
    """Check a code of the device in force, for a portal that asks for codes itself (otp.enforced_by: portal).

    The portal checks the password first. The code is read as by `otp verify`, and is used up if it is good.
    Wrong codes are counted as there.

    Exit codes: 0 the code is good, 1 it is not, 4 the next check has to wait.

    Example: piactl otp check claire.dubreuil
    """
    refuse_input("--code-file", code_file)
    command = begin(CodeOptions(Phrase("log in"), administrator=administrator))
    configuration, identity = command.configuration, command.manner.identity
    with writing(configuration, identity) as writer:
        checks = identity_checks(configuration, writer)
        holder = find_holder(command.accounts(writer), name, identity)
        uid = holder.account.uid
        code = ask_code(Phrase("Code for {uid}", uid=uid), code_file)
        check_code(checks, holder.entry, code, command.run())
    display([translate(Phrase("{uid}: the code is good, and used up", uid=uid)), "\n"])
    return int(Exit.DONE)


@with_shared_options
def resync(name: OneName, options: CodeOptions) -> int:
    """Resynchronise a device whose clock is wrong, with two codes that follow each other.

    Reads the codes on a terminal, otherwise from stdin, one per line. otp.resync_minutes of the policy
    limits the error of the clock.

    Example: piactl otp resync claire.dubreuil
    """
    command = begin(options, usual_reason=Phrase("resynchronisation"))

    def prepared(store: AccountStore) -> Batch:
        say_whom(command, store, name)
        checks, reach = identity_checks(command.configuration, store.reader), store.policy.otp_reach
        return prepare_resync(store, checks, reach, name, ask_code, command.author, utc_now, options.identity)

    return command.decide(prepared)


@with_shared_options
def suspend(names: Names, options: DeskReasonOptions) -> int:
    """Suspend the device of accounts, such as a lost telephone. Log in is refused until another is verified.

    The password alone is not enough meanwhile. `otp resume` puts the same device in force again. Open
    sessions of services continue.

    Example: piactl otp suspend claire.dubreuil --reason "telephone lost"
    """
    command = begin(options, emergency=True)
    return command.decide(
        lambda store: prepare_suspension(store, names, command.author, utc_now(), options.identity)
    )


@with_shared_options
def resume(names: Names, options: DeskReasonOptions, proof_file: ProofFile = None) -> int:
    """Put a suspended device in force again, such as a telephone that was found.

    Asks for the NUMEN, because the finder may be somebody else. An administrator skips this with
    --administrator and --reason.

    Example: piactl otp resume claire.dubreuil --administrator --reason "telephone found"
    """
    refuse_input("--proof-file", proof_file)
    command, alone = begin(options), len(names) == 1
    return command.decide(
        lambda store: prepare_resumption(
            store,
            names,
            command.configuration.settings.password,
            _proof(command, proof_file, store.reader, alone=alone),
            command.author,
            options.identity,
        )
    )


@with_shared_options
def remove(
    names: Names,
    options: DeskReasonOptions,
    password_alone: Annotated[
        bool,
        typer.Option("--password-alone", help="Remove it although a service of the account asks for a code."),
    ] = False,
    proof_file: ProofFile = None,
    allow: Allow = None,
) -> int:
    """Remove the devices of accounts, and delete their secrets. The password alone is enough again.

    Refused if a service of the account asks for a code. For a lost telephone use `otp suspend`. If a device
    is in force or suspended, the command asks for a code of it or for the NUMEN; an administrator skips
    this with --administrator.

    Example: piactl otp remove claire.dubreuil --reason "never used"
    """
    refuse_input("--proof-file", proof_file)
    command, alone = begin(replace(options, allow=allow)), len(names) == 1
    return command.decide(
        lambda store: prepare_removal(
            store,
            store.policy,
            names,
            _proof(command, proof_file, store.reader, alone=alone),
            command.operation_guard(),
            command.author,
            options.identity,
            password_alone=password_alone,
        )
    )


def show(names: Names, output: ShowOutput = None) -> int:
    """Show the devices of accounts: which is in force, since when, its last use, the error of its clock.

    Services that always ask for a code are shown as blocked while no device is in force. Secrets are never
    shown.

    Example: piactl otp show claire.dubreuil
    """
    configuration = this_configuration()
    policy = configuration.policy
    with reading(configuration) as reader:
        accounts = configuration.accounts(reader)
        views, code = of_each(
            names, lambda name: devices_shown(accounts, policy, name), alone=len(names) == 1
        )
    show_views(views, lambda view: devices_text(view, policy.timezone), DEVICE_COLUMNS, output, single=False)
    return code


def _proof(
    command: AccountCommand,
    proof_file: str | None,
    writer: Any,
    *,
    alone: bool = True,
    named: bool = False,
    two: str = "",
) -> Prove:
    """Asks for the proof of identity before a device is put in force or removed, and checks it; an
    administrator gives a reason instead. A dry run asks for nothing. `alone`: one account is given; `named`:
    its person has been named; `two` as in `refuse_unprovable`."""
    configuration, order, manner = command.configuration, command.order, command.manner

    def prove(holder: DeviceHolder) -> None:
        account = holder.account
        if manner.identity == IdentityName.ADMINISTRATOR:
            if not manner.reason.strip():
                raise UsageError(
                    Phrase('{uid}: without a proof it needs a reason: add --reason "..."', uid=account.uid)
                )
            return
        instead = "--administrator", REASON
        if not alone:
            raise ActRefused(
                Phrase("{uid}: a proof of identity is for one account: name it alone", uid=account.uid)
            ).with_options(*instead)
        holdoff = configuration.settings.password.holdoff_days
        active = account.device not in ("", NO_DEVICE)
        if not active:
            refuse_unprovable(account, holdoff, order.as_of, instead, two)
        if manner.dry_run:
            return
        if not named:
            say_person(configuration, account, order.as_of)
        asked = Phrase("The NUMEN of {uid}", uid=account.uid)
        if active:
            asked = Phrase(
                "A code of {device}, or the NUMEN, of {uid}", device=account.device, uid=account.uid
            )
        numen, code = understood_proof(account, ask_secret(asked, proof_file, "--proof-file"))
        if numen is not None:
            refuse_unprovable(account, holdoff, order.as_of, instead, two)
        checks = identity_checks(configuration, writer)
        check_proof(checks, holder.entry, numen, code, command.run(), two)

    return prove


def ask_code(label: str, source: str | None = None) -> str:
    """A code: from `source` as `ask_secret` reads it, else asked for on a terminal, else the next line of
    stdin. Raises UsageError where there is none."""
    if source is not None:
        return ask_secret(label, source, "--code-file")
    if can_ask():
        print(translate(Phrase("{label}: ", label=label)), end="", file=sys.stderr, flush=True)
    try:
        with interruptible():
            line = sys.stdin.readline()
    except UnicodeDecodeError:
        line = ""
    if not line.strip():
        raise UsageError(
            Phrase("{label}: none was given; type it, or write it to stdin. Nothing was changed", label=label)
        )
    return line
