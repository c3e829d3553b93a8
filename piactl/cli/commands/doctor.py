"""`doctor`: checks everything that piactl relies on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from piactl.cli.framework.context import configuration_path, display, put
from piactl.cli.framework.options import Output, OutputLayout
from piactl.clock import utc_now
from piactl.errors import ConfigurationInvalid
from piactl.report.doctor_and_recover_text import doctor_text
from piactl.report.table import rendered

COLUMNS = ("id", "title", "where", "result", "severity", "found", "meaning", "advice")


def doctor(
    output: Output = None,
    strict: Annotated[bool, typer.Option("--strict", help="Treat warnings as errors.")] = False,
    canaries: Annotated[
        bool, typer.Option("--canaries", help="Also bind as the accounts of `canaries`, on every server.")
    ] = False,
) -> int:
    """Check the server, its schema, overlays, indexes, limits and rights, the clock, the lock, the journal.

    Each check has a permanent number, and says what a failure means and what to do. Nothing is changed, but
    servers may count the binds of --canaries as failed log ins.

    Exit codes: 0 no error (with --strict: no warning), 1 an error, 8 no server can be reached, 10
    configuration, policy or secrets cannot be used.

    Example: piactl doctor -o json
    """
    from piactl.flows.doctor import examine, exit_code
    from piactl.journal import who

    configuration: Path | ConfigurationInvalid
    try:
        configuration = configuration_path()
    except ConfigurationInvalid as missing:
        configuration = missing
    examination = examine(configuration, utc_now, who().host, canaries=canaries)
    rows = [finding.row() for finding in examination.findings]
    if output in (None, OutputLayout.TABLE):
        display([doctor_text(rows)], "table")  # in English only
    else:
        put(rendered(rows, COLUMNS, output.value))
    return int(exit_code(examination, strict=strict))
