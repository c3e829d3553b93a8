"""`recover`: shows and accepts the runs of this host that the directory lacks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Annotated, Any

import typer

from piactl.cli.framework.account_command import Manner, ask, begin
from piactl.cli.framework.configuration import Configuration, this_configuration
from piactl.cli.framework.open_directory import reading, writing
from piactl.cli.framework.options import DryRun, Form, RunOutput, SometimesReason, Yes, need_reason
from piactl.cli.framework.output import display, put_json, say
from piactl.clock import utc_now
from piactl.directory.client.usable_server import shown_uri
from piactl.directory.interfaces import Reader
from piactl.errors import Exit, PiactlError, UsageError
from piactl.journal import who
from piactl.phrase import Phrase, counted
from piactl.report.recover_text import feed_words, lost_text
from piactl.runs.recover_directory import accept_lost_runs, recovery_report


def recover(
    accept: Annotated[
        bool, typer.Option("--accept", help="Record that these runs are lost; commands can then write again.")
    ] = False,
    reason: SometimesReason = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    output: RunOutput = Form.TEXT,
) -> int:
    """Show the runs that the journal of this host has and the directory lacks.

    The directory lacks runs after a backup was restored, or if a server answers that never received them.
    Commands that write then refuse, and also if the first server of directory.servers is another one than the
    last run wrote to (serverID, or another tree). What that server lacks is shown by its contextCSN and by
    the journal.
    Each run is shown with its feeds and the state of each account it wrote: present, missing or different.
    The state of passwords is unknown, because the journal does not record them. The delta feeds to apply
    again follow, in order, and the commands that people have to give again. Without options nothing is
    changed.

    --accept marks the runs as lost and the server as the one that is written to, in the journal and in the
    directory: commands can write again, and the sources accept these feeds again. It changes no account. The
    uids and addresses that these runs gave are kept for their first owners.

    Exit codes: 0 the directory lacks no run, or done, 7 another run is writing, 11 the directory lacks runs.

    Example: piactl recover --dry-run
    """
    if reason and not accept:
        raise UsageError(Phrase("--reason needs --accept"))
    need_reason(reason, "--accept", ["--accept"] if accept else [])
    configuration = this_configuration()
    with _asking(configuration) as reader:
        settings, keys, unreadable = configuration.settings, configuration.keys, configuration.unreadable
        report = recovery_report(reader, settings, keys, unreadable, utc_now, who().host)
    if dry_run or not accept:
        _print(report, output)
        return int(Exit.OLDER if report["older"] or report["runs"] else Exit.DONE)
    if report["older"] or report["runs"]:
        runs = counted(len(report["runs"]), "run", "runs")
        question = Phrase("Accept that the directory lacks {runs}?", runs=runs)
        ask(lambda: lost_text(report), question, yes=yes)
    return _accept(reason, report, output)


@contextmanager
def _asking(configuration: Configuration) -> Iterator[Reader]:
    """The server that is written to, which shows what it is by a write of `cn=clock`; the first that can be
    read if this user may not write there."""
    with ExitStack() as stack:
        try:
            reader: Reader = stack.enter_context(writing(configuration))
        except PiactlError:
            reader = stack.enter_context(reading(configuration))
        yield reader


def _print(report: dict[str, Any], output: Form) -> None:
    if output is Form.JSON:
        put_json(report, 1)
    else:
        display([lost_text(report)])


def _accept(reason: str, report: dict[str, Any], output: Form) -> int:
    command = begin(Manner(reason))
    order = command.order
    with writing(command.configuration) as writer:
        lost, feeds = accept_lost_runs(writer, command.run())
    if output is Form.JSON:
        accepted = {"run": order.run, "accepted": [run.run for run in lost], **report}
        put_json(accepted, 1)
        return int(Exit.DONE)
    runs = counted(len(lost), "run", "runs")
    display([Phrase("run {run}: accepted that the directory lacks {runs}", run=order.run, runs=runs), "\n"])
    server = shown_uri(command.configuration.settings.directory.servers[0])
    say(Phrase("{server} is the server that is written to", server=server))
    for feed in feeds:
        say(Phrase("apply again: {feed}", feed=feed_words(feed)))
    for again in report["by_hand"]:
        say(Phrase("give again after the feeds: {command}", command=again))
    return int(Exit.DONE)
