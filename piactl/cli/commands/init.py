"""`init`: the files of a first configuration."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Annotated

import typer

from piactl.cli.framework.configuration import SYSTEM_CONFIGURATION
from piactl.cli.framework.output import put, say
from piactl.cli.framework.start_through_sudo import has_user
from piactl.cli.framework.terminal import can_ask, confirm
from piactl.errors import Exit
from piactl.host.private_files import refuse_output
from piactl.host.roles_of_caller import SERVICE_USER
from piactl.phrase import Phrase
from piactl.shipped_files import schemas_folder, slapd_folder
from piactl.trials.first_configuration import FILES, write_first_files

_NEXT = Phrase(
    "Next steps (docs/administration.md has the details):\n"
    "  1. edit the marked lines: grep -n EDIT {files}\n"
    "  2. load the schema and the server settings:    {schemas}, {slapd}\n"
    "  3. create the five service identities in the directory, and put their passwords into\n"
    "     {secrets}/reader, nightly, desk, administrator and approver\n"
    "     (mode 0600, one line each); the script new-directory does steps 2 and 3\n"
    "  4. store a copy of {secrets}/keys elsewhere: a lost key cannot be restored\n"
    "  5. piactl{config} doctor\n"
    "     piactl{config} plan FEED..."
)


def init(
    folder: Annotated[
        str,
        typer.Option(
            "--dir",
            metavar="DIR",
            help="The folder to write to; by default where piactl looks for its configuration.",
        ),
    ] = str(SYSTEM_CONFIGURATION.parent),
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Skip confirmation.")] = False,
) -> int:
    """Write a first configuration to edit: piactl.yaml, policy.yaml, establishments.csv and a digest key.

    Existing files are never overwritten. Edit the lines marked EDIT. For a trial without editing use
    `piactl sandbox start`.

    Example: piactl init --dir piactl
    """
    refuse_output("--dir", folder)
    place = Path(folder).absolute()
    if not yes and can_ask():
        confirm(Phrase("Write the missing files of a first configuration to {folder}?", folder=place))
    of_host = os.geteuid() == 0 and place == SYSTEM_CONFIGURATION.parent and has_user()
    begun = write_first_files(place, SERVICE_USER if of_host else "")
    for path in begun.left:
        say(Phrase("{path}: already exists; left unchanged", path=path))
    put(f"{path}\n" for path in begun.written)
    if not begun.written:
        say(Phrase("nothing to do"))
        return int(Exit.DONE)
    configuration = place / SYSTEM_CONFIGURATION.name
    config = "" if configuration == SYSTEM_CONFIGURATION else f" --config {shlex.quote(str(configuration))}"
    files = " ".join(shlex.quote(str(place / name)) for name in FILES)
    text = Phrase(
        _NEXT,
        files=files,
        schemas=schemas_folder() / "ldap",
        slapd=slapd_folder(),
        secrets=place / "secrets",
        config=config,
    )
    say(Phrase("{marked} lines are marked EDIT\n{text}", marked=begun.marked, text=text))
    return int(Exit.DONE)
