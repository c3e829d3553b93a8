"""`otp verify|show|suspend|resume|remove|resync`: one-time-code devices once they are made."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Annotated, Any

import typer

from piactl.cli import acting
from piactl.cli.accountnames import read_names
from piactl.cli.acting import ActOutput, DryRun, Manner, Names, Yes
from piactl.cli.context import layout_or_default, put, reading, say, this_site
from piactl.cli.options import Reason, ShowOutput
from piactl.errors import Exit, PiactlError, UsageError

OneName = Annotated[
    str, typer.Argument(metavar="ACCOUNT", help="A uid, an address or a matricule.", show_default=False)
]
AsAdministrator = Annotated[
    bool,
    typer.Option(
        "--administrator", help="Act as the administrator, not as the help desk: protected accounts."
    ),
]


def verify(
    name: OneName,
    reason: Reason = "",
    output: ActOutput = None,
    administrator: AsAdministrator = False,
) -> int:
    """Put a new device in force, with a code that it shows now.

    The code is asked for on a terminal, else read from stdin, one line. From then on older devices are no
    good; the code given here is used up.
    """
    from piactl.flows.enrolling import prepare_verification

    manner = desk_manner(reason or "verification", administrator, False, True, output)
    site, order, author = acting.begin(manner)
    return acting.decide(
        lambda writer: prepare_verification(writer, site, name, _ask, author, _now, manner.identity),
        manner,
        site,
        order,
    )


def resync(
    name: OneName,
    reason: Reason = "",
    output: ActOutput = None,
    administrator: AsAdministrator = False,
) -> int:
    """Make the codes of a telephone good again whose clock is wrong, from two that follow each other.

    They are asked for on a terminal, else read from stdin, one line each. How wrong the clock may be is a
    setting of the policy (otp.resync_minutes).
    """
    from piactl.flows.enrolling import prepare_resync

    manner = desk_manner(reason or "resynchronisation", administrator, False, True, output)
    site, order, author = acting.begin(manner)
    return acting.decide(
        lambda writer: prepare_resync(writer, site, name, _ask, author, _now, manner.identity),
        manner,
        site,
        order,
    )


def suspend(
    names: Names,
    reason: Reason = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    output: ActOutput = None,
    administrator: AsAdministrator = False,
) -> int:
    """Suspend the device of accounts (a lost telephone): logging in is refused until another is verified.

    The password alone does not log in meanwhile. `otp resume` gives the same device back. Sessions already
    open elsewhere go on.
    """
    from piactl.flows.enrolling import prepare_suspension

    manner = replace(desk_manner(reason, administrator, dry_run, yes, output), emergency=True)
    site, order, author = acting.begin(manner)
    wanted = read_names(names)
    return acting.decide(
        lambda reader: prepare_suspension(reader, site, wanted, author, _now(), manner.identity),
        manner,
        site,
        order,
    )


def resume(
    names: Names,
    reason: Reason = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    output: ActOutput = None,
    administrator: AsAdministrator = False,
) -> int:
    """Give a suspended device back: the telephone was found."""
    from piactl.flows.enrolling import prepare_resumption

    manner = desk_manner(reason, administrator, dry_run, yes, output)
    site, order, author = acting.begin(manner)
    wanted = read_names(names)
    return acting.decide(
        lambda reader: prepare_resumption(reader, site, wanted, author, manner.identity), manner, site, order
    )


def remove(
    names: Names,
    password_alone: Annotated[
        bool,
        typer.Option("--password-alone", help="Also where a service of the account asks for a code."),
    ] = False,
    reason: Reason = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    output: ActOutput = None,
    administrator: AsAdministrator = False,
) -> int:
    """Take the devices of accounts away: back to the password alone. Their secrets are deleted.

    Refused where a service of the account asks for a code. For a lost telephone use `otp suspend`.
    """
    from piactl.flows.enrolling import prepare_removal

    manner = desk_manner(reason, administrator, dry_run, yes, output)
    site, order, author = acting.begin(manner)
    wanted = read_names(names)
    return acting.decide(
        lambda reader: prepare_removal(
            reader, site, wanted, author, manner.identity, password_alone=password_alone
        ),
        manner,
        site,
        order,
    )


def show(names: Names, output: ShowOutput = None) -> int:
    """Show the devices of accounts: what is in force, since when, its last use, how wrong its clock is.

    Services that always ask for a code are shown as blocked while no device is in force. Never a secret.
    """
    from piactl.flows.enrolling import devices_shown
    from piactl.report.devicetext import COLUMNS, devices_text
    from piactl.report.tabular import rendered

    site = this_site()
    wanted = read_names(names)
    views, code = [], int(Exit.DONE)
    with reading(site) as reader:
        for name in wanted:
            try:
                views.append(devices_shown(reader, site, name))
            except PiactlError as error:
                if len(wanted) == 1:
                    raise
                say(str(error))
                code = int(Exit.PARTLY)
    if output is None:
        put(devices_text(view, site.policy.timezone) for view in views)
    else:
        put(rendered(views, COLUMNS, layout_or_default(output)))
    return code


def desk_manner(reason: str, administrator: bool, dry_run: bool, yes: bool, output: Any) -> Manner:
    """The help desk's identity unless more is asked for. No record of the run is left in the directory, for
    the desk may write none and an undo could not bring a secret back; the journal has it all."""
    identity = "administrator" if administrator else "desk"
    return Manner(reason, dry_run, yes, output, identity=identity, recorded=False)


def _ask(what: str) -> str:
    """A code, asked for on a terminal, else the next line of stdin. Raises UsageError where there is none."""
    if sys.stdin.isatty() and sys.stderr.isatty():
        print(f"{what}: ", end="", file=sys.stderr, flush=True)
    try:
        line = sys.stdin.readline()
    except UnicodeDecodeError:
        line = ""
    if not line.strip():
        raise UsageError(f"{what}: none was given; type it, or write it to stdin. Nothing was changed")
    return line


def _now() -> Any:
    from piactl.clock import utc_now

    return utc_now()
