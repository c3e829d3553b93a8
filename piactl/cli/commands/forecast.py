"""`forecast`: shows what dates alone will change, night by night."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Annotated

import typer

from piactl.ask.account_views import PERSON_COLUMNS, PRIVATE_MAIL
from piactl.ask.forecast_nights import Forecast, Night, change_rows, day_row, first_night, leavers
from piactl.cli.framework.configuration import this_configuration, today
from piactl.cli.framework.open_directory import reading
from piactl.cli.framework.options import (
    AsOf,
    Columns,
    Output,
    day_option,
    number_option,
)
from piactl.cli.framework.output import display, layout_or_default, progress_line, read_columns, say
from piactl.cli.framework.writing_command import journal_private_reading
from piactl.directory.store.typed_records import to_json
from piactl.errors import Exit, UsageError
from piactl.phrase import Phrase, counted, joined
from piactl.report.forecast_text import (
    LEAVER_COLUMNS,
    change_table,
    day_table,
    leaver_table,
    stopped_text,
)

_USUAL_DAYS = 30
_MOST_DAYS = 3660


def forecast(
    until: Annotated[
        date | None, day_option("--until", "The last day (YYYY-MM-DD); 30 days ahead by default.")
    ] = None,
    list_: Annotated[
        bool, typer.Option("--list", help="Show every change instead of numbers by day.")
    ] = False,
    leavers: Annotated[
        int | None,
        number_option("--leavers", "DAYS", "List instead the people who lose something within DAYS days."),
    ] = None,
    private_mail: Annotated[
        bool,
        typer.Option(
            "--private-mail", help="With --leavers: add the private address; the journal records it."
        ),
    ] = False,
    departures: Annotated[
        bool,
        typer.Option("--departures", help="With --leavers: only those whose log in ends, without movers."),
    ] = False,
    columns: Columns = "",
    output: Output = None,
    as_of: AsOf = None,
) -> int:
    """Show what dates alone will change: each coming night without a feed, by day and kind of change. Writes
    nothing.

    json and ndjson have every change with its day, as in a plan. If a guard would stop a night, the output
    says so, and later nights are computed as if it had been approved. Future feeds are unknown and can
    change the result.

    --leavers lists the people who lose something within so many days, one row per person, to warn them. For
    a mail merge add --columns and `-o xlsx`.

    Example: piactl forecast --leavers 30
    """
    of_leavers = {"--private-mail": private_mail, "--departures": departures, "--columns": bool(columns)}
    _check(until, leavers, list_=list_, of_leavers=[name for name, value in of_leavers.items() if value])
    chosen = _columns(columns, private_mail=private_mail) if leavers else ()
    configuration = this_configuration()
    asked = as_of or today(configuration)
    with reading(configuration) as reader:
        accounts = configuration.managed(reader)
        first = first_night(accounts, configuration.unreadable, asked)
        last = _last_day(first, until, leavers)
        if first > asked:
            say(
                Phrase(
                    "the forecast begins on {day}, the day of the last night: nothing is due before it",
                    day=first,
                )
            )
        run = Forecast(
            accounts,
            configuration.rules,
            configuration.settings,
            configuration.unreadable,
            first,
            last,
        )
        layout = layout_or_default(output)
        nights = (
            _leavers(run, layout, chosen, departures=departures) if leavers else _nights(run, layout, list_)
        )
    _say_remarks(nights, last)
    return int(Exit.DONE)


def _check(until: date | None, leavers: int | None, *, list_: bool, of_leavers: Sequence[str]) -> None:
    """Raises UsageError with every conflict between the options."""
    problems: list[str] = []
    if leavers is not None and not 1 <= leavers <= _MOST_DAYS:
        given, most = f"--leavers {leavers}", _MOST_DAYS
        problems.append(Phrase("{given}: give a number of days from 1 to {most}", given=given, most=most))
    if leavers is not None and until:
        problems.append(Phrase("--until and --leavers: give one of them; --leavers 30 looks 30 days ahead"))
    if leavers is not None and list_:
        problems.append(Phrase("--list and --leavers: give one of them; --leavers already is a list"))
    if leavers is None:
        problems += [Phrase("{name}: only with --leavers DAYS", name=name) for name in of_leavers]
    if problems:
        raise UsageError(joined(problems, "{first}\n{second}"))


def _last_day(first: date, until: date | None, leavers: int | None) -> date:
    last = until or first + timedelta(days=leavers or _USUAL_DAYS)
    if last < first:
        raise UsageError(
            Phrase(
                "--until {last}: is before the first night of the forecast, {first}", last=last, first=first
            )
        )
    if (last - first).days > _MOST_DAYS:
        raise UsageError(Phrase("--until {last}: is more than {days} days ahead", last=last, days=_MOST_DAYS))
    return last


def _nights(run: Forecast, layout: str, list_: bool) -> list[Night]:
    nights = []
    with progress_line(Phrase("days computed")) as progress:
        for night in run.nights():
            nights.append(night)
            progress((night.day - run.first).days + 1, (run.until - run.first).days + 2)
    if list_ or layout in ("json", "ndjson"):
        rows = (row for night in nights for row in change_rows(night))
        if layout != "table" or any(night.plan.changes for night in nights):
            display(change_table(rows, layout), layout)
    else:
        days = [day_row(night) for night in nights if night.plan.changes]
        if layout != "table" or days:
            display(day_table(days, layout), layout)
        if layout == "table" and days:
            say(Phrase("To show every change: piactl forecast --list"))
    return nights


def _columns(text: str, *, private_mail: bool) -> tuple[str, ...]:
    """The columns of --leavers. Raises UsageError."""
    person_columns = (*PERSON_COLUMNS, *([PRIVATE_MAIL] if private_mail else []))
    columns = read_columns(text, LEAVER_COLUMNS, person_columns)
    if not private_mail or PRIVATE_MAIL in columns:
        return columns
    index = columns.index("address") + 1 if "address" in columns else len(columns)
    return (*columns[:index], PRIVATE_MAIL, *columns[index:])


def _leavers(run: Forecast, layout: str, columns: Sequence[str], *, departures: bool) -> list[Night]:
    private_mail = PRIVATE_MAIL in columns
    holdoff = this_configuration().settings.password.holdoff_days
    rows, nights = leavers(run, holdoff, say if private_mail else lambda _: None, departures=departures)
    if private_mail and rows:
        journal_private_reading(
            this_configuration(), Phrase("private addresses"), [row["uid"] for row in rows]
        )
    if rows or layout != "table":
        display(leaver_table(rows, layout, columns), layout)
    else:
        leaves = Phrase("nobody leaves until {day}", day=run.until)
        say(leaves if departures else Phrase("nobody loses anything until {day}", day=run.until))
    return nights


def _say_remarks(nights: Sequence[Night], last: date) -> None:
    """Prints the remarks below the table: no change due, held people, guards that would stop a
    night."""
    if not any(night.plan.changes for night in nights):
        say(Phrase("nothing is due until {last}", last=last))
    holds = {hold.uid or hold.matricule or "": hold.why for night in nights for hold in night.plan.holds}
    if holds:
        person, why = next(iter(holds.items()))
        people = counted(len(holds), "person is held", "people are held")
        say(Phrase("{people}, such as {person}: {why}", people=people, person=person, why=why))
    for night in nights:
        if night.plan.refusals:
            say(stopped_text(night.day.isoformat(), list(map(to_json, night.plan.refusals))))
