"""`runs`: what was done, by whom, with what end."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

import typer

from piactl.cli.framework.context import layout_or_default, put, reading, say, this_configuration, writing
from piactl.cli.framework.options import Output, Reason, need_reason, read_day
from piactl.clock import utc_now
from piactl.core.text import counted
from piactl.errors import AccountNotFound, Exit
from piactl.report.table import rendered

COLUMNS = ("run", "as_of", "status", "user", "host", "started", "ended", "outcomes", "note")


def list_(
    output: Output = None,
    most: Annotated[int, typer.Option("--most", help="How many, the latest first; 0 for all.")] = 20,
) -> None:
    """List the runs, the latest first."""

    rows = [_told(record) for record in _records()]
    layout = layout_or_default(output)
    if layout not in _OBJECTS:
        rows = [{**row, "outcomes": _plain("outcomes", row["outcomes"])} for row in rows]
    put(rendered(rows[:most] if most else rows, COLUMNS, layout))


def show(
    run: Annotated[str, typer.Argument(help="The id of a run, as in `runs list`, or `last`.")],
    output: Output = None,
) -> None:
    """Show one run: what it was asked, what it planned, what became of it."""

    records = _records()
    found = next((r for r in records if run in (r["run"], "last")), None)
    if found is None:
        raise AccountNotFound(f"{run}: there is no such run; see: piactl runs list")
    told = _told(found)
    layout = layout_or_default(output)
    if layout == "json":
        put([json.dumps(told, ensure_ascii=False, indent=2) + "\n"])
    elif layout == "ndjson":
        put(rendered([told], (), layout))
    else:
        rows = [{"field": name, "value": _plain(name, value)} for name, value in told.items()]
        put(rendered(rows, ("field", "value"), layout))


def rewind(
    to: Annotated[str, typer.Option("--to", metavar="DATE", help="The day that the last run gets.")],
    reason: Reason = "",
) -> int:
    """Set the day of the last run back, after a run with a wrong clock, so that nights are accepted again.

    Changes no account: the runs that lie after DATE are listed, and `undo RUN` puts back what each changed,
    the latest first. The next night evaluates every account. DATE is not after the day of the last run.
    """
    from piactl.cli.framework.run_context import new_order
    from piactl.flows.rewind_run_day import rewind as set_back

    need_reason(reason, "runs rewind", ["a reason"])
    configuration = this_configuration()
    order = new_order(configuration, None, reason)
    day = read_day(to, order.today)
    with writing(configuration, "administrator") as writer:
        done = set_back(
            writer,
            order,
            configuration.settings,
            configuration.keys,
            configuration.unreadable,
            day,
            now=utc_now,
            say=say,
        )
    put([f"run {done.run}: the day of the last run is {done.after}; it was {done.before}\n"])
    changed = [one for one in done.runs if one.get("summary") and one["status"] != "refused"]
    if changed:
        runs = counted(len(changed), "run lies", "runs lie")
        say(f"{runs} after {done.after}. `undo` puts back what they changed, the latest first:")
    for one in changed:
        say(f'  piactl undo {one["run"]} --reason "..."    # as of {one["as_of"]}, {one["status"]}')
    return int(Exit.DONE)


_OBJECTS = ("json", "ndjson")


def _records() -> list[Mapping[str, Any]]:
    from piactl.directory.store.run_records import read_runs

    configuration = this_configuration()
    with reading(configuration) as reader:
        return read_runs(reader, configuration.settings.directory.state, configuration.unreadable, utc_now())


def _told(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record with both its instants to the second, so that no run ends before it started, and its outcomes
    always as numbers by their names."""
    notes = (
        f"undo of run {record['undoes']}" if record.get("undoes") else "",
        str(record.get("note") or ""),
        f"undone by run {record['undone_by']}" if record.get("undone_by") else "",
    )
    told = {**record, "outcomes": record.get("outcomes") or {}, "note": "; ".join(filter(None, notes))}
    for name in ("started", "ended"):
        if name in told:
            told[name] = _to_the_second(str(told[name]))
    return told


def _to_the_second(instant: str) -> str:
    try:
        return datetime.fromisoformat(instant).isoformat(timespec="seconds")
    except ValueError:
        return instant


def _plain(name: str, value: object) -> object:
    """A value for a table: without braces and quotes."""
    if isinstance(value, list):  # of names, or of objects
        return "; ".join(_plain_item(item) for item in value)
    if not isinstance(value, dict):
        return value
    if name == "journal":
        return f"line {value.get('seq')}, hash {str(value.get('hash'))[:12]}..."
    return ", ".join(f"{number} {what}" for what, number in sorted(value.items()))


def _plain_item(item: object) -> str:
    """One feed, or one problem, of a run."""
    if not isinstance(item, dict):
        return str(item)
    if "digest" in item:
        return f"{item.get('source')}={item.get('file')} (sha256 {str(item['digest'])[:12]}...)"
    return ": ".join(str(item.get(part, "")) for part in ("uid", "outcome", "message"))
