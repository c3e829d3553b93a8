"""`account rekey|merge|split`: whose account a matricule is."""

from __future__ import annotations

from typing import Annotated

import typer

from piactl.cli.framework import account_batch as acting
from piactl.cli.framework.account_batch import Manner
from piactl.cli.framework.options import ActAsOf, ActOutput, DryRun, Reason, Yes

One = Annotated[str, typer.Argument(metavar="ACCOUNT", help="A uid, an address or a matricule.")]


def rekey(
    account: One,
    old: Annotated[str, typer.Option("--from", metavar="MATRICULE", help="The matricule that HR gave up.")],
    new: Annotated[str, typer.Option("--to", metavar="MATRICULE", help="The one that HR gave instead.")],
    reason: Reason = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    output: ActOutput = None,
    as_of: ActAsOf = None,
) -> int:
    """Give a person the matricule that HR gave instead of another one. The account stays as it is.

    A matricule of a source with a namespace of its own is NAMESPACE:MATRICULE.
    """
    from piactl.flows.accounts.matricules import prepare_rekey

    manner = Manner(reason, dry_run, yes, output, (), as_of)
    configuration, order, author = acting.begin(manner)
    return acting.decide(
        lambda reader: prepare_rekey(
            configuration.accounts(reader),
            configuration.rules(order.as_of),
            account,
            old,
            new,
            author,
            configuration.unreadable,
        ),
        manner,
        configuration,
        order,
    )
