"""`status`: one screen to look at first."""

from __future__ import annotations

from piactl.cli.framework.context import (
    display,
    layout_or_default,
    put,
    reading,
    say,
    this_configuration,
    today,
)
from piactl.cli.framework.options import AsOf, ShowOutput, read_day
from piactl.clock import utc_now
from piactl.errors import Exit
from piactl.report.table import rendered


def status(output: ShowOutput = None, as_of: AsOf = None) -> int:
    """Show on one screen what an administrator looks at first. Writes nothing.

    The last runs, the age of the feeds, open decisions, overrides and exceptions that end within seven
    days, the counts of the guards in their window, and the changes that are due within seven days. `doctor`
    checks the rest.

    Example: piactl status
    """
    from piactl.flows.status import status_view
    from piactl.report.status_text import status_text

    configuration = this_configuration()
    with reading(configuration) as reader:
        view = status_view(
            configuration.accounts(reader, read_day(as_of, today(configuration))),
            configuration.rules,
            configuration.settings,
            utc_now(),
            say,
        )
    if output is None:
        display([status_text(view)])
    else:
        put(rendered([view], tuple(view), layout_or_default(output)))
    return int(Exit.DONE)
