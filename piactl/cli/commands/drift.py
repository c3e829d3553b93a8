"""`drift list|show|revert|adopt|override`: what becomes of the changes of other programs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from piactl.cli.framework.account_command import EditOptions, Manner, begin
from piactl.cli.framework.configuration import this_configuration
from piactl.cli.framework.open_directory import list_of_accounts
from piactl.cli.framework.options import (
    AsOf,
    Columns,
    LastDay,
    Names,
    Output,
    with_shared_options,
)
from piactl.cli.framework.output import layout_or_default
from piactl.core.model.settings import IdentityName
from piactl.core.plan.drift import fate_words
from piactl.edits.account_store import AccountStore
from piactl.edits.carry_out_batch import Batch
from piactl.edits.decide_drift import prepare_adopt, prepare_keep, prepare_revert, standing_drift
from piactl.errors import UsageError
from piactl.phrase import Phrase
from piactl.planning.drift_by_rules import drift_row

DRIFT_COLUMNS = ("uid", "attribute", "class", "ours", "theirs", "fate", "since", "until", "by", "owner")


def list_drift(output: Output = None, as_of: AsOf = None, columns: Columns = "") -> int:
    """List what other programs changed on accounts. Changes that give access come first.

    Example: piactl drift list
    """
    return _list_drift((), output, as_of, columns)


def show_drift(names: Names, output: Output = None, as_of: AsOf = None) -> int:
    """Show what other programs changed on accounts: attribute, value of piactl, value of the other program,
    who wrote it, and what the next night does.

    Example: piactl drift show claire.dubreuil
    """
    return _list_drift(names, output, as_of)


def _list_drift(names: Sequence[str], output: Any, as_of: date | None, columns: str = "") -> int:
    def rows_of(store: AccountStore, bad: Callable[[str], None]) -> list[dict[str, Any]]:
        rows = [{"uid": drift.uid, **drift_row(drift)} for drift in standing_drift(store, names, bad)]
        if layout_or_default(output) in ("table", "xlsx"):
            return [{**row, "fate": fate_words(row["fate"])} for row in rows]
        return rows

    return list_of_accounts(this_configuration(), rows_of, DRIFT_COLUMNS, output, as_of, columns)


@with_shared_options
def revert(names: Names, options: EditOptions) -> int:
    """Put back what other programs changed on accounts, at once, also what a night would keep. A denial, a
    closure or an end that they removed and whose words are lost is given up: the plan shows what it opens.

    Example: piactl drift revert claire.dubreuil --reason "a script of the portal"
    """
    # a deleted entry is made again from undo logs, which the reader may not see
    return _decide_drift(prepare_revert, names, replace(options, reader=IdentityName.ADMINISTRATOR))


@with_shared_options
def adopt(names: Names, options: EditOptions) -> int:
    """Adopt the addresses and names that other programs gave accounts.

    Everything else is refused, with the command that gives it.

    Example: piactl drift adopt claire.dubreuil --reason "address of the mail team"
    """
    return _decide_drift(prepare_adopt, names, options)


@with_shared_options
def override(names: Names, options: EditOptions, until: LastDay = None) -> int:
    """Keep what other programs changed on accounts until a day, unless it gives access.

    `override list` lists such an override, `override end` ends it.

    Example: piactl drift override claire.dubreuil --until 2026-10-31 --reason "inquiry"
    """
    if until is None:
        raise UsageError(Phrase("what another program changed stays until a day: add --until DATE"))
    return _decide_drift(prepare_keep, names, options, until)


def _decide_drift(prepare: Callable[..., Batch], names: list[str], manner: Manner, *arguments: Any) -> int:
    command = begin(manner)
    return command.decide(lambda store: prepare(store, names, command.author, *arguments))
