"""`account export`: all that is held of one person, for a request of access."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from piactl.cli.framework.context import put, reading, say, this_configuration
from piactl.cli.framework.options import PlanLayout as Form
from piactl.cli.framework.options import RunOutput
from piactl.errors import Exit
from piactl.private_files import refuse_output


def export(
    account: Annotated[
        str, typer.Argument(metavar="ACCOUNT", help="A uid, an address, an alias or a matricule.")
    ],
    page: Annotated[
        str | None,
        typer.Option("--page", metavar="FILE", help="Write the page in French to a new file of mode 0600."),
    ] = None,
    output: RunOutput = Form.TEXT,
) -> int:
    """Show all that is held of one person, as a page to hand over or as json.

    The entry, devices without their secrets, exceptions, overrides, an administrator's lock, failed identity
    checks, rows that wait, the runs that changed the account and the lines of this host's journal about it.
    Digests are named as such; secrets are left out. The page is in French, for the agent. The feeds and the
    access log of the server are not piactl's: docs/personal-data.md says where else to look.

    The journal records the reading first. Where it cannot be written nothing is shown.
    """
    from piactl.cli.framework.run_context import journal_private_reading
    from piactl.clock import utc_now
    from piactl.flows.person_export import person_export
    from piactl.private_files import write_private
    from piactl.report.person_page import person_page

    if page is not None:
        refuse_output("--page", page)
    configuration = this_configuration()
    settings = configuration.settings
    with reading(configuration) as reader:
        store = configuration.accounts(reader)
        document = person_export(store, settings.journal_file, configuration.unreadable, account, utc_now())
    name = document["uid"] or document["matricule"]
    journal_private_reading(configuration, "export", [name])
    if page is not None:
        write_private(Path(page), person_page(document).encode(), new=True)
        say(f"written to {page} (mode 0600): hand it over, then delete it")
    if output is Form.JSON:
        put([json.dumps(document, ensure_ascii=False, indent=2) + "\n"])
    elif page is None:
        put([person_page(document)])
    return int(Exit.DONE)
