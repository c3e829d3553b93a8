"""`doctor`: checks everything that piactl relies on."""

from __future__ import annotations

from dataclasses import asdict, fields
from pathlib import Path
from typing import Annotated

import typer

from piactl.cli.framework.context import configuration_path, display, put, put_json
from piactl.cli.framework.options import Output, OutputLayout
from piactl.clock import utc_now
from piactl.errors import ConfigurationInvalid, Exit
from piactl.report.doctor_and_recover_text import comparison_text, doctor_text
from piactl.report.table import rendered

COLUMNS = ("id", "title", "where", "result", "severity", "found", "meaning", "advice")


def doctor(
    output: Output = None,
    strict: Annotated[bool, typer.Option("--strict", help="Treat warnings as errors.")] = False,
    compare: Annotated[
        bool,
        typer.Option("--compare", help="Compare all configured servers, value by value; check nothing else."),
    ] = False,
    canaries: Annotated[
        bool, typer.Option("--canaries", help="Also bind as the accounts of `canaries`, on every server.")
    ] = False,
) -> int:
    """Check the server, its schema, overlays, indexes, limits and rights, the clock, the lock, the journal.

    Each check has a permanent number, and says what a failure means and what to do. Nothing is changed, but
    servers may count the binds of --canaries as failed log ins. --compare compares the servers of
    directory.servers instead: accounts, devices, the records of piactl and the state of passwords. The
    servers have 30 seconds to catch up; entries that replication has not yet delivered are counted
    separately.

    Exit codes: 0 no error (with --strict: no warning), 1 an error, 8 no server can be reached, 10
    configuration, policy or secrets cannot be used. With --compare: 0 equal, 1 different, 8 a server cannot
    be read.

    Example: piactl doctor -o json
    """
    if compare:
        return _compare(output)
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


def _compare(output: OutputLayout | None) -> int:

    from piactl.cli.framework.context import this_configuration
    from piactl.flows.server_differences import Difference, compare_servers
    from piactl.secret_files import identity_password

    configuration = this_configuration()
    folder = Path(configuration.settings.state_folder)
    comparison = compare_servers(
        configuration.settings.directory, identity_password, configuration.encoding, folder
    )
    rows = list(map(asdict, comparison.first))
    facts = {
        "servers": list(comparison.servers),
        "identity": comparison.identity,
        "level": comparison.level,
        "entries": dict(comparison.entries),
        "differing": dict(comparison.differing),
        "coming": comparison.coming,
        "differences": rows,
    }
    if output is OutputLayout.JSON:
        put_json(facts, 1)
    elif output in (None, OutputLayout.TABLE):
        display([comparison_text(facts)])
    else:
        put(rendered(rows, [field.name for field in fields(Difference)], output.value))
    return int(Exit.FAILED if comparison.differing else Exit.DONE)
