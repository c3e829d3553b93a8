"""`why`: explains the state, a right or a log in of an account."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any

import typer

from piactl.ask.explain_account import LOGIN, why_run
from piactl.ask.explain_account import why as answers
from piactl.ask.show_policy import find_service
from piactl.cli.framework.configuration import Configuration, this_configuration
from piactl.cli.framework.open_directory import reading
from piactl.cli.framework.options import AsOf, Form, ShowOutput, read_names
from piactl.cli.framework.output import is_to_hand_over, of_each, show_views
from piactl.clock import utc_now
from piactl.core.model.policy import Policy, Service
from piactl.directory.store.run_records import find_run, read_runs
from piactl.edits.account_store import find_entry
from piactl.errors import NotFound, UsageError
from piactl.journal import LineFilter, who
from piactl.journal.query import changes
from piactl.phrase import Phrase
from piactl.planning.signed_plan_file import read_kept_plan
from piactl.report.establishment_names import with_names
from piactl.report.why_text import COLUMNS, STEP_COLUMNS, said_text, step_lines, step_rows, why_rows, why_text
from piactl.translation import read_word


def why(
    account: Annotated[
        str,
        typer.Argument(
            metavar="ACCOUNT",
            help="A uid, an address, an alias or a matricule; - reads them from stdin, one per line.",
        ),
    ],
    subject: Annotated[
        str,
        typer.Argument(
            metavar="[SERVICE|login]",
            help="A service of the policy, or `login`; the state by default.",
            show_default=False,
        ),
    ] = "",
    output: ShowOutput = None,
    as_of: AsOf = None,
    run: Annotated[
        str,
        typer.Option(
            "--run", metavar="RUN", help="Follow the person through this run; `last` is the last night."
        ),
    ] = "",
) -> int:
    """Explain why an account is in its state, has a service or not, or can log in or not, on any day.

    The answer names the rule with its line in the policy, the assignment with its feed row, and the
    smallest change that would reverse the answer. `why ACCOUNT login` lists everything that prevents a log
    in, in the order to fix it, each with the command that helps. The text ends with words for the caller, and
    with a line to hand over if the help is a command of an administrator.

    With --run, follows one person through a run: row, matching, rules, difference, guards and write, each
    done, skipped or held, with a code. For a person without an account give the matricule.

    Example: piactl why claire.dubreuil iprof --as-of 2026-10-01
    """

    configuration = this_configuration()
    if run:
        if subject or as_of:
            raise UsageError(Phrase("--run goes with an account alone: leave the service and --as-of out"))
        return _through_run(configuration, account, run, output, single=account != "-")
    asked = _subject(configuration.policy, subject)
    now = utc_now()
    names = read_names([account])
    with reading(configuration) as reader:
        store = configuration.accounts(reader, as_of)
        views, code = of_each(
            names,
            lambda name: answers(store, name, now, configuration.settings, asked),
            alone=account != "-",
        )

    def text_of(view: Mapping[str, Any]) -> str:
        gap = "" if view is views[0] else "\n"
        named = partial(with_names, register=configuration.register)
        return named(gap + why_text(view)) + named(said_text(view, is_to_hand_over))

    show_views(views, text_of, COLUMNS, output, single=account != "-", rows_of=why_rows)
    return code


def _through_run(
    configuration: Configuration, account: str, run: str, output: Form | None, *, single: bool
) -> int:
    settings, unreadable = configuration.settings, configuration.unreadable
    with reading(configuration) as reader:
        records = read_runs(reader, settings.directory.state, unreadable, utc_now())
        nights = [r for r in records if {"nightly", "apply"} & {*str(r.get("command", "")).split()[1:2]}]
        record = find_run(nights if run == "last" and nights else records, run)
        ready = read_kept_plan(settings, configuration.keys, record)
        plan, store = ready.plan if ready else None, configuration.accounts(reader)
        held = {hold.matricule for hold in plan.holds} if plan else set()

        def view_of(name: str) -> Mapping[str, Any]:
            try:
                entry = find_entry(store, name)
            except NotFound:
                if name not in held:
                    raise
                entry = None
            wanted = LineFilter(uid=entry.account.uid if entry else name, run=record["run"])
            written = [(change.outcome, change.message) for change in changes(settings.journal_file, wanted)]
            return why_run(entry, name, record, plan, written, who().host)

        views, code = of_each(read_names([account]), view_of, alone=single)
    show_views(views, step_lines, STEP_COLUMNS, output, single=single, rows_of=step_rows)
    return code


def _subject(policy: Policy, subject: str) -> Service | str:
    """The service of that name, or LOGIN, or "" for the state. Raises NotFound."""
    if read_word(subject, [LOGIN]) in ("", LOGIN):
        return read_word(subject, [LOGIN])
    return find_service(policy, subject, LOGIN)
