"""`assignment add|end|move|list`: adds, ends and moves assignments, and lists those that end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Annotated, Any

import typer

from piactl.ask.ending_posts import ending_posts
from piactl.cli.framework.account_command import EditOptions, begin
from piactl.cli.framework.configuration import this_configuration, today
from piactl.cli.framework.open_directory import list_of_accounts
from piactl.cli.framework.options import (
    LAST_DAY,
    AsOf,
    Columns,
    FirstDay,
    LastDay,
    Names,
    NeededLastDay,
    Output,
    day_option,
    uai_option,
    with_shared_options,
)
from piactl.core.acts import assignments_by_hand
from piactl.core.model.overrides import MANUAL
from piactl.core.model.person import Assignment
from piactl.edits.account_store import AccountStore
from piactl.errors import UsageError
from piactl.phrase import Phrase

Uai = Annotated[str, uai_option("The establishment of the assignment.")]
Function = Annotated[str, typer.Option("--function", help="The code of its function, such as ENS or DIR.")]
Corps = Annotated[str, typer.Option("--corps", help="The code of the corps.")]


@with_shared_options
def add(
    names: Names,
    options: EditOptions,
    uai: Annotated[str, uai_option("The establishment. [required]")] = "",
    function: Annotated[
        str, typer.Option("--function", help="The code of the function, such as ENS or DIR. [required]")
    ] = "",
    from_: FirstDay = None,
    until: NeededLastDay = None,
    corps: Corps = "",
    position: Annotated[str, typer.Option("--position", help="A position of the policy.")] = "",
) -> int:
    """Add an assignment to accounts.

    Example: piactl assignment add claire.dubreuil --uai 0800010B --function ENS --until 2026-10-31 --reason
    "replaces a teacher"
    """
    command = begin(options)
    _need({"--uai": uai, "--function": function, "--until": until})
    new = _assignment(uai, function, from_ or command.order.as_of, until)
    new = replace(new, corps=corps.strip(), position=position.strip())
    return command.act_on(names, assignments_by_hand.add(command.author, new))


@with_shared_options
def end_(
    names: Names,
    options: EditOptions,
    on: Annotated[
        date | None, day_option("--on", "The last day of the assignment (YYYY-MM-DD). [required]")
    ] = None,
    uai: Uai = "",
    function: Function = "",
    from_: Annotated[date | None, day_option("--from", "Its first day (YYYY-MM-DD).")] = None,
    until: LastDay = None,
) -> int:
    """End an assignment on a day. If there are several, select one with --uai, --function and --from.

    For an assignment of HR --until is required; after that day the HR data apply again. The grace of the
    policy follows, as after any end.

    Example: piactl assignment end claire.dubreuil --on 2026-10-31 --until 2026-12-31 --reason "resigned"
    """
    command = begin(options)
    _need({"--on": on})
    last_day = on or command.order.as_of
    selection = assignments_by_hand.AssignmentSelector(uai, function.strip().upper(), from_)
    act = assignments_by_hand.end(command.author, selection, last_day, until)
    return command.act_on(names, act)


@with_shared_options
def move(
    names: Names,
    options: EditOptions,
    to: Annotated[str, uai_option("The new establishment. [required]", "--to")] = "",
    from_: FirstDay = None,
    until: NeededLastDay = None,
    function: Annotated[
        str, typer.Option("--function", help="The function there; the same by default.")
    ] = "",
    uai: Annotated[str, uai_option("The old establishment, if there are several assignments.")] = "",
) -> int:
    """Move accounts to another establishment. The old assignment ends the day before the new one starts.

    The output shows the effect of the delays of the policy, day by day, before the change. For a person in
    the HR data the end of the old assignment applies until --until, too.

    Example: piactl assignment move claire.dubreuil --to 0800010B --until 2026-10-31 --reason "moved"
    """
    command = begin(options)
    _need({"--to": to, "--until": until})
    new = _assignment(to, function, from_ or command.order.as_of, until)
    act = assignments_by_hand.move(command.author, assignments_by_hand.AssignmentSelector(uai), new)
    return command.act_on(names, act)


LIST_COLUMNS = ("uai", "establishment", "end", "access_until", "display_name", "uid", "function")


def list_(
    ending_from: Annotated[
        date | None,
        day_option("--ending-from", "Only those that end on this day or later; today by default."),
    ] = None,
    ending_to: Annotated[
        date | None, day_option("--ending-to", "Only those that end on this day or before.")
    ] = None,
    uai: Annotated[str, uai_option("Only those at this establishment: a UAI or a name.")] = "",
    columns: Columns = "",
    output: Output = None,
    as_of: AsOf = None,
) -> int:
    """List the assignments that end, by establishment and day: a calendar of contracts.

    `end` is the last day of the contract, and `access_until` the last day on which the person can log in,
    after the grace of the policy; it is empty if another post goes on without an end. A leave, and a contract
    that is renewed at the same establishment, end nothing.

    Example: piactl assignment list --ending-to 2026-12-31 -o csv
    """
    configuration = this_configuration()
    first, last = ending_from or as_of or today(configuration), ending_to or LAST_DAY
    if first > last:
        raise UsageError(Phrase("--ending-from {first} is after --ending-to {last}", first=first, last=last))

    def rows_of(store: AccountStore, bad: Callable[[str], None]) -> list[dict[str, Any]]:
        return ending_posts(store, bad, first, last, uai)

    return list_of_accounts(configuration, rows_of, LIST_COLUMNS, output, as_of, columns)


def _need(options: dict[str, object]) -> None:
    missing = [name for name, value in options.items() if not value]
    if missing:
        raise UsageError(Phrase("add {missing}", missing=", ".join(missing)))


def _assignment(uai: str, function: str, start: date, end: date | None) -> Assignment:
    return Assignment(uai=uai, function=function.strip().upper(), start=start, end=end, source=MANUAL)
