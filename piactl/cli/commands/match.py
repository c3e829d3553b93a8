"""`match list|show|same|different|wrong-row|forget`: whose account it is."""

from __future__ import annotations

from typing import Annotated

import typer

from piactl.cli.framework.account_command import EditOptions, Manner, begin
from piactl.cli.framework.configuration import this_configuration, today
from piactl.cli.framework.open_directory import reading, writing
from piactl.cli.framework.options import (
    ActAsOf,
    AsOf,
    Output,
    OwnColumns,
    Reason,
    number_option,
    with_shared_options,
)
from piactl.cli.framework.output import read_columns, say, show_rows, show_views
from piactl.core.model.settings import IdentityName
from piactl.core.plan.case import CaseAnswer
from piactl.directory.store.record_entries import read_records
from piactl.directory.store.state_records import cases_in
from piactl.edits.decide_case import (
    are_one_account,
    case_facts,
    case_view,
    decide,
    decision_on,
    find_case,
    joined_account,
    prepare_join,
    prepare_separation,
    refuse_second,
)
from piactl.errors import Exit
from piactl.phrase import Phrase
from piactl.report.case_text import case_text

CASE_COLUMNS = ("case", "doubt", "source", "matricule", "name", "of", "since", "days", "urgency", "decision")

CaseId = Annotated[str, typer.Argument(metavar="CASE", help="The id of a case, as in `match list`.")]
Which = Annotated[
    str, typer.Option("--account", help="The account of the person, if the case names several.")
]
WrongMatricule = Annotated[
    str, typer.Option("--matricule", help="The matricule of the wrong row, if the case has several.")
]


def list_cases(
    older_than: Annotated[
        int | None, number_option("--older-than", "DAYS", "Only cases older than so many days.")
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

    Decided cases are listed as long as HR has to correct a row. The column `urgency` is `soon` if the
    newcomer starts within match_days, and `overdue` if the case is open for more than max_hold_days.

    Example: piactl match list --older-than 7
    """
    configuration, chosen = this_configuration(), read_columns(columns, CASE_COLUMNS, ())
    settings, day = configuration.settings, as_of or today(configuration)
    with reading(configuration) as reader:
        cases = cases_in(read_records(reader, settings.directory.state), configuration.unreadable)
    cases = [case for case in cases if (case.decision is not None if decided else case.listed)]
    rows = [case_facts(case, settings, day) for case in cases]
    rows = [row for row in rows if source in ("", row["source"])]
    rows = [row for row in rows if older_than is None or row["days"] > older_than]
    show_rows(rows, chosen, output, only=bool(columns))
    return int(Exit.DONE)


def show_case(case: CaseId, output: Output = None, as_of: AsOf = None) -> int:
    """Show a case: the HR data beside each account, the evidence, and what each answer would do.

    Example: piactl match show 1f0c9a3e
    """
    configuration = this_configuration()
    settings, day = configuration.settings, as_of or today(configuration)
    with reading(configuration) as reader:
        identity_case, _ = find_case(reader, settings.directory.state, case)
        view = case_view(identity_case, configuration.accounts(reader, day), settings, day)
    show_views([view], case_text, CASE_COLUMNS, output, single=False)
    return int(Exit.DONE)


@with_shared_options
def same(case: CaseId, options: EditOptions, account: Which = "") -> int:
    """Decide that the feed row and the account, or two feed rows, are one person.

    A new matricule joins the account at once; the next night with the feed adds its assignments. Two rows
    without an account get one together in that night.

    Example: piactl match same 1f0c9a3e --reason "asked by telephone"
    """
    return _answer(case, CaseAnswer.SAME, account, options)


@with_shared_options
def different(case: CaseId, options: EditOptions) -> int:
    """Decide that the feed row and the account are two people. The decision lasts until `match forget`.

    A matricule that joined the account by itself, because NUMEN and identity are the same, leaves it.

    Example: piactl match different 1f0c9a3e --reason "asked by telephone"
    """
    return _answer(case, CaseAnswer.DIFFERENT, "", options)


@with_shared_options
def wrong_row(case: CaseId, options: EditOptions, matricule: WrongMatricule = "") -> int:
    """Decide that the file was wrong: the feed row is nobody's as it stands.

    Nothing is joined and nothing is made. The row is rejected until HR corrects it, and the account that it
    may belong to is held until then. A matricule that joined an account leaves it, with its posts.

    Example: piactl match wrong-row 1f0c9a3e --reason "mistyped matricule, HR corrects it"
    """
    return _answer(case, CaseAnswer.WRONG_ROW, matricule, options)


def forget(case: CaseId, reason: Reason = "", as_of: ActAsOf = None) -> int:
    """Take back the decision of a case. Changes already made stay; `undo` their run to reverse them.

    Example: piactl match forget 1f0c9a3e --reason "wrong case"
    """
    command = begin(Manner(reason, as_of=as_of))
    with writing(command.configuration, IdentityName.ADMINISTRATOR) as writer:
        decide(writer, command.run(), case, None)
    say(Phrase("case {case}: open again", case=case))
    return int(Exit.DONE)


def _answer(id_: str, answer: CaseAnswer, name: str, options: EditOptions) -> int:
    """Decides a case: with the write that joins a matricule to an account or takes it off, or alone."""
    command = begin(options)
    configuration, author, day = command.configuration, command.author, command.order.as_of
    with reading(configuration, IdentityName.ADMINISTRATOR) as reader:
        store = configuration.accounts(reader, day)
        case, _ = find_case(reader, configuration.settings.directory.state, id_)
        merged = not case.gates and not case.of_newcomer and are_one_account(store, case)
        decision = decision_on(case, answer, name, author.by, author.reason, day, merged=merged)
        before, joined = case.decision, ""
        leaving = decision.one if answer is CaseAnswer.WRONG_ROW else case.matricule
        if answer is CaseAnswer.DIFFERENT and case.people and before is not None and not before.by_rule:
            leaving = before.one
        if answer is not CaseAnswer.SAME:
            joined = joined_account(store, case, leaving)
    if joined:
        return command.decide(lambda store: prepare_separation(store, id_, leaving, decision, author))
    joins = case.of_newcomer and answer is CaseAnswer.SAME and decision.one not in case.people
    if joins:
        return command.decide(lambda store: prepare_join(store, id_, decision))
    if options.dry_run:
        refuse_second(case, decision)
        say(Phrase("case {id}: would be decided: {answer}", id=id_, answer=answer.value))
        return int(Exit.DONE)
    with writing(configuration, IdentityName.ADMINISTRATOR) as writer:
        case = decide(writer, command.run(), id_, decision)
    if options.output is not None:
        show_rows([case_facts(case, configuration.settings, day)], CASE_COLUMNS, options.output)
    say(Phrase("case {id}: {answer}", id=id_, answer=answer.value))
    return int(Exit.DONE)
