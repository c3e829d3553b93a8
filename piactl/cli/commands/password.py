"""`password activate|reset|unblock|check`: first connections, forgotten passwords, blocks."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from piactl.cli.framework import account_batch as acting
from piactl.cli.framework.account_batch import ActOutput, DryRun, Manner, Names, Yes, read_names
from piactl.cli.framework.context import layout_or_default, put, reading, say, this_configuration, writing
from piactl.cli.framework.options import Reason, ShowOutput
from piactl.cli.framework.run_context import stop_on_signals
from piactl.cli.framework.terminal import ask_secret
from piactl.clock import utc_now
from piactl.core.model.account import NO_DEVICE
from piactl.errors import Exit, PiactlError, UsageError
from piactl.report.account_text import code_text
from piactl.report.table import rendered

if TYPE_CHECKING:
    from piactl.cli.framework.configuration import Configuration
    from piactl.core.model.policy import Policy
    from piactl.directory.port import Writer
    from piactl.flows.apply.run import Order
    from piactl.flows.helpdesk.activation import Coded, CodeFile, Given


# Handing out codes: to a terminal or a new file, and never one that was not set or that nobody can read.

Check = Callable[["Writer"], None]
"""The check of an identity; raises where it is not proved."""


def need_a_way(manner: Manner, to: str | None) -> None:
    """Raises UsageError where a code could reach nobody, or somebody it is not meant for."""
    if manner.dry_run or to:
        return
    if manner.output is not None:
        raise UsageError("printed results never hold a code: with -o add --to FILE")
    if not sys.stdout.isatty():
        raise UsageError(
            "a code is shown on a terminal or written to a new file, never to a pipe: add --to FILE"
        )


def hand_out(
    names: Sequence[str],
    manner: Manner,
    configuration: Configuration,
    order: Order,
    to: str | None,
    private_mail: bool,
    check: Check | None = None,
) -> int:
    """Prepares, asks, sets the codes, shows them; the exit code."""
    from piactl.flows.accounts.edit import Preparation
    from piactl.flows.helpdesk.activation import give_codes, prepare_codes

    need_a_way(manner, to)

    def prepared(reader: Any) -> tuple[list[Coded], Preparation]:
        store, rules = configuration.accounts(reader), configuration.rules(order.as_of)
        coded = prepare_codes(
            store, rules, configuration.settings, names, order.reason, _now(), manner.identity
        )
        return coded, Preparation(tuple(one.prepared for one in coded))

    if manner.dry_run:
        with reading(configuration) as reader:
            return acting.finish(prepared(reader)[1], manner, acting.foretold)
    with writing(configuration, manner.identity) as writer:
        coded, preparation = prepared(writer)
        if not preparation.writes:
            return acting.finish(preparation, manner, acting.foretold)
        if not acting.agreed(preparation, manner):
            say("nothing was changed")
            return int(Exit.FAILED)
        # signals are held back only while writing; a prompt may be left at once
        with stop_on_signals() as stop:
            file = _code_file(to, private_mail)
            try:
                if check is not None:
                    check(writer)
                if file is not None:
                    file.promise(_rows(configuration.policy, coded, None))
                given = give_codes(
                    writer,
                    order,
                    coded,
                    configuration.settings,
                    configuration.keys,
                    configuration.unreadable,
                    now=_now,
                    say=say,
                    stop=stop,
                )
            except PiactlError:  # with no code set
                if file is not None:
                    file.drop()
                raise
    lost = _kept(file, _rows(configuration.policy, coded, given))
    code = acting.finish(preparation, manner, given.became, run=order.run)
    if lost is None:
        _tell(configuration.policy, coded, given, to)
    error = given.error or lost
    if error is not None:
        raise error
    return code


def _code_file(to: str | None, private_mail: bool) -> CodeFile | None:
    from piactl.flows.helpdesk.activation import CodeFile

    return CodeFile(to, private_mail=private_mail) if to else None


def _kept(file: CodeFile | None, rows: Sequence[dict[str, str]]) -> PiactlError | None:
    try:
        if file is not None:
            file.keep(rows)
    except PiactlError as error:
        return error
    return None


def _rows(policy: Policy, coded: Sequence[Coded], given: Given | None) -> list[dict[str, str]]:
    """The rows of the file: of all codes, or, once given, of those that were set or may have been."""
    from piactl.flows.helpdesk.rate_limit import shown_time

    rows = []
    for one in coded:
        outcome = given.became(one.prepared)[0] if given is not None else ""
        if one.code is None or one.account is None or one.ends is None:
            continue
        if given is not None and outcome not in ("applied", "in doubt"):
            continue
        rows.append(
            {
                "uid": one.account.uid,
                "address": one.account.address or "",
                "display_name": one.account.display_name,
                "private_mail": _private_mail(policy.domain, one),
                "code": one.code.reveal(),
                "valid_until": shown_time(one.ends, policy.timezone),
                "outcome": outcome,
            }
        )
    return rows


def _private_mail(domain: str, one: Coded) -> str:
    """Nothing for an address that leads to the mailbox which the code is to open."""
    account = one.account
    mail = account.private_mail if account is not None else ""
    return "" if mail.casefold().endswith(f"@{domain.casefold()}") else mail


def _tell(policy: Policy, coded: Sequence[Coded], given: Given, to: str | None) -> None:
    """Shows the codes where no file has them, and says what follows."""

    rows = _rows(policy, coded, given)
    if not rows:
        return
    if to is None:
        put(
            code_text(row["uid"], row["display_name"], row["address"], row["code"], row["valid_until"])
            for row in rows
        )
        say("shown this once: read it out or hand it over, then clear the screen")
    else:
        say(f"the codes are in {to}, mode 0600; delete it once they are handed over")
    say("applications that still log in with an old password stop; sessions that are open go on to their end")


Administrator = Annotated[
    bool,
    typer.Option(
        "--administrator", help="Act as the administrator, not as the help desk: protected accounts."
    ),
]
To = Annotated[
    str | None,
    typer.Option(
        "--to", metavar="FILE", help="Write the codes to a new CSV file of mode 0600, for a mail merge."
    ),
]
PrivateMail = Annotated[
    bool, typer.Option("--private-mail", help="With --to: the private address of each person too.")
]


def activate(
    names: Names,
    to: To = None,
    private_mail: PrivateMail = False,
    reason: Reason = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    output: ActOutput = None,
    administrator: Administrator = False,
) -> int:
    """Give accounts a code for the first connection: a password for once, that must be changed at once.

    It is shown once, on a terminal, or written to a new file. It takes the place of any password, ends by
    itself (password.code_hours), and is never sent anywhere by piactl: hand it over, or send it by another
    way than the mailbox of the account.
    """
    manner = _manner(reason or "first connection", administrator, dry_run, yes, output)
    configuration, order, _ = acting.begin(manner)
    return hand_out(read_names(names), manner, configuration, order, to, private_mail)


def reset(
    names: Names,
    numen_file: Annotated[
        str | None,
        typer.Option("--numen-file", metavar="FILE", help="Where the NUMEN is; - for stdin."),
    ] = None,
    code_file: Annotated[
        str | None,
        typer.Option("--code-file", metavar="FILE", help="Where the one-time code is; - for stdin."),
    ] = None,
    without_check: Annotated[
        bool,
        typer.Option("--without-check", help="As the administrator, who knows the person: needs --reason."),
    ] = False,
    to: To = None,
    private_mail: PrivateMail = False,
    reason: Reason = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    output: ActOutput = None,
    administrator: Administrator = False,
) -> int:
    """Give an account a code for a forgotten password, once the person has proved who they are.

    The NUMEN is asked for, and a one-time code where a device is in force; on a terminal without echo, else
    from files or stdin. Wrong answers are counted for all hosts: after five the next has to wait, longer
    each time. Which answer was wrong is not said.
    """
    if without_check and not reason.strip():
        raise UsageError('a reset without a check of identity needs a reason: add --reason "..."')
    wanted = read_names(names)
    if not without_check and not dry_run and len(wanted) != 1:
        raise UsageError("an identity is checked for one account at a time; name one")
    asked = reason or "reset after a check of identity"
    manner = _manner(asked, administrator or without_check, dry_run, yes or not without_check, output)
    configuration, order, _ = acting.begin(manner)
    need_a_way(manner, to)
    check = None
    if not (without_check or dry_run):
        check = _identity_check(configuration, wanted[0], order, manner.identity, numen_file, code_file)
    return hand_out(wanted, manner, configuration, order, to, private_mail, check)


def unblock(
    names: Names,
    reason: Reason = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    output: ActOutput = None,
    administrator: Administrator = False,
) -> int:
    """Take a block by wrong passwords away. The password stays, and so does an administrator's lock.

    A block ends by itself after some time; this ends it now.
    """
    from piactl.flows.helpdesk.unblock import prepare_unblocking

    manner = _manner(reason or "unblocked", administrator, dry_run, yes, output)
    configuration, order, _ = acting.begin(manner)
    wanted = read_names(names)
    return acting.decide(
        lambda reader: prepare_unblocking(
            configuration.accounts(reader),
            configuration.rules(order.as_of),
            configuration.settings.password,
            wanted,
            order.reason,
            _now(),
            manner.identity,
        ),
        manner,
        configuration,
        order,
    )


def check(
    name: Annotated[
        str, typer.Argument(metavar="[ACCOUNT]", help="Whose password it is to be.", show_default=False)
    ] = "",
    password_file: Annotated[
        str | None,
        typer.Option("--password-file", metavar="FILE", help="Where the password is; - for stdin."),
    ] = None,
    output: ShowOutput = None,
) -> int:
    """Check a new password against the rules, and say everything that is wrong with it. Changes nothing.

    It is asked for on a terminal without echo, else read from a line of stdin. Exit code 0 where it is good,
    1 where not.
    """
    from piactl.flows.helpdesk.password_check import check_password
    from piactl.flows.queries.accounts import find_entry

    configuration = this_configuration()
    source = password_file or (None if sys.stdin.isatty() else "-")
    password = ask_secret("The new password", source, "--password-file")
    with reading(configuration) as reader:
        entry = find_entry(configuration.accounts(reader), name) if name else None
        checked = check_password(reader, configuration.settings.password, entry, password)
    for remark in checked.remarks:
        say(remark)
    if output is None:
        put([*(f"{problem}\n" for problem in checked.problems)] or [f"good ({checked.minimum} or more)\n"])
    else:
        facts = {
            "uid": checked.uid or None,
            "good": not checked.problems,
            "minimum": checked.minimum,
            "problems": list(checked.problems),
        }
        put(rendered([facts], tuple(facts), layout_or_default(output)))
    return int(Exit.FAILED if checked.problems else Exit.DONE)


def _manner(reason: str, administrator: bool, dry_run: bool, yes: bool, output: Any) -> Manner:
    """The help desk's identity unless more is asked for; no record in the directory, for no undo could bring
    a password back; the journal has it all."""
    identity = "administrator" if administrator else "desk"
    return Manner(reason, dry_run, yes, output, identity=identity, recorded=False)


def _identity_check(
    configuration: Configuration,
    name: str,
    order: Order,
    identity: str,
    numen_file: str | None,
    code_file: str | None,
) -> Check:
    """Asks for what proves who somebody is; the check itself is made once the directory can be written."""
    from piactl.flows.helpdesk.activation import refuse_code
    from piactl.flows.helpdesk.identity_proof import (
        journalled_trace,
        proof_by_device,
        prove,
        refuse_unprovable,
        understood_numen,
    )
    from piactl.flows.queries.accounts import career_and_status, find_entry

    with reading(configuration, identity) as reader:
        entry = find_entry(configuration.accounts(reader), name)
    account = entry.account
    policy, register = configuration.policy, configuration.register
    _, status = career_and_status(account, policy, register, order.as_of)
    refuse_code(account, status, order.as_of, identity)
    refuse_unprovable(account)
    numen = understood_numen(ask_secret(f"NUMEN of {account.uid}", numen_file, "--numen-file"))
    code = None
    if account.device not in ("", NO_DEVICE):
        code = ask_secret(f"One-time code of {account.uid}", code_file, "--code-file")

    def made(writer: Writer) -> None:
        settings, keys, unreadable = configuration.settings, configuration.keys, configuration.unreadable
        encoding = configuration.encoding
        by_device = proof_by_device(
            writer, order, entry, encoding, settings, keys, unreadable, now=_now, say=say
        )
        trace = journalled_trace(writer, order, settings, keys, unreadable, now=_now, say=say)
        checks = configuration.identity_checks(writer)
        prove(checks, account, numen, code, by_device, _now(), trace)

    return made


def _now() -> datetime:
    return utc_now()
