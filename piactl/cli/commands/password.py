"""`password activate|reset|unblock|check`: first connections, forgotten passwords, blocks."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from piactl.cli.framework.account_command import AccountCommand, IdentityCheck, Manner, begin
from piactl.cli.framework.configuration import this_configuration
from piactl.cli.framework.help_desk import DeskOptions, identity_checks, request_approval, say_person
from piactl.cli.framework.open_directory import reading
from piactl.cli.framework.options import (
    Allow,
    Names,
    SecondPerson,
    ShowOutput,
    with_shared_options,
)
from piactl.cli.framework.output import display, say, show_rows, typed_again
from piactl.cli.framework.terminal import ask_secret
from piactl.clock import utc_now
from piactl.core.model.settings import IdentityName
from piactl.core.plan.change import PASSWORD
from piactl.directory.interfaces import Reader, Writer
from piactl.edits.account_store import find_entry
from piactl.edits.carry_out_batch import Batch
from piactl.errors import REASON, Exit, UsageError
from piactl.helpdesk.activation_passwords import ActivationDelivery
from piactl.helpdesk.identity_proof import check_proof, proof_needed, reset_terms, understood_numen
from piactl.helpdesk.new_password_check import check_password
from piactl.helpdesk.unblock import prepare_unblocking
from piactl.host.caller import sudo_service
from piactl.host.private_files import refuse_existing, refuse_input, refuse_output, refuse_shared_stdout
from piactl.phrase import Phrase
from piactl.report.account_text import activation_text
from piactl.translation import translate


def hand_out(
    command: AccountCommand,
    names: Sequence[str],
    to: str | None,
    private_mail: bool,
    check: IdentityCheck | None = None,
    *,
    first_only: bool = False,
    approving: Callable[[Reader, Batch], Batch] = lambda _, batch: batch,
) -> int:
    """Sets activation passwords, shows them where no file has them, and says what follows; the exit code."""
    command = replace(command, manner=replace(command.manner, secrets_on_stdout=to == "-"))
    configuration, reason = command.configuration, command.order.reason
    rules, identity = configuration.rules(command.order.as_of), command.manner.identity
    guard = command.operation_guard()
    delivery = ActivationDelivery(
        configuration.settings, rules, guard, to, private_mail, first_only=first_only
    )

    def show() -> None:
        if not delivery.rows:
            return
        if to is None:
            display(
                activation_text(
                    row["uid"],
                    row["display_name"],
                    row["address"],
                    row["activation_password"],
                    row["valid_until"],
                )
                for row in delivery.rows
            )
            say(Phrase("shown this once: read it out or hand it over, then clear the screen"))
        else:
            file = Phrase("your file") if to == "-" else Phrase("{file}, mode 0600", file=to)
            say(
                Phrase(
                    "the activation passwords are in {file}; delete it once they are handed over", file=file
                )
            )
        if not first_only:
            say(Phrase("applications that still log in with an old password stop; open sessions continue"))

    return command.decide(
        lambda store: approving(store.reader, delivery.prepare(store, names, reason, utc_now(), identity)),
        delivery,
        show,
        everywhere=True,
        check=check,
    )


def refuse_unsafe_way(manner: Manner, to: str | None) -> None:
    """Raises UsageError if an activation password would reach nobody, or a person who must not have it."""
    user = sudo_service()
    again = typed_again(("--out -",))
    own_file = Phrase("add --out FILE")
    if user:
        own_file = Phrase("for a new file of yours: (umask 077; {command} >FILE)", command=again)
    if to and to != "-":
        refuse_output("--out", to, instead=own_file)
    if to == "-" and manner.output is not None:
        raise UsageError(Phrase("--out - takes stdout for the passwords: leave -o out"))
    if manner.dry_run:
        return
    if to and to != "-":
        refuse_existing(Path(to))
    if to == "-":
        refuse_shared_stdout("--out -")
    elif not to and manner.output is not None:
        without = Phrase("leave -o out") if user else Phrase("with -o add --out FILE")
        raise UsageError(
            Phrase("printed results never hold an activation password: {without}", without=without)
        )
    elif not to and not sys.stdout.isatty():
        raise UsageError(
            Phrase(
                "an activation password is shown on a terminal or written to a new file, never to a pipe: "
                "type it on a terminal, or {own_file}",
                own_file=own_file,
            )
        )


To = Annotated[
    str | None,
    typer.Option(
        "--out",
        metavar="FILE",
        help="Write the passwords to a new CSV file (mode 0600), for a mail merge; - is stdout, such a file.",
    ),
]
PrivateMail = Annotated[
    bool, typer.Option("--private-mail", help="With --out: add the private address of each person.")
]


NumenFile = Annotated[
    str | None,
    typer.Option("--numen-file", metavar="FILE", help="Read the NUMEN from this file; - is stdin."),
]
OneTimeCodeFile = Annotated[
    str | None,
    typer.Option(
        "--one-time-code-file", metavar="FILE", help="Read the one-time code from this file; - is stdin."
    ),
]


@with_shared_options
def activate(
    names: Names,
    options: DeskOptions,
    numen_file: NumenFile = None,
    one_time_code_file: OneTimeCodeFile = None,
    to: To = None,
    private_mail: PrivateMail = False,
    allow: Allow = None,
) -> int:
    """Give accounts an activation password. It works for one log in; its owner has to replace it at once.

    For accounts whose owner has not chosen a password yet. Asks for a proof of identity as `password reset`
    does, which is for the others. --administrator goes without a proof, also for many accounts. The
    activation password is shown once, on a terminal, or written to a new file. It replaces any password; of
    several accounts, those with an unused one keep that. It expires (password.activation_hours). piactl sends
    it nowhere: hand it over, or send it by another way than the mailbox of the account.

    Example: piactl password activate claire.dubreuil --numen-file numen.txt --out password.csv
    """
    refuse_input("--numen-file", numen_file)
    refuse_input("--one-time-code-file", one_time_code_file)
    options = replace(options, allow=allow)
    checked = not options.administrator and not options.dry_run
    if checked and len(names) != 1:
        file = () if to or sys.stdout.isatty() else ("--out passwords.csv",)
        raise UsageError(
            Phrase(
                "an identity is checked for one account at a time; name one\n"
                "An administrator gives many activation passwords"
            )
        ).with_options("--administrator", *file)
    command = begin(options, usual_reason=Phrase("first connection"))
    refuse_unsafe_way(options, to)
    check = None
    if checked:
        files = numen_file, one_time_code_file
        check = _identity_check(command, names[0], *files, ("--administrator", REASON))
    return hand_out(command, names, to, private_mail, check, first_only=True)


@with_shared_options
def reset(
    names: Names,
    options: DeskOptions,
    numen_file: NumenFile = None,
    one_time_code_file: OneTimeCodeFile = None,
    without_check: Annotated[
        bool,
        typer.Option(
            "--without-check",
            help="Skip the proof, as the administrator, who knows the person; needs --reason.",
        ),
    ] = False,
    to: To = None,
    private_mail: PrivateMail = False,
    second_person: SecondPerson = False,
    allow: Allow = None,
) -> int:
    """Give an account an activation password after a proof of identity.

    Asks for the NUMEN, and for a one-time code if a device is in force: on a terminal without echo,
    otherwise from files or stdin. Wrong answers are counted for all hosts: after five, the next attempt has
    to wait, longer each time. The command does not say which answer was wrong.

    If the person cannot prove who they are, --second-person with --reason requests the password, and
    another operator approves it (`password approve`).

    Example: piactl password reset claire.dubreuil --numen-file numen.txt --out password.csv
    """
    refuse_input("--numen-file", numen_file)
    refuse_input("--one-time-code-file", one_time_code_file)
    options = replace(options, allow=allow)
    if second_person:
        others = (numen_file, one_time_code_file, without_check, to, private_mail, options.administrator)
        return request_approval(PASSWORD, names, options, *others)
    terms = reset_terms(
        names,
        options.reason,
        administrator=options.administrator,
        without_check=without_check,
        dry_run=options.dry_run,
    )
    administrator = terms.identity == IdentityName.ADMINISTRATOR
    manner = replace(options, administrator=administrator)
    command = begin(manner, usual_reason=terms.reason)
    refuse_unsafe_way(options, to)
    check = None
    if terms.checked and not options.dry_run:
        files = numen_file, one_time_code_file
        check = _identity_check(command, names[0], *files, ("--without-check", REASON))
    return hand_out(command, names, to, private_mail, check)


@with_shared_options
def unblock(names: Names, options: DeskOptions) -> int:
    """Lift a block by wrong passwords. The password stays, and so does an administrator's lock.

    A block ends by itself after some time; this command ends it now.

    Example: piactl password unblock claire.dubreuil
    """
    command = begin(options, usual_reason=Phrase("unblocked"))
    return command.decide(
        lambda store: prepare_unblocking(
            store,
            command.configuration.settings.password,
            names,
            command.order.reason,
            utc_now(),
            options.identity,
        )
    )


def check(
    name: Annotated[
        str,
        typer.Argument(metavar="[ACCOUNT]", help="The account that the password is for.", show_default=False),
    ] = "",
    password_file: Annotated[
        str | None,
        typer.Option("--password-file", metavar="FILE", help="Read the password from this file; - is stdin."),
    ] = None,
    output: ShowOutput = None,
) -> int:
    """Check a new password against the rules, and report everything that is wrong with it. Changes nothing.

    Reads the password on a terminal without echo, otherwise from a line of stdin.

    Exit codes: 0 the password is good, 1 it is not.

    Example: piactl password check claire.dubreuil
    """
    configuration = this_configuration()
    source = password_file or (None if sys.stdin.isatty() else "-")
    password = ask_secret(Phrase("The new password"), source, "--password-file")
    with reading(configuration) as reader:
        entry = find_entry(configuration.accounts(reader), name) if name else None
        checked = check_password(reader, configuration.settings.password, entry, password)
    for remark in checked.remarks:
        say(remark)
    if output is None:
        display(
            [f"{translate(problem)}\n" for problem in checked.problems]
            or [translate(Phrase("good ({minimum} or more)", minimum=checked.minimum)), "\n"]
        )
    else:
        facts = {
            "uid": checked.uid or None,
            "good": not checked.problems,
            "minimum": checked.minimum,
            "problems": list(checked.problems),
        }
        show_rows([facts], tuple(facts), output)
    return int(Exit.FAILED if checked.problems else Exit.DONE)


def _identity_check(
    command: AccountCommand,
    name: str,
    numen_file: str | None,
    one_time_code_file: str | None,
    instead: Sequence[str],
) -> IdentityCheck:
    """Asks for the proof of identity; it is checked before the operator is asked. `instead` are the
    options of an administrator who goes without."""
    configuration, identity = command.configuration, command.manner.identity
    with reading(configuration, identity) as reader:
        holdoff = configuration.settings.password.holdoff_days
        needed = proof_needed(configuration.accounts(reader), name, identity, holdoff, instead)
    uid = needed.entry.account.uid
    say_person(configuration, needed.entry.account, command.order.as_of)
    numen = understood_numen(ask_secret(Phrase("NUMEN of {uid}", uid=uid), numen_file, "--numen-file"))
    code = None
    if needed.one_time_code:
        code = ask_secret(
            Phrase("One-time code of {uid}", uid=uid), one_time_code_file, "--one-time-code-file"
        )
    run = command.run()

    def check(writer: Writer) -> None:
        checks = identity_checks(configuration, writer)
        check_proof(checks, needed.entry, numen, code, run, "password reset")

    return check
