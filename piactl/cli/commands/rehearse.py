"""`rehearse`: goes through nights of a period with their feeds on a private server, before they are live."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from piactl.cli.commands.plan import with_policy
from piactl.cli.framework.configuration import Configuration, this_configuration
from piactl.cli.framework.open_directory import reading
from piactl.cli.framework.options import Output, read_date
from piactl.cli.framework.output import display, layout_or_default, progress_line, say, show_rows
from piactl.cli.framework.terminal import stop_on_signals
from piactl.clock import utc_now
from piactl.directory.interfaces import RawEntry
from piactl.directory.ldif import read_ldif
from piactl.directory.store.attribute_map import encoding_of
from piactl.directory.store.directory_copy import copied_settings, read_copy, read_directory
from piactl.errors import Exit, UsageError
from piactl.host.private_files import refuse_input, refuse_output
from piactl.phrase import Phrase, counted, joined
from piactl.planning.account_index import ManagedAccounts
from piactl.report.forecast_text import DIFFERENCE_COLUMNS, nights_table
from piactl.trials.rehearse_nights import (
    DIRECTORY,
    EMPTY,
    FeedsByNight,
    Nights,
    RehearsalFolder,
    differences,
    feeds_by_night,
    private_directory,
)
from piactl.trials.rehearse_nights import rehearse as rehearse_nights

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
            help="The first directory: an LDIF file of slapcat, `directory` (a copy of yours), or `empty`.",
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
    """Rehearse every night of a period on a private slapd: feeds, dates, absences, guards and cases.

    A feed belongs to the night of the day in its name, otherwise of that in its last line. Without
    --approve, a night that a guard refuses changes nothing, as in reality. The folder of --out gets the
    outcome of each night (nights.ndjson) and the directory after the last one (directory.ldif, without
    passwords). The directory and the state of this host are not written, and read only with `--from
    directory`. It needs slapd on this host, as `piactl sandbox` does.

    Exit codes: 0 done, 3 the two rehearsals differ (with --compare), 5 nights were refused, or the
    rehearsal was interrupted.

    Example: piactl rehearse --feeds feeds --days 2026-09-01..2026-09-30 --out september
    """
    first, last = _period(feeds, days, out)
    live = this_configuration()
    folder_of_host = live.settings.rehearsals_folder
    if start not in (EMPTY, DIRECTORY):
        refuse_input("--from", start, folder_of_host)
    refuse_output("--out", out, folder_of_host)
    if compare:
        refuse_input("--compare", compare, folder_of_host)
    configuration = with_policy("--policy", draft, live) if draft else live
    other = RehearsalFolder(Path(compare)) if compare else None
    if other is not None:
        other.nights()
    folder = RehearsalFolder(Path(out))
    folder.refuse_used()
    sources = live.settings.with_state_folder(str(folder.state)).sources
    night_feeds = feeds_by_night(Path(feeds), sources, first, last)
    for sentence in night_feeds.left:
        say(sentence)
    stopped = _rehearse(configuration, folder, start, night_feeds, (first, last), approve)
    done = folder.nights()
    if stopped:
        say(
            Phrase(
                "stopped by {signal} after {day}: the later nights are not rehearsed",
                signal=stopped,
                day=done[-1]["date"],
            )
        )
        return int(Exit.PARTLY)
    return _show(done, folder, other, layout_or_default(output))


def _rehearse(
    configuration: Configuration,
    folder: RehearsalFolder,
    start: str,
    feeds: FeedsByNight,
    period: tuple[date, date],
    approved: bool,
) -> str:
    """Returns the signal that stopped it, "" at the end."""
    real = configuration.settings.directory
    encoding = encoding_of(configuration.policy, copied_settings(real), configuration.keys)
    entries = _first_entries(start, configuration)
    days = [period[0] + timedelta(days=number) for number in range((period[1] - period[0]).days + 1)]
    with (
        stop_on_signals() as stop,
        private_directory(real, encoding, entries) as (directory, writer),
        progress_line(Phrase("nights rehearsed")) as progress,
    ):
        del entries
        folder.begin()
        settings = replace(configuration.settings.with_state_folder(str(folder.state)), directory=directory)
        accounts = ManagedAccounts(writer, directory, encoding.fitted_to(writer))
        nights = Nights(
            writer,
            accounts,
            settings,
            configuration.rules,
            configuration.keys,
            configuration.unreadable,
            utc_now,
            approved,
        )
        with closing(nights):
            stopped = rehearse_nights(nights, folder, days, feeds, progress=progress, stop=stop)
            folder.save(read_copy(writer, directory, encoding))
            return stopped


def _first_entries(start: str, configuration: Configuration) -> list[RawEntry]:
    """The entries of the directory before the first night. Raises UsageError for a file that is not LDIF."""
    if start == EMPTY:
        return []
    if start != DIRECTORY:
        return [*read_ldif(Path(start))]
    with reading(configuration) as reader:
        return [*read_directory(reader, configuration.settings.directory.suffix, configuration.encoding)]


def _period(feeds: str, days: str, out: str) -> tuple[date, date]:
    """The first and the last day. Raises UsageError with every missing or wrong option."""
    options = {"--feeds DIR": feeds, "--days A..B": days, "--out DIR": out}
    problems = [Phrase("{option}: is missing", option=name) for name, value in options.items() if not value]
    a, sign, b = days.partition("..")
    if days and not (a and sign and b):
        problems.append(
            Phrase("--days {days}: write the first and the last night as 2026-08-24..2027-07-10", days=days)
        )
    if problems:
        raise UsageError(joined(problems, "{first}\n{second}"))
    first, last = read_date("--days", a) or date.min, read_date("--days", b) or date.min
    if not 0 <= (last - first).days < _MOST_DAYS:
        raise UsageError(
            Phrase(
                "--days {days}: give from 1 to {most} days, the first one first", days=days, most=_MOST_DAYS
            )
        )
    return first, last


def _show(
    nights: Sequence[dict[str, Any]], folder: RehearsalFolder, other: RehearsalFolder | None, layout: str
) -> int:
    refused = [night for night in nights if night["status"] != "done"]
    if other is not None:
        rows = list(differences(folder, other))
        if rows or layout != "table":
            show_rows(rows, DIFFERENCE_COLUMNS, layout)
        count = counted(len(rows), "difference", "differences")
        say(Phrase("{differences} from {folder}", differences=count, folder=other.folder))
        return int(Exit.CHANGES if rows else Exit.DONE)
    display(nights_table(nights, layout), layout)
    say(
        Phrase(
            "{nights}, {number} refused: {folder}",
            nights=counted(len(nights), "night rehearsed", "nights rehearsed"),
            number=len(refused),
            folder=folder.folder,
        )
    )
    return int(Exit.PARTLY if refused else Exit.DONE)
