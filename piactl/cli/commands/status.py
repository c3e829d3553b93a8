"""`status`: the last run, what waits, and what is wrong."""

from __future__ import annotations

from functools import partial

from piactl.ask.status import status_view
from piactl.cli.framework.configuration import this_configuration
from piactl.cli.framework.open_directory import reading
from piactl.cli.framework.options import (
    AsOf,
    ShowOutput,
)
from piactl.cli.framework.output import say, show_views
from piactl.clock import utc_now
from piactl.errors import Exit
from piactl.report.status_text import status_text


def status(output: ShowOutput = None, as_of: AsOf = None) -> int:
    """Show on one screen what an administrator looks at first. Writes nothing.

    The last runs, the age of the feeds, open decisions, overrides and exceptions that end within seven
    days, the counts of the guards in their window, and the changes that are due within seven days. `doctor`
    checks the rest.

    Example: piactl status
    """
    configuration = this_configuration()
    with reading(configuration) as reader:
        view = status_view(
            configuration.accounts(reader, as_of),
            configuration.settings,
            utc_now(),
            say,
        )
    zone = configuration.policy.timezone
    show_views([view], partial(status_text, timezone=zone), tuple(view), output, single=True)
    return int(Exit.DONE)
