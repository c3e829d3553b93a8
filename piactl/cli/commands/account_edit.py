"""`account create|rename|lock|unlock|close|reopen`: one-off changes of accounts."""

from __future__ import annotations

from typing import Annotated

import typer

from piactl.cli.framework import account_batch as acting
from piactl.cli.framework.account_batch import Manner
from piactl.cli.framework.options import (
    ActAsOf,
    ActOutput,
    Allow,
    DryRun,
    LastDay,
    Names,
    Reason,
    Yes,
    read_date,
)
from piactl.core.edits import closing, locks
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
    """Lock accounts at once, whatever HR says; a password reset does not undo it.

    The lock ends with --until, else with `account unlock`. Sessions already open elsewhere go on; the
    command under hooks.lock of the configuration is called.
    """

    manner = Manner(reason, dry_run, yes, output, allow or (), as_of, emergency=True)
    configuration, order, author = acting.begin(manner)
    return acting.act_on(names, locks.lock(author, read_date("--until", until)), manner, configuration, order)


def unlock(
    names: Names,
    reason: Reason = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    output: ActOutput = None,
    allow: Allow = None,
    as_of: ActAsOf = None,
) -> int:
    """Lift an administrator's lock. What HR's dates say holds again at once."""

    manner = Manner(reason, dry_run, yes, output, allow or (), as_of)
    configuration, order, author = acting.begin(manner)
    return acting.act_on(names, locks.unlock(author), manner, configuration, order)


def close(
    names: Names,
    reason: Reason = "",
    from_: Annotated[
        str | None, typer.Option("--from", metavar="DATE", help="The first closed day; today without it.")
    ] = None,
    grace: Annotated[
        int, typer.Option("--grace", min=0, max=3660, help="Days of grace from that day on.")
    ] = 0,
    until: LastDay = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    output: ActOutput = None,
    allow: Allow = None,
    as_of: ActAsOf = None,
) -> int:
    """Close accounts: all their assignments end the day before, without grace unless it is given.

    For a person of HR the closure holds to --until, which must be given; then HR's word holds again. An
    assignment that starts after the closure opens the account again. For an emergency use `account lock`.
    """

    manner = Manner(reason, dry_run, yes, output, allow or (), as_of, emergency=True)
    configuration, order, author = acting.begin(manner)
    day = read_date("--from", from_) or order.as_of
    return acting.act_on(
        names, closing.close(author, day, read_date("--until", until), grace), manner, configuration, order
    )


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
    """Open closed accounts again: take back a closure by hand, or, with --until, give the last assignment
    anew from today to that day. A lock stays a lock.
    """

    manner = Manner(reason, dry_run, yes, output, allow or (), as_of)
    configuration, order, author = acting.begin(manner)
    return acting.act_on(
        names, closing.reopen(author, read_date("--until", until)), manner, configuration, order
    )


def rename(
    account: Annotated[str, typer.Argument(metavar="ACCOUNT", help="A uid, an address or a matricule.")],
    usage_name: Annotated[
        str | None, typer.Option("--usage-name", help='The new usage name; "" for the family name alone.')
    ] = None,
    reason: Reason = "",
    until: LastDay = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    output: ActOutput = None,
    as_of: ActAsOf = None,
) -> int:
    """Give a person another usage name. The address follows; the old one still leads to the account.

    Going back to a former name takes the former address back. The uid never changes. For a person of HR
    the name holds to --until, which is required: HR can correct its data by then.
    """

    if usage_name is None:
        raise UsageError('the new name is missing: add --usage-name NAME, or --usage-name "" for none')
    manner = Manner(reason, dry_run, yes, output, (), as_of)
    configuration, order, author = acting.begin(manner)
    act = closing.rename(author, usage_name.strip(), read_date("--until", until))
    return acting.act_on([account], act, manner, configuration, order)


def create(
    family_name: Annotated[str, typer.Option("--family-name", help="As on the identity card.")] = "",
    given_name: Annotated[str, typer.Option("--given-name")] = "",
    uai: Annotated[str, typer.Option("--uai", help="The establishment.")] = "",
    function: Annotated[str, typer.Option("--function", help="The function code, as ENS or ADM.")] = "",
    end: Annotated[str | None, typer.Option("--end", metavar="DATE", help="The last day; needed.")] = None,
    sponsor: Annotated[str, typer.Option("--sponsor", help="The account of who answers for it.")] = "",
    reason: Reason = "",
    start: Annotated[
        str | None, typer.Option("--start", metavar="DATE", help="The first day; today without it.")
    ] = None,
    usage_name: Annotated[str, typer.Option("--usage-name")] = "",
    civilite: Annotated[str, typer.Option("--civilite", help="M. or MME.")] = "",
    corps: Annotated[str, typer.Option("--corps", help="The code of the corps, where there is one.")] = "",
    private_mail: Annotated[str, typer.Option("--private-mail")] = "",
    matricule: Annotated[
        str, typer.Option("--matricule", help="One that stands for the person; made up without it.")
    ] = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    output: ActOutput = None,
    as_of: ActAsOf = None,
) -> int:
    """Make an account for a person whom HR does not know: an external speaker, a private contract.

    It gets its address by the same rule as everybody, its rights from the function, and ends by itself.
    With the matricule of somebody who left, that person's own account and addresses come back.
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
        start=read_date("--start", start),
        end=read_date("--end", end),
        sponsor=sponsor,
    )
    configuration, order, author = acting.begin(manner)
    return acting.decide(
        lambda reader: prepare_newcomer(
            configuration.accounts(reader),
            configuration.rules(order.as_of),
            newcomer,
            author,
            order.reason,
        ),
        manner,
        configuration,
        order,
    )
