"""`doctor`: is everything there that piactl relies on?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from piactl.cli.framework.context import configuration_path, put
from piactl.cli.framework.options import Layout, Output
from piactl.clock import utc_now
from piactl.errors import ConfigurationInvalid
from piactl.report.doctor_text import doctor_text
from piactl.report.table import rendered

COLUMNS = ("id", "title", "where", "result", "severity", "found", "meaning", "advice")


def doctor(
    output: Output = None,
    strict: Annotated[bool, typer.Option("--strict", help="A warning counts as an error.")] = False,
) -> int:
    """Check the server, its schema, overlays, indexes, limits and rights, the clock, the lock, the journal.

    Each check has a number that it keeps, and says what a failure means and what to do. Nothing is changed.
    Exit codes: 0 no error (with --strict: no warning), 1 an error was found, 8 no server can be reached,
    10 configuration, policy or secrets cannot be used.
    """
    from piactl.flows.doctor import examine, exit_code
    from piactl.journal import who

    configuration: Path | ConfigurationInvalid
    try:
        configuration = configuration_path()
    except ConfigurationInvalid as missing:
        configuration = missing
    examination = examine(configuration, utc_now, who().host)
    rows = [finding.row() for finding in examination.findings]
    if output in (None, Layout.TABLE):
        put([doctor_text(rows)])
    else:
        put(rendered(rows, COLUMNS, output.value))
    return int(exit_code(examination, strict=strict))
