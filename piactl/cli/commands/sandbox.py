"""`sandbox`: a private slapd for trials."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from piactl.cli.framework.context import put, say
from piactl.errors import Exit
from piactl.private_files import refuse_output

if TYPE_CHECKING:
    from piactl.sandbox import SandboxStatus


Folder = Annotated[str, typer.Option("--dir", metavar="DIR", help="The folder it lives in.")]


def start(
    folder: Folder = "piactl-sandbox",
    accesslog: Annotated[bool, typer.Option("--accesslog", help="Keep an access log too.")] = False,
) -> int:
    """Start it, making what is missing; a running one is left alone."""
    from piactl.sandbox import start_sandbox

    refuse_output("--dir", folder)
    status = start_sandbox(Path(folder), accesslog=accesslog)
    say("started" if status.changed else "it was running already")
    _print(status)
    say(f"use it with: export PIACTL_CONFIG={status.configuration}")
    return int(Exit.DONE)


def stop(folder: Folder = "piactl-sandbox") -> int:
    """Stop the process that start started; the data stay."""
    from piactl.sandbox import stop_sandbox

    status = stop_sandbox(Path(folder))
    say("stopped" if status.changed else "it was not running")
    return int(Exit.DONE)


def status(folder: Folder = "piactl-sandbox") -> int:
    """Tell whether it runs, and where."""
    from piactl.sandbox import sandbox_status

    _print(sandbox_status(Path(folder)))
    return int(Exit.DONE)


def _print(found: SandboxStatus) -> None:
    lines = [f"{'running' if found.running else 'stopped'}  {found.folder}"]
    if found.pid:
        lines.append(f"pid      {found.pid}")
    lines += [f"server   {uri}" for uri in found.uris]
    lines.append(f"config   {found.configuration}")
    put(line + "\n" for line in lines)
