"""`account create|rename|lock|unlock|close|reopen`: one-off changes of accounts."""

from __future__ import annotations

from typing import Annotated

import typer

from piactl.cli.framework.account_batch import Manner, begin
from piactl.cli.framework.options import (
    ActAsOf,
    ActOutput,
    Allow,
    DryRun,
    LastDay,
    Names,
    NeededLastDay,
    Reason,
    Yes,
    read_date,
    read_names,
)
from piactl.core.edits import accounts
from piactl.errors import UsageError


def lock(
    names: Names,
    reason: Reason = "",
    until: LastDay = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    output: ActOutput = None,
    allow: Allow = None,
    as_of: ActAsOf = None,
) -> int:
    """Lock accounts at once, whatever the HR data say. A password reset does not lift the lock.

    The lock ends after --until, or with `account unlock`. Open sessions of services continue; piactl calls
    the commands under hooks.changes of the configuration, which can end them.
    """
    command = begin(Manner(reason, dry_run, yes, output, allow or (), as_of, emergency=True))
    return command.act_on(names, accounts.lock(command.author, read_date("--until", until)))


def unlock(
    names: Names,
    reason: Reason = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    output: ActOutput = None,
    allow: Allow = None,
    as_of: ActAsOf = None,
) -> int:
    """Lift an administrator's lock. The dates of HR apply again at once."""
    command = begin(Manner(reason, dry_run, yes, output, allow or (), as_of))
    return command.act_on(names, accounts.unlock(command.author))


def close(
    names: Names,
    reason: Reason = "",
    from_: Annotated[
        str | None, typer.Option("--from", metavar="DATE", help="The first closed day; today by default.")
    ] = None,
    grace: Annotated[int, typer.Option("--grace", min=0, max=3660, help="Days of grace from that day.")] = 0,
    until: LastDay = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    output: ActOutput = None,
    allow: Allow = None,
    as_of: ActAsOf = None,
) -> int:
    """Close accounts: all their assignments end the day before, without grace unless --grace is given.

    For a person in the HR data --until is required; after that day the HR data apply again. An assignment
    that starts after the closure reopens the account. In an emergency use `account lock`.
    """
    command = begin(Manner(reason, dry_run, yes, output, allow or (), as_of, emergency=True))
    day = read_date("--from", from_) or command.order.as_of
    return command.act_on(names, accounts.close(command.author, day, read_date("--until", until), grace))


def reopen(
    names: Names,
    reason: Reason = "",
    until: LastDay = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    output: ActOutput = None,
    allow: Allow = None,
    as_of: ActAsOf = None,
) -> int:
    """Reopen closed accounts: end a closure by hand or, with --until, renew the last assignment from today to
    that day. A lock stays.
    """
    command = begin(Manner(reason, dry_run, yes, output, allow or (), as_of))
    return command.act_on(names, accounts.reopen(command.author, read_date("--until", until)))


def extend(
    names: Names,
    until: NeededLastDay = None,
    reason: Reason = "",
    sponsor: Annotated[
        str,
        typer.Option(
            "--sponsor", help="The account that is responsible from now on, for a person not in HR data."
        ),
    ] = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    output: ActOutput = None,
    allow: Allow = None,
    as_of: ActAsOf = None,
) -> int:
    """Extend accounts to a day: the assignments that end last go on, and a closed account is reopened.

    The rights go on without a gap. The extension ends by itself once HR has it too. --sponsor also changes
    the sponsor, or only the sponsor if the accounts last until that day already.
    """
    from piactl.flows.accounts.sponsors import prepare_extension

    command = begin(Manner(reason, dry_run, yes, output, allow or (), as_of))
    last_day = read_date("--until", until)
    if last_day is None:
        raise UsageError("the new last day is missing: add --until DATE")
    wanted, author, reason = read_names(names), command.author, command.order.reason
    return command.edit(
        lambda store, rules: prepare_extension(store, rules, wanted, author, last_day, sponsor, reason)
    )


def rename(
    account: Annotated[str, typer.Argument(metavar="ACCOUNT", help="A uid, an address or a matricule.")],
    usage_name: Annotated[
        str | None,
        typer.Option("--usage-name", help='The new usage name; "" for the family name alone. [required]'),
    ] = None,
    reason: Reason = "",
    until: LastDay = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    output: ActOutput = None,
    as_of: ActAsOf = None,
) -> int:
    """Change the usage name of a person. The address follows; the old one becomes an alias.

    A return to a former name restores the former address. The uid never changes. For a person in the HR data
    --until is required, so that HR can correct its data by then.
    """

    if usage_name is None:
        raise UsageError('the new name is missing: add --usage-name NAME, or --usage-name "" for none')
    command = begin(Manner(reason, dry_run, yes, output, (), as_of))
    act = accounts.rename(command.author, usage_name.strip(), read_date("--until", until))
    return command.act_on([account], act)


def create(
    family_name: Annotated[
        str, typer.Option("--family-name", help="As on the identity card. [required]")
    ] = "",
    given_name: Annotated[str, typer.Option("--given-name", help="The first names. [required]")] = "",
    uai: Annotated[str, typer.Option("--uai", help="The establishment. [required]")] = "",
    function: Annotated[
        str, typer.Option("--function", help="The function code, as ENS or ADM. [required]")
    ] = "",
    until: NeededLastDay = None,
    sponsor: Annotated[
        str, typer.Option("--sponsor", help="The account of the person who is responsible for it. [required]")
    ] = "",
    reason: Reason = "",
    from_: Annotated[
        str | None, typer.Option("--from", metavar="DATE", help="The first day; today by default.")
    ] = None,
    usage_name: Annotated[str, typer.Option("--usage-name")] = "",
    civilite: Annotated[str, typer.Option("--civilite", help="M. or MME.")] = "",
    corps: Annotated[str, typer.Option("--corps", help="The code of the corps, if any.")] = "",
    private_mail: Annotated[str, typer.Option("--private-mail")] = "",
    matricule: Annotated[
        str, typer.Option("--matricule", help="The matricule of the person; made up by default.")
    ] = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    output: ActOutput = None,
    as_of: ActAsOf = None,
) -> int:
    """Create an account for a person who is not in the HR data: an external speaker, a private contract.

    The account gets an address by the usual rule and its rights from the function, and ends after --until.
    The matricule of a person who left restores that person's account and addresses.
    """
    from piactl.flows.accounts.create import Newcomer, prepare_newcomer

    manner = Manner(reason, dry_run, yes, output, (), as_of)
    newcomer = Newcomer(
        family_name=family_name,
        given_name=given_name,
        usage_name=usage_name,
        civilite=civilite,
        private_mail=private_mail,
        matricule=matricule,
        uai=uai,
        function=function,
        corps=corps,
        start=read_date("--from", from_),
        until=read_date("--until", until),
        sponsor=sponsor,
    )
    command = begin(manner)
    return command.edit(
        lambda store, rules: prepare_newcomer(store, rules, newcomer, command.author, command.order.reason)
    )
