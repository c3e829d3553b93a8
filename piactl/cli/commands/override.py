"""`override list|end`: lists and ends changes by hand to the HR data."""

from __future__ import annotations

from typing import Annotated

import typer

from piactl.cli.framework.account_batch import Manner, begin
from piactl.cli.framework.context import list_of_accounts, this_configuration
from piactl.cli.framework.options import (
    ActAsOf,
    ActOutput,
    Allow,
    AsOf,
    Columns,
    DryRun,
    Names,
    Output,
    Reason,
    Yes,
)
from piactl.core.edits import exceptions_and_overrides as edits
from piactl.core.model.overrides import OverrideKind
from piactl.errors import UsageError

COLUMNS = ("uid", "kind", "what", "until", "made", "by", "reason", "sponsor")


def list_(output: Output = None, as_of: AsOf = None, columns: Columns = "") -> int:
    """List the overrides in force, sorted by end date."""
    from piactl.flows.queries.overrides import overrides_in_force

    return list_of_accounts(this_configuration(), overrides_in_force, COLUMNS, output, as_of, columns)


def end_(
    names: Names,
    kind: Annotated[
        list[str] | None, typer.Option("--kind", help="Only add, end, close, name or keep; can be repeated.")
    ] = None,
    reason: Reason = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    output: ActOutput = None,
    allow: Allow = None,
    as_of: ActAsOf = None,
) -> int:
    """End overrides before their day. The HR data apply again."""

    words = [kind.value for kind in OverrideKind]
    unknown = [word for word in kind or [] if word not in words]
    if unknown:
        raise UsageError(f"--kind {unknown[0]}: the kinds are {', '.join(words)}")
    command = begin(Manner(reason, dry_run, yes, output, allow or (), as_of))
    kinds = [OverrideKind(word) for word in kind or words]
    return command.act_on(names, edits.end_overrides(command.author, kinds))
