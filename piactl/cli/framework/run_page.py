"""What this host kept of runs, and the page of one run for `nightly --html` and `runs show -o html`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

from piactl.ask.status import coming_nights, night_view
from piactl.cli.framework.configuration import Configuration
from piactl.cli.framework.context import reading
from piactl.clock import utc_now
from piactl.core.text import read_json
from piactl.directory.store.run_records import read_runs
from piactl.errors import NotFound, PiactlError
from piactl.phrase import Phrase
from piactl.planning.ready_plan import ReadyPlan
from piactl.report.night_page import night_page

HOLDS = "holds.json"
"""The file in the state folder with the first day of each hold."""


def read_holds(file: Path) -> dict[str, date]:
    try:
        return {name: date.fromisoformat(first) for name, first in read_json(file.read_bytes()).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def page_of_run(
    configuration: Configuration,
    run: str,
    unknown: Mapping[str, Any] | None,
    plan_of: Callable[[Mapping[str, Any]], ReadyPlan | None],
    held_since: Mapping[str, date],
    today: date,
    error: str = "",
    *,
    public: bool,
) -> str:
    """The page of the run with this id, or `last`. `unknown` replaces a record that the directory does not
    have; without it raises NotFound. `plan_of` returns the plan of a record, if it is known. The coming days
    from `today`, and since when people are held (`held_since`), are shown for the last run only."""
    settings, unreadable = configuration.settings, configuration.unreadable
    record, coming = unknown, None
    try:
        with reading(configuration) as reader:
            records = read_runs(reader, settings.directory.state, unreadable, utc_now())
            record = next(
                (run_record for run_record in records if run in (run_record["run"], "last")), unknown
            )
            if records and record is not records[0]:
                held_since = {}
            else:
                accounts = configuration.managed(reader)
                coming = [*coming_nights(accounts, configuration.rules, settings, unreadable, today)]
    except PiactlError:
        if unknown is None:
            raise
    if record is None:
        raise NotFound(Phrase("{run}: no such run; see: piactl runs list", run=run))
    ready = plan_of(record)
    view = night_view(record, ready, configuration.policy, configuration.register, held_since, coming, error)
    return night_page(view, public=public)
