"""`guards suggest`: the limits of the guards beside what ordinary nights counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from piactl.ask.suggest_guards import NightCounts, ordinary_nights, suggestions
from piactl.cli.framework.configuration import this_configuration
from piactl.cli.framework.open_directory import reading
from piactl.cli.framework.options import (
    Output,
    RehearsalDir,
    number_option,
    read_date,
)
from piactl.cli.framework.output import display, layout_or_default, say
from piactl.errors import Exit, UsageError
from piactl.host.private_files import refuse_input
from piactl.phrase import Phrase, counted
from piactl.report.policy_text import guards_table
from piactl.trials.rehearse_nights import RehearsalFolder


def suggest(
    folder: RehearsalDir = "",
    unusual: Annotated[
        list[str] | None,
        typer.Option("--except", metavar="DATE", help="A night that was not ordinary; can be repeated."),
    ] = None,
    margin: Annotated[
        float,
        number_option(
            "--margin",
            "NUMBER",
            "Suggest the highest number of one night, times this (1 to 100).",
            1,
            100,
            float,
        ),
    ] = 1.5,
    output: Output = None,
) -> int:
    """Show, for each guard, the ordinary night nearest to its limit, and a limit that stops none of them.

    Ordinary nights are those that nothing refused, nobody had to approve and nobody undid, except those of
    --except. Before you use a number, look for a night that stands out. `KIND per establishment` is the
    establishment nearest to its limit. Nothing is written: the numbers are for `guards` of the policy.

    Example: piactl guards suggest --margin 2
    """
    left_out = {read_date("--except", text) for text in unusual or ()}
    configuration = this_configuration()
    nights = _rehearsed(folder) if folder else _real()
    ordinary = [(day, counts) for day, counts in nights if day not in left_out]
    if not ordinary:
        raise UsageError(Phrase("no ordinary night to learn from; rehearse some: piactl rehearse --help"))
    rows = [
        {**asdict(row), "day": row.day.isoformat()}
        for row in suggestions(ordinary, configuration.policy, margin)
    ]
    layout = layout_or_default(output)
    if rows or layout != "table":
        display(guards_table(rows, layout), layout)
    days = sorted(day for day, _ in ordinary)
    count = counted(len(ordinary), "ordinary night", "ordinary nights")
    say(Phrase("{nights} from {first} to {last}", nights=count, first=days[0], last=days[-1]))
    return int(Exit.DONE)


def _rehearsed(folder: str) -> Sequence[tuple[date, NightCounts]]:
    refuse_input("DIR", folder, this_configuration().settings.rehearsals_folder)
    return [
        (date.fromisoformat(night["date"]), {kind: (n, of) for kind, (n, of) in night["counted"].items()})
        for night in RehearsalFolder(Path(folder)).nights()
        if night["status"] == "done" and not night.get("approved")
    ]


def _real() -> Sequence[tuple[date, NightCounts]]:
    configuration = this_configuration()
    with reading(configuration) as reader:
        return ordinary_nights(reader, configuration.settings.directory.state, configuration.unreadable)
