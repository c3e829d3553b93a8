"""`runs list|show|rewind`: the runs, and the day of the last one."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from datetime import date, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from piactl.cli.commands.nightly import page_of_run, read_holds
from piactl.cli.framework.configuration import this_configuration, today
from piactl.cli.framework.open_directory import reading, writing
from piactl.cli.framework.options import (
    Form,
    Output,
    OwnColumns,
    PageOutput,
    Reason,
    day_option,
    need_reason,
    number_option,
)
from piactl.cli.framework.output import (
    FIELDS,
    field_rows,
    layout_or_default,
    put,
    put_text,
    read_columns,
    say,
    show_rows,
    show_views,
    typed_again,
)
from piactl.cli.framework.writing_command import new_order, run_of
from piactl.clock import utc_now
from piactl.core.plan.feed_counts import FATES
from piactl.core.plan.state_between_runs import RunStatus
from piactl.directory.store.run_records import find_run, read_runs
from piactl.errors import REASON, Exit, UsageError
from piactl.phrase import Phrase, counted, joined
from piactl.planning.signed_plan_file import read_kept_plan
from piactl.report.table import numbers
from piactl.runs.rewind_day import rewind as set_back
from piactl.translation import translate_word

COLUMNS = (
    "run", "as_of", "status", "command", "outcomes", "author", "user", "host", "started", "ended", "note",
)  # fmt: skip


def list_(
    output: Output = None,
    most: Annotated[int, number_option("--most", "N", "The number of runs to list; 0 for all.")] = 20,
    columns: OwnColumns = "",
) -> None:
    """List the runs, the latest first.

    Example: piactl runs list --most 5
    """
    chosen = read_columns(columns, COLUMNS, ())
    rows = [_shown(record) for record in _records()]
    layout = layout_or_default(output)
    if layout not in _OBJECTS:
        rows = [
            {**row, "outcomes": _plain("outcomes", row["outcomes"]), "note": _one_line(row["note"])}
            for row in rows
        ]
    show_rows(rows[:most] if most else rows, chosen, layout, only=bool(columns))


def show(
    run: Annotated[str, typer.Argument(metavar="RUN", help="The id of a run, as in `runs list`, or `last`.")],
    output: PageOutput = None,
    public: Annotated[
        bool, typer.Option("--public", help="With -o html: only numbers, without accounts and names.")
    ] = False,
) -> None:
    """Show one run: its command, its plan and its outcome.

    Example: piactl runs show last
    """
    if output is Form.HTML:
        _put_page(run, public=public)
        return
    if public:
        raise UsageError(Phrase("--public needs -o html"))
    record = find_run(_records(), run)
    shown = {**_shown(record), "next": _next(record)}
    plain = {name: _plain(name, value) for name, value in shown.items()}
    show_views(
        [shown], str, FIELDS, layout_or_default(output), single=True, rows_of=lambda _: field_rows(plain)
    )


def _put_page(run: str, *, public: bool) -> None:
    configuration = this_configuration()
    held_since, day = read_holds(configuration), today(configuration)
    plan_of = partial(read_kept_plan, configuration.settings, configuration.keys)
    put([page_of_run(configuration, run, None, plan_of, held_since, day, public=public)])


def rewind(
    to: Annotated[date | None, day_option("--to", "The new day of the last run (YYYY-MM-DD).")],
    reason: Reason = "",
) -> int:
    """Set the day of the last run back after a run with a wrong clock. Nights can then run again.

    No account is changed: the command lists the runs after DATE, and `undo RUN` undoes each, the latest
    first. DATE cannot be after the day of the last run.

    Example: piactl runs rewind --to 2020-01-01 --reason "the clock was a year ahead"
    """
    need_reason(reason, "runs rewind", ["a reason"])
    configuration = this_configuration()
    order = new_order(configuration, None, reason)
    with writing(configuration, "administrator") as writer:
        done = set_back(writer, run_of(configuration, order), to or order.today)
    now = Phrase(
        "run {run}: the day of the last run is {day}; it was {before}",
        run=done.run,
        day=done.after,
        before=done.before,
    )
    put_text([now, "\n"])
    changed = [run for run in done.runs if run.get("summary") and run["status"] != "refused"]
    if changed:
        runs = counted(len(changed), "run is", "runs are")
        say(Phrase("{runs} after {day}. To undo them, the latest first:", runs=runs, day=done.after))
    for run in changed:
        facts = {"run": run["run"], "day": run["as_of"], "status": translate_word(run["status"])}
        say(Phrase('  piactl undo {run} --reason "..."    # as of {day}, {status}', **facts))
    return int(Exit.DONE)


_OBJECTS = ("json", "ndjson")


def _records() -> list[Mapping[str, Any]]:
    configuration = this_configuration()
    with reading(configuration) as reader:
        return read_runs(reader, configuration.settings.directory.state, configuration.unreadable, utc_now())


def _shown(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record for output: both times to the second, so that no run ends before it started, and the outcomes
    as numbers by name."""
    notes = (
        Phrase("undo of run {run}", run=record["undoes"]) if record.get("undoes") else "",
        str(record.get("note") or ""),
        Phrase("undone by run {run}", run=record["undone_by"]) if record.get("undone_by") else "",
    )
    shown = {**record, "outcomes": record.get("outcomes") or {}, "note": joined(filter(None, notes))}
    for name in ("started", "ended"):
        if name in shown:
            shown[name] = _to_the_second(str(shown[name]))
    return shown


def _next(record: Mapping[str, Any]) -> str:
    """The command that goes on after a refused run: with the feeds accepted, or with its plan; "" if none is
    known."""
    settings = this_configuration().settings
    if record["status"] != RunStatus.REFUSED:
        return ""
    feeds, words = record.get("refused_feeds", ()), str(record.get("command", "")).split(" ")
    digests = [feed["digest"] for feed in feeds if "digest" in feed]
    # the record does not say where a word with blanks ended
    if digests and len(digests) == len(feeds) and shlex.join(words) == " ".join(words):
        return typed_again((*(f"--accept-feed {digest}" for digest in digests), REASON), words[1:])
    file = Path(settings.kept_plan(record["plan"])) if record.get("plan") else None
    return f"piactl plan show {shlex.quote(str(file))}" if file is not None and file.is_file() else ""


def _one_line(note: str) -> str:
    return re.sub(r";?\n *", "; ", note) if "\n" in note else note


def _to_the_second(instant: str) -> str:
    try:
        return datetime.fromisoformat(instant).isoformat(timespec="seconds")
    except ValueError:
        return instant


def _plain(name: str, value: object) -> object:
    """A value for a table, without braces and quotes."""
    if isinstance(value, list):  # of names, or of objects
        return joined(_plain_item(item) for item in value)
    if not isinstance(value, dict):
        return value
    if name == "journal":
        start = f"{str(value.get('hash'))[:12]}..."
        return Phrase("line {number}, hash {hash}", number=value.get("seq"), hash=start)
    if name == "alone":  # the process of a command that was no night
        return Phrase("process {number}", number=value.get("pid"))
    if name == "counted":  # by a guard: the number, and of how many
        each = [
            Phrase("{number} of {of} {kind}", number=number, of=of, kind=Phrase(kind))
            for kind, (number, of) in sorted(value.items())
        ]
        return joined(each, "{first}, {second}")
    return numbers(dict(sorted(value.items())))


def _plain_item(item: object) -> str:
    """One feed or one problem of a run."""
    if not isinstance(item, dict):
        return str(item)
    if "why" in item:  # a refused feed
        return Phrase(
            "{source}={file}: {why}", source=item["source"], file=item["file"], why=", ".join(item["why"])
        )
    if "rows" in item:  # what became of the rows of a feed
        facts = {"source": item.get("source"), "rows": counted(item["rows"], "row", "rows")}
        fates = numbers({fate: item.get(fate, 0) for fate in FATES})
        return Phrase("{source}: {rows}, {fates}", fates=fates, **facts)
    if "digest" in item:
        return f"{item.get('source')}={item.get('file')} (sha256 {str(item['digest'])[:12]}...)"
    return joined((str(item.get(part, "")) for part in ("uid", "outcome", "message")), "{first}: {second}")
