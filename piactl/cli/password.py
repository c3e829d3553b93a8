"""`password activate|reset|unblock|check`: first connections, forgotten passwords, blocks."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from piactl.cli import acting
from piactl.cli.accountnames import read_names
from piactl.cli.acting import ActOutput, DryRun, Manner, Names, Yes
from piactl.cli.asking import ask_secret
from piactl.cli.context import layout_or_default, put, reading, say, this_site
from piactl.cli.handout import Check, hand_out, need_a_way
from piactl.cli.options import Reason, ShowOutput
from piactl.errors import Exit, UsageError

if TYPE_CHECKING:
    from piactl.directory.port import Writer
    from piactl.flows.running import Order
    from piactl.flows.site import Site

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
    site, order, _ = acting.begin(manner)
    return hand_out(read_names(names), manner, site, order, to, private_mail)


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
    site, order, _ = acting.begin(manner)
    need_a_way(manner, to)
    check = None
    if not (without_check or dry_run):
        check = _identity_check(site, wanted[0], order, manner.identity, numen_file, code_file)
    return hand_out(wanted, manner, site, order, to, private_mail, check)


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
    from piactl.flows.unblocking import prepare_unblocking

    manner = _manner(reason or "unblocked", administrator, dry_run, yes, output)
    site, order, _ = acting.begin(manner)
    wanted = read_names(names)
    return acting.decide(
        lambda reader: prepare_unblocking(reader, site, wanted, order, _now(), manner.identity),
        manner,
        site,
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
    from piactl.flows.checking import check_password

    site = this_site()
    source = password_file or (None if sys.stdin.isatty() else "-")
    password = ask_secret("The new password", source, "--password-file")
    with reading(site) as reader:
        checked = check_password(reader, site, name, password)
    for remark in checked.remarks:
        say(remark)
    if output is None:
        put([*(f"{problem}\n" for problem in checked.problems)] or [f"good ({checked.minimum} or more)\n"])
    else:
        from piactl.report.tabular import rendered

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
    site: Site, name: str, order: Order, identity: str, numen_file: str | None, code_file: str | None
) -> Check:
    """Asks for what proves who somebody is; the check itself is made once the directory can be written."""
    from piactl.core.devices import NO_DEVICE
    from piactl.flows.activating import refuse_code
    from piactl.flows.proving import (
        journalled_trace,
        proof_by_device,
        prove,
        refuse_unprovable,
        understood_numen,
    )
    from piactl.flows.reviewing import account_on, find_entry

    with reading(site, identity) as reader:
        entry = find_entry(reader, site, name)
    account = entry.account
    refuse_code(account, account_on(account, site, order.as_of)[1], order.as_of, identity)
    refuse_unprovable(account)
    numen = understood_numen(ask_secret(f"NUMEN of {account.uid}", numen_file, "--numen-file"))
    code = None
    if account.device not in ("", NO_DEVICE):
        code = ask_secret(f"One-time code of {account.uid}", code_file, "--code-file")

    def made(writer: Writer) -> None:
        by_device = proof_by_device(site, writer, order, entry, now=_now, say=say)
        trace = journalled_trace(site, writer, order, now=_now, say=say)
        prove(writer, site, account, numen, code, by_device, _now(), trace)

    return made


def _now() -> datetime:
    from piactl.clock import utc_now

    return utc_now()
