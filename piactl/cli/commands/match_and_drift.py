"""`match list|show|same|different|forget`: whose account it is; `drift list|show|revert|adopt|override`: what
becomes of the changes of other programs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from piactl.cli.framework.account_batch import BatchOptions, EditOptions, Manner, begin
from piactl.cli.framework.context import (
    display,
    list_of_accounts,
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
    Columns,
    LastDay,
    Names,
    Output,
    OwnColumns,
    Reason,
    read_columns,
    read_date,
    read_day,
    read_names,
    with_shared_options,
)
from piactl.core.model.settings import IdentityName
from piactl.errors import Exit, UsageError

if TYPE_CHECKING:
    from piactl.core.plan.identity_case import CaseAnswer
    from piactl.flows.accounts.batch import Batch
    from piactl.flows.queries.accounts import AccountStore

CASE_COLUMNS = ("case", "doubt", "source", "matricule", "name", "of", "since", "days", "urgency", "decision")

CaseId = Annotated[str, typer.Argument(metavar="CASE", help="The id of a case, as in `match list`.")]
Which = Annotated[
    str, typer.Option("--account", help="The account of the person, if the case names several.")
]
DRIFT_COLUMNS = ("uid", "attribute", "class", "ours", "theirs", "fate", "since", "until", "by", "owner")


def list_cases(
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

    configuration, chosen = this_configuration(), read_columns(columns, CASE_COLUMNS, ())
    settings, day = configuration.settings, read_day(as_of, today(configuration))
    with reading(configuration) as reader:
        cases = read_cases(reader, settings.directory.state, configuration.unreadable)
    rows = [case_facts(case, settings, day) for case in cases if case.open is not decided]
    rows = [row for row in rows if source in ("", row["source"])]
    rows = [row for row in rows if older_than is None or row["days"] > older_than]
    show_rows(rows, chosen, output, only=bool(columns))
    return int(Exit.DONE)


def show_case(case: CaseId, output: Output = None, as_of: AsOf = None) -> int:
    """Show a case: the HR data beside each account, the evidence, and what each answer would do.

    Example: piactl match show 1f0c9a3e
    """
    from piactl.flows.accounts.case_decisions import case_view, find_case
    from piactl.report.match_text import case_text

    configuration = this_configuration()
    settings, day = configuration.settings, read_day(as_of, today(configuration))
    with reading(configuration) as reader:
        identity_case, _ = find_case(reader, settings.directory.state, case)
        view = case_view(identity_case, configuration.accounts(reader, day), settings, day)
    if output is None:
        display([case_text(view)])
    else:
        show_rows([view], CASE_COLUMNS, output)
    return int(Exit.DONE)


@with_shared_options
def same(case: CaseId, options: EditOptions, account: Which = "") -> int:
    """Decide that the feed row and the account are one person.

    A new matricule joins the account at once; the next night with the feed adds its assignments.

    Example: piactl match same 1f0c9a3e --reason "asked by telephone"
    """
    from piactl.core.plan.identity_case import CaseAnswer
    from piactl.flows.accounts.case_decisions import decision_on, find_case, prepare_join

    command = begin(options.manner())
    configuration, author, day = command.configuration, command.author, command.order.as_of
    with reading(configuration, IdentityName.ADMINISTRATOR) as reader:
        identity_case, _ = find_case(reader, configuration.settings.directory.state, case)
    decision = decision_on(identity_case, CaseAnswer.SAME, account, author.by, author.reason, day)
    if not identity_case.of_newcomer or (identity_case.others and decision.one not in identity_case.accounts):
        return _decide_case(case, CaseAnswer.SAME, account, options.reason, options.as_of)
    return command.decide(lambda reader: prepare_join(configuration.accounts(reader, day), case, decision))


def different(case: CaseId, reason: Reason = "", as_of: ActAsOf = None) -> int:
    """Decide that the feed row and the account are two people. The decision lasts until `match forget`.

    Example: piactl match different 1f0c9a3e --reason "asked by telephone"
    """
    from piactl.core.plan.identity_case import CaseAnswer

    return _decide_case(case, CaseAnswer.DIFFERENT, "", reason, as_of)


def forget(case: CaseId, reason: Reason = "", as_of: ActAsOf = None) -> int:
    """Take back the decision of a case. Changes already made stay; `undo` their run to reverse them.

    Example: piactl match forget 1f0c9a3e --reason "wrong case"
    """
    return _decide_case(case, None, "", reason, as_of)


def _decide_case(id_: str, answer: CaseAnswer | None, account: str, reason: str, as_of: str | None) -> int:
    from piactl.flows.accounts.case_decisions import decide, decision_on, find_case

    command = begin(Manner(reason, as_of=as_of))
    author, day = command.author, command.order.as_of
    with writing(command.configuration, IdentityName.ADMINISTRATOR) as writer:
        case, _ = find_case(writer, command.configuration.settings.directory.state, id_)
        decision = decision_on(case, answer, account, author.by, author.reason, day) if answer else None
        decide(writer, command.run(), id_, decision)
    say(f"case {id_}: {answer.value if answer else 'open again'}")
    return int(Exit.DONE)


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
    return _list_drift(read_names(names), output, as_of)


def _list_drift(names: Sequence[str], output: Any, as_of: str | None, columns: str = "") -> int:
    from piactl.flows.accounts.drift_decisions import standing_drift
    from piactl.flows.drift import drift_row

    def rows_of(store: AccountStore, bad: Callable[[str], None]) -> list[dict[str, Any]]:
        return [{"uid": drift.uid, **drift_row(drift)} for drift in standing_drift(store, names, bad)]

    return list_of_accounts(this_configuration(), rows_of, DRIFT_COLUMNS, output, as_of, columns)


@with_shared_options
def revert(names: Names, options: BatchOptions) -> int:
    """Put back what other programs changed on accounts, at once, also what a night would keep.

    Example: piactl drift revert claire.dubreuil --reason "a script of the portal"
    """
    from piactl.flows.accounts.drift_decisions import prepare_revert

    # a deleted entry is made again from undo logs, which the reader may not see
    manner = options.manner(reader=IdentityName.ADMINISTRATOR)
    return _decide_drift(prepare_revert, names, manner)


@with_shared_options
def adopt(names: Names, options: BatchOptions) -> int:
    """Adopt the addresses and names that other programs gave accounts.

    Everything else is refused, with the command that gives it.

    Example: piactl drift adopt claire.dubreuil --reason "address of the mail team"
    """
    from piactl.flows.accounts.drift_decisions import prepare_adopt

    return _decide_drift(prepare_adopt, names, options.manner())


@with_shared_options
def override(names: Names, options: BatchOptions, until: LastDay = None) -> int:
    """Keep what other programs changed on accounts until a day, unless it gives access.

    `override list` lists such an override, `override end` ends it.

    Example: piactl drift override claire.dubreuil --until 2026-10-31 --reason "inquiry"
    """
    from piactl.flows.accounts.drift_decisions import prepare_keep

    last = read_date("--until", until)
    if last is None:
        raise UsageError("what another program changed stays until a day: add --until DATE")
    manner = options.manner()
    return _decide_drift(prepare_keep, names, manner, last)


def _decide_drift(prepare: Callable[..., Batch], names: list[str], manner: Manner, *arguments: Any) -> int:
    command = begin(manner)
    account_names = read_names(names)
    return command.edit(lambda store, rules: prepare(store, rules, account_names, command.author, *arguments))
