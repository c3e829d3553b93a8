"""`why`: explains the state, a right or a log in of an account."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from piactl.cli.framework.configuration import Configuration
from piactl.cli.framework.context import (
    display,
    layout_or_default,
    of_each,
    put,
    put_json,
    reading,
    say,
    this_configuration,
)
from piactl.cli.framework.options import AsOf, ShowOutput, read_day, read_names
from piactl.clock import civil_today, utc_now
from piactl.config.schema_validation import hint
from piactl.core.model.policy import Service
from piactl.directory.store.run_records import read_runs
from piactl.errors import Exit, NotFound, UsageError
from piactl.flows.plan.signed_plan_file import read_kept_plan
from piactl.flows.queries.accounts import find_entry
from piactl.flows.queries.explain import LOGIN, why_run
from piactl.flows.queries.explain import why as answers
from piactl.journal import LineFilter, who
from piactl.journal.query import changes
from piactl.report.establishments import with_names
from piactl.report.table import rendered
from piactl.report.why_text import COLUMNS, STEP_COLUMNS, step_lines, why_rows, why_text


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
            "--run", metavar="RUN", help="Follow the person through this run; `last` is the latest."
        ),
    ] = "",
) -> int:
    """Explain why an account is in its state, has a service or not, or can log in or not, on any day.

    The answer names the rule with its line in the policy, the assignment with its feed row, and the
    smallest change that would reverse the answer. `why ACCOUNT login` lists everything that prevents a log
    in, in the order to fix it, each with the command that helps.

    With --run, follows one person through a run: row, matching, rules, difference, guards and write, each
    done, skipped or held, with a code. For a person without an account give the matricule.

    Example: piactl why claire.dubreuil iprof --as-of 2026-10-01
    """

    configuration = this_configuration()
    if run:
        if subject or as_of:
            raise UsageError("--run goes with an account alone: leave the service and --as-of out")
        return _through_run(configuration, read_names([account]), run, output, single=account != "-")
    asked = _subject(configuration.policy.services, subject)
    day = read_day(as_of, civil_today(configuration.policy.timezone))
    now = utc_now()
    names = read_names([account])
    rules = configuration.rules(day)
    with reading(configuration) as reader:
        store = configuration.accounts(reader, day)
        views, code = of_each(
            names,
            lambda name: answers(store, rules, name, now, configuration.settings, asked),
            alone=account != "-",
        )
    layout = layout_or_default(output) if output else ""
    _print(views, layout, configuration, single=account != "-")
    return code


def _through_run(
    configuration: Configuration, names: Sequence[str], run: str, output: ShowOutput, *, single: bool
) -> int:
    settings, unreadable = configuration.settings, configuration.unreadable
    with reading(configuration) as reader:
        records = read_runs(reader, settings.directory.state, unreadable, utc_now())
        record = next((run_record for run_record in records if run in (run_record["run"], "last")), None)
        if record is None:
            raise NotFound(f"{run}: no such run; see: piactl runs list")
        ready = read_kept_plan(settings, configuration.keys, record)
        store = configuration.accounts(reader)
        views, code = [], Exit.DONE
        for name in names:
            try:
                entry = find_entry(store, name)
            except NotFound as error:
                holds = ready.plan.holds if ready else ()
                if name not in {hold.matricule for hold in holds}:
                    if single:
                        raise
                    say(str(error))
                    code = Exit.PARTLY
                    continue
                entry = None
            wanted = LineFilter(uid=entry.account.uid if entry else name, run=record["run"])
            written = [(change.outcome, change.message) for change in changes(settings.journal_file, wanted)]
            plan = ready.plan if ready else None
            views.append(why_run(entry, name, record, plan, written, who().host))
    _print_steps(views, layout_or_default(output) if output else "", single=single)
    return int(code)


def _print_steps(views: Sequence[Any], layout: str, *, single: bool) -> None:
    if layout == "json" and single:
        put_json(views[0])
    elif layout in ("json", "ndjson"):
        put(rendered(views, STEP_COLUMNS, layout))
    elif layout:
        rows = ({**view, **step} for view in views for step in view["steps"])
        put(rendered(rows, STEP_COLUMNS, layout))
    else:
        display(step_lines(view) for view in views)


def _subject(services: Mapping[str, Service], subject: str) -> Service | str:
    """The service of that name, or LOGIN, or "" for the state. Raises NotFound."""
    if subject in ("", LOGIN):
        return subject
    service = services.get(subject)
    if service is None:
        raise NotFound(f"{subject}: the policy has no such service; {hint(subject, [*services, LOGIN])}")
    return service


def _print(views: list[Any], layout: str, configuration: Configuration, *, single: bool) -> None:
    if layout == "json" and single:
        put_json(views[0])
    elif layout:
        complete = layout in ("json", "ndjson")
        rows = views if complete else (row for view in views for row in why_rows(view))
        put(rendered(rows, COLUMNS, layout))
    else:
        register = configuration.register
        display(
            with_names("\n" * bool(number) + why_text(view), register) for number, view in enumerate(views)
        )
