"""`runs`: what was done, by whom, with what end."""

from __future__ import annotations

from typing import Annotated

import typer

from piactl.cli.context import layout_or_default, put, reading, this_site
from piactl.cli.options import Output
from piactl.errors import AccountNotFound

app = typer.Typer(no_args_is_help=True, help="The runs that wrote, and what became of them.")

COLUMNS = ("run", "as_of", "status", "user", "host", "started", "ended", "outcomes", "note")


@app.command("list")
def list_(
    output: Output = None,
    most: Annotated[int, typer.Option("--most", help="How many, the latest first; 0 for all.")] = 20,
) -> None:
    """List the runs, the latest first."""
    from piactl.flows.running import read_runs
    from piactl.report.tabular import rendered

    site = this_site()
    with reading(site) as reader:
        records = read_runs(reader, site.settings.directory.state)
    rows = [{**record, "outcomes": _counts(record.get("outcomes"))} for record in records]
    put(rendered(rows[:most] if most else rows, COLUMNS, layout_or_default(output)))


@app.command()
def show(
    run: Annotated[str, typer.Argument(help="The id of a run, as `runs list` tells it; or `last`.")],
    output: Output = None,
) -> None:
    """Show one run: what it was asked, what it planned, what became of it."""
    from piactl.flows.running import read_runs
    from piactl.report.tabular import rendered

    site = this_site()
    with reading(site) as reader:
        records = read_runs(reader, site.settings.directory.state)
    found = [r for r in records if r["run"] == run] or (records[:1] if run == "last" else [])
    if not found:
        raise AccountNotFound(f"{run}: there is no such run; see: piactl runs list")
    layout = layout_or_default(output)
    if layout in ("json", "ndjson"):
        put(rendered(found, (), "ndjson" if layout == "ndjson" else "json"))
        return
    rows = [{"field": name, "value": _plain(value)} for name, value in found[0].items()]
    put(rendered(rows, ("field", "value"), layout))


def _counts(value: object) -> str:
    return ", ".join(f"{n} {what}" for what, n in sorted(value.items())) if isinstance(value, dict) else ""


def _plain(value: object) -> object:
    import json

    return json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list)) else value
