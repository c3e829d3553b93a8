"""`match list|show|same|different|forget`: decides whether a feed row and an account belong to one person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from piactl.cli.framework.account_batch import EditOptions, Manner, begin
from piactl.cli.framework.context import (
    display,
    layout_or_default,
    put,
    reading,
    say,
    show_rows,
    this_configuration,
    today,
    writing,
)
from piactl.cli.framework.options import (
    ActAsOf,
    AsOf,
    Output,
    OwnColumns,
    Reason,
    read_columns,
    read_day,
    with_shared_options,
)
from piactl.core.model.settings import IdentityName
from piactl.errors import Exit
from piactl.report.table import rendered

if TYPE_CHECKING:
    from piactl.core.plan.identity_case import Answer

COLUMNS = ("case", "doubt", "source", "matricule", "name", "of", "since", "days", "urgency", "decision")

CaseId = Annotated[str, typer.Argument(metavar="CASE", help="The id of a case, as in `match list`.")]
Which = Annotated[
    str, typer.Option("--account", help="The account of the person, if the case names several.")
]


def list_(
    older_than: Annotated[
        int | None, typer.Option("--older-than", metavar="DAYS", help="Only cases older than so many days.")
    ] = None,
    source: Annotated[str, typer.Option("--source", help="Only cases of this source.")] = "",
    decided: Annotated[
        bool, typer.Option("--decided", help="Show decided cases instead of open ones.")
    ] = False,
    output: Output = None,
    as_of: AsOf = None,
    columns: OwnColumns = "",
) -> int:
    """List the people in the feeds whose account is uncertain, the oldest case first.

    The column `urgency` is `soon` if the newcomer starts within match_days, and `overdue` if the case is
    open for more than max_hold_days.

    Example: piactl match list --older-than 7
    """
    from piactl.directory.store.case_records import read_cases
    from piactl.flows.accounts.case_decisions import case_facts

    configuration, chosen = this_configuration(), read_columns(columns, COLUMNS, ())
    settings, day = configuration.settings, read_day(as_of, today(configuration))
    with reading(configuration) as reader:
        cases = read_cases(reader, settings.directory.state, configuration.unreadable)
    rows = [case_facts(case, settings, day) for case in cases if case.open is not decided]
    rows = [row for row in rows if source in ("", row["source"])]
    rows = [row for row in rows if older_than is None or row["days"] > older_than]
    show_rows(rows, chosen, output, only=bool(columns))
    return int(Exit.DONE)


def show(case: CaseId, output: Output = None, as_of: AsOf = None) -> int:
    """Show a case: the HR data beside each account, the evidence, and what each answer would do.

    Example: piactl match show 1f0c9a3e
    """
    from piactl.flows.accounts.case_decisions import case_view, find_case
    from piactl.report.match_text import case_text

    configuration = this_configuration()
    settings, day = configuration.settings, read_day(as_of, today(configuration))
    with reading(configuration) as reader:
        found, _ = find_case(reader, settings.directory.state, case)
        view = case_view(found, configuration.accounts(reader, day), settings, day)
    if output is None:
        display([case_text(view)])
    else:
        put(rendered([view], COLUMNS, layout_or_default(output)))
    return int(Exit.DONE)


@with_shared_options
def same(
    case: CaseId,
    options: EditOptions,
    account: Which = "",
) -> int:
    """Decide that the feed row and the account are one person.

    A new matricule joins the account at once; the next night with the feed adds its assignments.

    Example: piactl match same 1f0c9a3e --reason "asked by telephone"
    """
    from piactl.core.plan.identity_case import Answer
    from piactl.flows.accounts.case_decisions import decision_on, find_case, prepare_join

    command = begin(options.manner())
    configuration, author, day = command.configuration, command.author, command.order.as_of
    with reading(configuration, IdentityName.ADMINISTRATOR) as reader:
        found, _ = find_case(reader, configuration.settings.directory.state, case)
    decision = decision_on(found, Answer.SAME, account, author.by, author.reason, day)
    if not found.of_newcomer or (found.others and decision.one not in found.accounts):
        return _decide(case, Answer.SAME, account, options.reason, options.as_of)
    return command.decide(lambda reader: prepare_join(configuration.accounts(reader, day), case, decision))


def different(case: CaseId, reason: Reason = "", as_of: ActAsOf = None) -> int:
    """Decide that the feed row and the account are two people. The decision lasts until `match forget`.

    Example: piactl match different 1f0c9a3e --reason "asked by telephone"
    """
    from piactl.core.plan.identity_case import Answer

    return _decide(case, Answer.DIFFERENT, "", reason, as_of)


def forget(case: CaseId, reason: Reason = "", as_of: ActAsOf = None) -> int:
    """Take back the decision of a case. Changes already made stay; `undo` their run to reverse them.

    Example: piactl match forget 1f0c9a3e --reason "wrong case"
    """
    return _decide(case, None, "", reason, as_of)


def _decide(id_: str, answer: Answer | None, one: str, reason: str, as_of: str | None) -> int:
    from piactl.flows.accounts.case_decisions import decide, decision_on, find_case

    command = begin(Manner(reason, as_of=as_of))
    author, day = command.author, command.order.as_of
    with writing(command.configuration, IdentityName.ADMINISTRATOR) as writer:
        case, _ = find_case(writer, command.configuration.settings.directory.state, id_)
        decision = decision_on(case, answer, one, author.by, author.reason, day) if answer else None
        decide(writer, command.run(), id_, decision)
    say(f"case {id_}: {answer.value if answer else 'open again'}")
    return int(Exit.DONE)
