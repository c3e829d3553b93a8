"""`account export`: all that is stored about one person."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from piactl.ask.person_export import person_export
from piactl.cli.framework.configuration import strongest_identity, this_configuration
from piactl.cli.framework.open_directory import reading
from piactl.cli.framework.options import Form, OneName, RunOutput
from piactl.cli.framework.output import put, put_json, say
from piactl.cli.framework.writing_command import journal_private_reading
from piactl.clock import utc_now
from piactl.core.model.settings import IdentityName
from piactl.errors import Exit
from piactl.host.private_files import create_private, refuse_output, write_private
from piactl.phrase import Phrase
from piactl.report.person_page import person_page


def export(
    account: OneName,
    page: Annotated[
        str | None,
        typer.Option("--page", metavar="FILE", help="Write the page, in French, to a new file (mode 0600)."),
    ] = None,
    output: RunOutput = Form.TEXT,
) -> int:
    """Show all that is stored about one person, as a page to hand over or as json.

    From the directory: the entry, devices without their secrets, exceptions, overrides, an administrator's
    lock, failed identity checks, requests to a second person, waiting rows, the runs that changed the
    account, and the values kept to undo them. From this host: the journal, the plans and the
    rejected rows. Digests are named as such; secrets are left out. The page is in French, for the agent.
    Feeds and the access log of the server are not piactl's: docs/personal-data.md says where else to look.

    The journal records the reading first. If it cannot be written, nothing is shown.

    Example: piactl account export claire.dubreuil -o json
    """
    if page is not None:
        refuse_output("--page", page)
    configuration = this_configuration()
    settings = configuration.settings
    identity = strongest_identity(configuration)
    with reading(configuration, identity) as reader:
        document = person_export(
            configuration.accounts(reader),
            settings,
            account,
            utc_now(),
            undo=identity is not IdentityName.READER,
        )
    name = document["uid"] or document["matricule"]
    journal_private_reading(configuration, "export", [name], identity)
    if document["undo"] is None:
        say(Phrase("undo records are left out: only nightly and the administrator read them"))
    if page is not None:
        create_private(Path(page))
        write_private(Path(page), person_page(document).encode())
        say(Phrase("written to {page} (mode 0600): hand it over, then delete it", page=page))
    if output is Form.JSON:
        put_json(document)
    elif page is None:
        put([person_page(document)])
    return int(Exit.DONE)
