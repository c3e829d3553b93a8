"""`events`: what became of accounts, for other programs."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from itertools import chain, islice
from typing import Annotated, Any

import typer

from piactl.cli.framework.configuration import this_configuration
from piactl.cli.framework.options import Form, Output, use_form
from piactl.cli.framework.output import display, layout_or_default
from piactl.cli.framework.terminal import discard, stop_on_signals
from piactl.errors import Exit, UsageError
from piactl.journal.event_stream import EventStream, read_cursor
from piactl.phrase import Phrase
from piactl.report.table import rendered

COLUMNS = ("id", "at", "kind", "uid", "state", "added", "removed", "old", "new", "effective", "run")
_PAUSE = 0.5
"""Seconds between two readings of the journal."""


def events(
    since: Annotated[
        str,
        typer.Option("--since", metavar="ID", help="Only events after the one with this id."),
    ] = "",
    follow: Annotated[
        bool,
        typer.Option("--follow", help="Wait for more events until a signal ends the command; prints ndjson."),
    ] = False,
    output: Output = None,
) -> int:
    """Show what became of accounts, for other programs: one event for each kind of change.

    Only changes that were made are events; they come from the journal of this host and user. Keep the `id`
    of the last event that you handled, and give it to --since: you get every later event, in order. After a
    crash you may get an event twice, with the same id, and never miss one: an outcome that a killed run
    left open becomes an event of the next run. No two events have the same id.

    state, services and address are what the write changed, and null or empty where it changed nothing of
    that; the events of one write share them. schemas/json/events.schema.json describes a record.

    Exit codes: 0 done, 9 the events after this id are no longer there, or the id is of another journal.

    Example: piactl events -o ndjson
    """
    if follow and output not in (None, Form.NDJSON):
        raise UsageError(Phrase("--follow prints ndjson only: leave -o out"))
    cursor = read_cursor(since) if since else None
    stream = EventStream(this_configuration().settings.journal_file, cursor)
    if follow:
        use_form(Form.NDJSON)
        return _followed(stream)
    layout = layout_or_default(output)
    new_events = stream.new()
    first = list(islice(new_events, 1))  # before the header: the cursor may be refused
    records = (event.record() for event in chain(first, new_events))
    display(
        rendered(records if layout in ("json", "ndjson") else map(_flat, records), COLUMNS, layout), layout
    )
    return int(Exit.DONE)


def _followed(stream: EventStream) -> int:
    """Prints events until a signal, or until their reader ends."""
    with stop_on_signals() as stop:
        while not stop():
            try:
                for line in _lines(stream):
                    sys.stdout.write(line)
                    if stop():
                        break
                sys.stdout.flush()
            except BrokenPipeError:
                discard(sys.stdout)
                break
            if not stop():
                time.sleep(_PAUSE)
    return int(Exit.DONE)


def _lines(stream: EventStream) -> Iterator[str]:
    yield from rendered((event.record() for event in stream.new()), (), "ndjson")


def _flat(record: dict[str, Any]) -> dict[str, Any]:
    return {**record, **record["services"], **record["address"]}
