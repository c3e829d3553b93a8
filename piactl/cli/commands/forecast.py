"""`forecast`: what dates alone will change, night by night."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from piactl.cli.framework.context import (
    ProgressLine,
    layout_or_default,
    put,
    reading,
    say,
    this_configuration,
    today,
)
from piactl.cli.framework.options import AsOf, Output, read_date, read_day
from piactl.errors import Exit, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from piactl.flows.forecast.simulate import Forecast, Night

_USUAL_DAYS = 30
_MOST_DAYS = 3660


def forecast(
    until: Annotated[
        str | None,
        typer.Option("--until", metavar="DATE", help="The last day (YYYY-MM-DD); 30 days ahead without it."),
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="Every change, instead of numbers by day.")] = False,
    leavers: Annotated[
        int | None,
        typer.Option("--leavers", metavar="DAYS", help="Instead: who loses something within so many days."),
    ] = None,
    private_mail: Annotated[
        bool, typer.Option("--private-mail", help="With --leavers: also the private address.")
    ] = False,
    output: Output = None,
    as_of: AsOf = None,
) -> int:
    """Tell what dates alone will change: what each night without a feed would do, by day and kind of change.

    json and ndjson hold every change with its day, as in a plan. Where a guard would stop a night it
    is said, and the nights after it go on as if that one had been approved. What HR will say is not known:
    a feed changes what comes after it. `--leavers 30` lists who is about to lose what, one row a person,
    for the warnings to send. Nothing is written.
    """
    from piactl.flows.forecast.simulate import Forecast, first_night
    from piactl.flows.plan.inputs.account_index import ManagedAccounts

    _check(until, leavers, list_=list_, private_mail=private_mail)
    configuration = this_configuration()
    asked = read_day(as_of, today(configuration))
    with reading(configuration) as reader:
        accounts = ManagedAccounts(
            reader, configuration.settings.directory, configuration.encoding.fitted_to(reader)
        )
        first = first_night(accounts, configuration.unreadable, asked)
        last = _last_day(first, until, leavers)
        if first > asked:
            say(f"the last night was of {first}: nothing can be due before, so the forecast begins there")
        run = Forecast(
            accounts,
            configuration.rules,
            configuration.settings.sources,
            configuration.unreadable,
            first,
            last,
        )
        layout = layout_or_default(output)
        nights = _leavers(run, layout, private_mail=private_mail) if leavers else _nights(run, layout, list_)
    _tell(nights, last)
    return int(Exit.DONE)


def _check(until: str | None, leavers: int | None, *, list_: bool, private_mail: bool) -> None:
    """Raises UsageError with everything that does not go together."""
    wrong = []
    if leavers is not None and not 1 <= leavers <= _MOST_DAYS:
        wrong.append(f"--leavers {leavers}: give a number of days from 1 to {_MOST_DAYS}")
    if leavers is not None and until:
        wrong.append("--until and --leavers: give one of them; --leavers 30 looks 30 days ahead")
    if leavers is not None and list_:
        wrong.append("--list and --leavers: give one of them; --leavers is a list already")
    if private_mail and leavers is None:
        wrong.append("--private-mail: only with --leavers DAYS")
    if wrong:
        raise UsageError("\n".join(wrong))


def _last_day(first: date, until: str | None, leavers: int | None) -> date:
    last = read_date("--until", until) or first + timedelta(days=leavers or _USUAL_DAYS)
    if last < first:
        raise UsageError(f"--until {last}: is before the first night that can be foretold, {first}")
    if (last - first).days > _MOST_DAYS:
        raise UsageError(f"--until {last}: is more than {_MOST_DAYS} days ahead")
    return last


def _nights(run: Forecast, layout: str, list_: bool) -> list[Night]:
    from piactl.flows.forecast.simulate import change_rows, day_row
    from piactl.report.forecast_text import change_table, day_table

    progress = ProgressLine("days looked at")
    nights = []
    for night in run.nights():
        nights.append(night)
        progress((night.day - run.first).days + 1, (run.until - run.first).days + 2)
    progress.close()
    if list_ or layout in ("json", "ndjson"):
        rows = (row for night in nights for row in change_rows(night))
        if layout != "table" or any(night.plan.changes for night in nights):
            put(change_table(rows, layout))
    else:
        days = [day_row(night) for night in nights if night.plan.changes]
        if layout != "table" or days:
            put(day_table(days, layout))
        if layout == "table" and days:
            say("every change: piactl forecast --list")
    return nights


def _leavers(run: Forecast, layout: str, *, private_mail: bool) -> list[Night]:
    from piactl.flows.forecast.leavers import leavers
    from piactl.report.forecast_text import leaver_table

    rows, nights = leavers(run)
    if rows or layout != "table":
        put(leaver_table(rows, layout, private_mail=private_mail))
    else:
        say(f"nobody loses anything until {run.until}")
    return nights


def _tell(nights: Sequence[Night], last: date) -> None:
    """What the numbers do not say: nothing at all, a look at everything, who is held, guards."""
    from piactl.core.text import counted
    from piactl.flows.plan.plan_file import refusal_facts
    from piactl.report.forecast_text import stopped_text

    if not any(night.plan.changes for night in nights):
        say(f"nothing is due until {last}")
    for night in nights:
        if night.whole:
            say(
                f"{night.day}: the policy or the register was changed since the last night, or what the "
                "server can do, or that left something undone; so this night also does what follows from that"
            )
    held = {hold.uid or hold.matricule or "": hold.why for night in nights for hold in night.plan.holds}
    if held:
        who, why = next(iter(held.items()))
        say(
            f"{counted(len(held), 'person is', 'people are')} held and left as they are, such as {who}: {why}"
        )
    for night in nights:
        if night.plan.refusals:
            say(stopped_text(night.day.isoformat(), [refusal_facts(one) for one in night.plan.refusals]))
