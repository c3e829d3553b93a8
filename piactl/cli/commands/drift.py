"""`drift list|show|revert|adopt|override`: what other programs changed, and what becomes of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from piactl.cli.framework.account_batch import BatchOptions, Manner, begin
from piactl.cli.framework.context import list_of_accounts, this_configuration
from piactl.cli.framework.options import (
    AsOf,
    Columns,
    LastDay,
    Names,
    Output,
    read_date,
    read_names,
    with_shared_options,
)
from piactl.core.model.settings import IdentityName
from piactl.errors import UsageError

if TYPE_CHECKING:
    from piactl.flows.accounts.batch import Batch
    from piactl.flows.queries.accounts import AccountStore

COLUMNS = ("uid", "attribute", "class", "ours", "theirs", "fate", "since", "until", "by", "owner")


def list_(output: Output = None, as_of: AsOf = None, columns: Columns = "") -> int:
    """List what other programs changed on accounts. Changes that give access come first.

    Example: piactl drift list
    """
    return _listed((), output, as_of, columns)


def show(names: Names, output: Output = None, as_of: AsOf = None) -> int:
    """Show what other programs changed on accounts: attribute, value of piactl, value of the other program,
    who wrote it, and what the next night does.

    Example: piactl drift show claire.dubreuil
    """
    return _listed(read_names(names), output, as_of)


def _listed(names: Sequence[str], output: Any, as_of: str | None, columns: str = "") -> int:
    from piactl.flows.accounts.drift_decisions import standing_drift
    from piactl.flows.drift import drift_row

    def rows_of(store: AccountStore, bad: Callable[[str], None]) -> list[dict[str, Any]]:
        return [{"uid": one.uid, **drift_row(one)} for one in standing_drift(store, names, bad)]

    return list_of_accounts(this_configuration(), rows_of, COLUMNS, output, as_of, columns)


@with_shared_options
def revert(
    names: Names,
    options: BatchOptions,
) -> int:
    """Put back what other programs changed on accounts, at once, also what a night would keep.

    Example: piactl drift revert claire.dubreuil --reason "a script of the portal"
    """
    from piactl.flows.accounts.drift_decisions import prepare_revert

    # a deleted entry is made again from undo logs, which the reader may not see
    manner = options.manner(reader=IdentityName.ADMINISTRATOR)
    return _decided(prepare_revert, names, manner)


@with_shared_options
def adopt(
    names: Names,
    options: BatchOptions,
) -> int:
    """Adopt the addresses and names that other programs gave accounts.

    Everything else is refused, with the command that gives it.

    Example: piactl drift adopt claire.dubreuil --reason "address of the mail team"
    """
    from piactl.flows.accounts.drift_decisions import prepare_adopt

    return _decided(prepare_adopt, names, options.manner())


@with_shared_options
def override(
    names: Names,
    options: BatchOptions,
    until: LastDay = None,
) -> int:
    """Keep what other programs changed on accounts until a day, unless it gives access.

    `override list` lists such an override, `override end` ends it.

    Example: piactl drift override claire.dubreuil --until 2026-10-31 --reason "inquiry"
    """
    from piactl.flows.accounts.drift_decisions import prepare_keep

    last = read_date("--until", until)
    if last is None:
        raise UsageError("what another program changed stays until a day: add --until DATE")
    manner = options.manner()
    return _decided(prepare_keep, names, manner, last)


def _decided(prepare: Callable[..., Batch], names: list[str], manner: Manner, *more: Any) -> int:
    command = begin(manner)
    wanted = read_names(names)
    return command.edit(lambda store, rules: prepare(store, rules, wanted, command.author, *more))
