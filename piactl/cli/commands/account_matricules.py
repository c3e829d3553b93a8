"""`account rekey|merge|split`: whose account a matricule is."""

from __future__ import annotations

from typing import Annotated

import typer

from piactl.cli.framework.account_batch import Manner, begin
from piactl.cli.framework.options import ActAsOf, ActOutput, Allow, DryRun, Reason, Yes

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

    command = begin(Manner(reason, dry_run, yes, output, (), as_of))
    return command.edit(lambda store, rules: prepare_rekey(store, rules, account, old, new, command.author))


def merge(
    source: Annotated[str, typer.Argument(metavar="FROM", help="The account that ends.")],
    into: Annotated[str, typer.Argument(metavar="INTO", help="The account that lives on.")],
    reason: Reason = "",
    administrator: Annotated[
        bool, typer.Option("--administrator", help="Merge protected accounts as well.")
    ] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    output: ActOutput = None,
    allow: Allow = None,
    as_of: ActAsOf = None,
) -> int:
    """Merge two accounts of one person: INTO lives on with the matricules, assignments, exceptions and
    overrides of both, and FROM's addresses lead to it.

    Password and devices of FROM end, and only its uid stays, which names INTO. After a crash the next night
    or command finishes the merge. `undo` takes it back, but for password and devices.
    """
    from piactl.flows.accounts.merge import prepare_merge

    command = begin(Manner(reason, dry_run, yes, output, allow or (), as_of))
    return command.edit(
        lambda store, rules: prepare_merge(
            store, rules, source, into, command.author, protected=administrator
        )
    )


def split(
    account: One,
    matricule: Annotated[
        str, typer.Option("--matricule", metavar="MATRICULE", help="The matricule of the other person.")
    ],
    reason: Reason = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    output: ActOutput = None,
    allow: Allow = None,
    as_of: ActAsOf = None,
) -> int:
    """Split an account that two people have: a matricule and the assignments that HR lists under it go to a
    new account, with a name of its own by the rules.

    ACCOUNT keeps its addresses. Password and devices end, and both people need a first log in. To take it
    back, merge the new account.
    """
    from piactl.flows.accounts.merge import prepare_split

    command = begin(Manner(reason, dry_run, yes, output, allow or (), as_of))
    return command.edit(lambda store, rules: prepare_split(store, rules, account, matricule, command.author))
