"""`rehearse`: goes through nights of a period with their feeds in memory, before they are live."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer

from piactl.cli.commands.plan import with_policy
from piactl.cli.framework.context import (
    ProgressLine,
    display,
    layout_or_default,
    say,
    show_rows,
    this_configuration,
)
from piactl.cli.framework.options import Output, read_date
from piactl.cli.framework.stop_flag import stop_on_signals
from piactl.core.text import counted
from piactl.directory.simulated_directory import EmptyDirectory
from piactl.errors import Exit, UsageError
from piactl.flows.plan.inputs.account_index import ManagedAccounts
from piactl.flows.rehearsal import EMPTY, Nights, RehearsalFolder, differences, feeds_by_night, inputs_of
from piactl.flows.rehearsal import rehearse as rehearse_nights
from piactl.private_files import refuse_input, refuse_output
from piactl.report.forecast_and_rehearsal_text import DIFFERENCE_COLUMNS, nights_table

_MOST_DAYS = 3660


def rehearse(
    feeds: Annotated[
        str,
        typer.Option("--feeds", metavar="DIR", help="The folder with the feeds of the period. [required]"),
    ] = "",
    days: Annotated[
        str, typer.Option("--days", metavar="A..B", help="The first and the last night. [required]")
    ] = "",
    out: Annotated[
        str, typer.Option("--out", metavar="DIR", help="The folder of the rehearsal (mode 0700). [required]")
    ] = "",
    start: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="FILE",
            help="The directory before the first night: an LDIF file of slapcat, or `empty`.",
        ),
    ] = "empty",
    draft: Annotated[
        str,
        typer.Option("--policy", metavar="FILE", help="Rehearse with this draft of a policy; - is stdin."),
    ] = "",
    approve: Annotated[
        bool,
        typer.Option("--approve", help="Apply what guards refuse, as if somebody had approved each night."),
    ] = False,
    compare: Annotated[
        str,
        typer.Option("--compare", metavar="DIR", help="Also show how it differs from another rehearsal."),
    ] = "",
    output: Output = None,
) -> int:
    """Rehearse every night of a period in memory: feeds, dates, absences, guards and cases.

    A feed belongs to the night of the day in its name, otherwise of that in its last line. Without
    --approve, a night that a guard refuses changes nothing, as in reality. The folder of --out gets the
    outcome of each night (nights.ndjson) and the directory after the last one (directory.ldif, without
    passwords). To continue an interrupted rehearsal, repeat the command. The directory and the state of
    this host are neither read nor written.

    Exit codes: 0 done, 3 the two rehearsals differ (with --compare), 5 nights were refused, or the
    rehearsal was interrupted.

    Example: piactl rehearse --feeds feeds --days 2026-09-01..2026-09-30 --out september
    """
    first, last = _period(feeds, days, out)
    if start != EMPTY:
        refuse_input("--from", start)
    refuse_output("--out", out)
    if compare:
        refuse_input("--compare", compare)
    live = this_configuration()
    configuration = with_policy("--policy", draft, live) if draft else live
    other = RehearsalFolder(Path(compare)) if compare else None
    if other is not None:
        other.nights()
    folder = RehearsalFolder(Path(out))
    settings = configuration.settings.with_state_folder(str(folder.state))
    night_feeds = feeds_by_night(Path(feeds), settings.sources, first, last)
    for sentence in night_feeds.left:
        say(sentence)
    rules = configuration.rules(first)
    inputs = inputs_of(start, night_feeds, rules, live.settings, (first, last), approved=approve)
    reader = EmptyDirectory()
    accounts = ManagedAccounts(reader, settings.directory, configuration.encoding.fitted_to(reader))
    nights = Nights.of(accounts, settings, configuration.rules, configuration.unreadable, approved=approve)
    with stop_on_signals() as stop, ProgressLine("nights rehearsed") as progress:
        stopped = rehearse_nights(nights, folder, inputs, start, night_feeds, progress=progress, stop=stop)
    done = folder.nights()
    if stopped:
        say(f"stopped by {stopped} after {done[-1]['date']}; to continue, repeat the command")
        return int(Exit.PARTLY)
    return _show(done, folder, other, layout_or_default(output))


def _period(feeds: str, days: str, out: str) -> tuple[date, date]:
    """The first and the last day. Raises UsageError with every missing or wrong option."""
    options = {"--feeds DIR": feeds, "--days A..B": days, "--out DIR": out}
    problems = [f"{option}: is missing" for option, value in options.items() if not value]
    a, sign, b = days.partition("..")
    if days and not (a and sign and b):
        problems.append(f"--days {days}: write the first and the last night as 2026-08-24..2027-07-10")
    if problems:
        raise UsageError("\n".join(problems))
    first, last = read_date("--days", a) or date.min, read_date("--days", b) or date.min
    if not 0 <= (last - first).days < _MOST_DAYS:
        raise UsageError(f"--days {days}: give from 1 to {_MOST_DAYS} days, the first one first")
    return first, last


def _show(
    nights: Sequence[dict[str, Any]], folder: RehearsalFolder, other: RehearsalFolder | None, layout: str
) -> int:
    refused = [night for night in nights if night["status"] != "done"]
    if other is not None:
        rows = list(differences(folder, other))
        if rows or layout != "table":
            show_rows(rows, DIFFERENCE_COLUMNS, layout)
        say(f"{counted(len(rows), 'difference')} from {other.folder}")
        return int(Exit.CHANGES if rows else Exit.DONE)
    display(nights_table(nights, layout), layout)
    say(f"{counted(len(nights), 'night')} rehearsed, {len(refused)} refused: {folder.folder}")
    return int(Exit.PARTLY if refused else Exit.DONE)
