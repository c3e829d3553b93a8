"""`account rekey|merge|split`: whose account a matricule is."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from piactl.cli.framework.account_batch import Manner, begin
from piactl.cli.framework.context import say
from piactl.cli.framework.options import ActAsOf, ActOutput, Allow, DryRun, Reason, Yes
from piactl.cli.framework.run_context import say_approval
from piactl.exit_codes import Exit
from piactl.private_files import refuse_output, write_private

if TYPE_CHECKING:
    from piactl.core.rules.desired import Rules
    from piactl.flows.accounts.batch import Batch
    from piactl.flows.plan.ready_plan import ReadyPlan
    from piactl.flows.queries.accounts import AccountStore

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
    out: Annotated[
        str,
        typer.Option("--out", metavar="FILE", help="Write it as a plan for `approve`; change nothing."),
    ] = "",
) -> int:
    """Merge two accounts of one person: INTO lives on with the matricules, assignments, exceptions and
    overrides of both, and FROM's addresses lead to it.

    Password and devices of FROM end, and only its uid stays, which names INTO. After a crash the next night
    or command finishes the merge. `undo` takes it back, but for password and devices.
    Where the policy asks for two people (`approvals`): write the plan with --out, another person approves it,
    then repeat the command with the same reason and without --out.
    """
    from pathlib import Path

    from piactl.flows.accounts.merge import merge_plan, prepare_merge
    from piactl.flows.apply.approvals import require_approval
    from piactl.flows.plan.plan_file import plan_pieces, sealed

    command = begin(Manner(reason, dry_run, yes, output, allow or (), as_of))
    configuration = command.configuration
    settings, approvals = configuration.settings, configuration.policy.approvals
    if out:
        refuse_output("--out", out, settings.plans_folder)

    def prepare(store: AccountStore, rules: Rules) -> tuple[Batch, ReadyPlan]:
        batch = prepare_merge(store, rules, source, into, command.author, protected=administrator)
        plan, folder = merge_plan(batch, store, rules), Path(settings.state_folder)
        return batch, sealed(plan, configuration.keys, folder, command.order.actor.names)

    def with_approval(store: AccountStore, rules: Rules) -> Batch:
        batch, ready = prepare(store, rules)
        then = "\nThis command writes FILE with --out FILE. Then repeat it without, with the same reason"
        return replace(batch, approval=lambda run: require_approval(run, ready, approvals, "FILE", then=then))

    if not out:
        return command.edit(with_approval)
    with command.reading() as reader:
        day = command.order.as_of
        _, ready = prepare(configuration.accounts(reader, day), configuration.rules(day))
    write_private(Path(out), plan_pieces(ready))
    say(f"Plan written to {out}")
    say_approval(ready, out)
    say("To carry it out: the same command without --out, with the same reason")
    return int(Exit.DONE)


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
