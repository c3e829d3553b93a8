"""`account export`: all that is held of one person, for a request of access."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from piactl.cli.framework.context import put, put_json, reading, say, this_configuration
from piactl.cli.framework.options import PlanLayout as Form
from piactl.cli.framework.options import RunOutput
from piactl.core.model.settings import IdentityName
from piactl.errors import NotPermitted, SecretUnusable
from piactl.exit_codes import Exit
from piactl.private_files import refuse_output

if TYPE_CHECKING:
    from piactl.cli.framework.configuration import Configuration
    from piactl.directory.port import Reader


def _best_reader(configuration: Configuration, stack: ExitStack) -> tuple[IdentityName, Reader]:
    """The identity of this Unix user that sees most, connected."""
    for name in (IdentityName.ADMINISTRATOR, IdentityName.NIGHTLY):
        if name in configuration.settings.directory.identities:
            with suppress(SecretUnusable, NotPermitted):
                return name, stack.enter_context(reading(configuration, name))
    return IdentityName.READER, stack.enter_context(reading(configuration))


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
    checks, requests to a second person, rows that wait, the runs that changed the account and the values kept
    to undo them; and of this Unix user and host the journal, the plans and the rejected rows. Digests are
    named as such; secrets are left out. The page is in French, for the agent. The feeds and the access log of
    the server are not piactl's: docs/personal-data.md says where else to look.

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
    with ExitStack() as stack:
        identity, reader = _best_reader(configuration, stack)
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
        say("undo records are left out: only nightly and the administrator read them")
    if page is not None:
        write_private(Path(page), person_page(document).encode(), new=True)
        say(f"written to {page} (mode 0600): hand it over, then delete it")
    if output is Form.JSON:
        put_json(document)
    elif page is None:
        put([person_page(document)])
    return int(Exit.DONE)
