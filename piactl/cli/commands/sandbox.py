"""`sandbox start|stop|status`: a private directory for trials."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from piactl.cli.framework.output import put, say
from piactl.errors import Exit
from piactl.host.private_files import refuse_output
from piactl.phrase import Phrase
from piactl.sandbox import SandboxStatus, sandbox_status, start_sandbox, stop_sandbox
from piactl.translation import translate

Folder = Annotated[str, typer.Option("--dir", metavar="DIR", help="The folder of the sandbox.")]


def start(folder: Folder = "piactl-sandbox") -> int:
    """Start the sandbox; create it if it does not exist. A running sandbox is left alone.

    Example: piactl sandbox start --dir trial
    """
    refuse_output("--dir", folder)
    status = start_sandbox(Path(folder))
    say(Phrase("sandbox started") if status.changed else Phrase("already running"))
    _print(status)
    say(Phrase("To use it: export PIACTL_CONFIG={configuration}", configuration=status.configuration))
    return int(Exit.DONE)


def stop(folder: Folder = "piactl-sandbox") -> int:
    """Stop the sandbox. Its data stay.

    Example: piactl sandbox stop --dir trial
    """
    status = stop_sandbox(Path(folder))
    say(Phrase("sandbox stopped") if status.changed else Phrase("not running"))
    return int(Exit.DONE)


def status(folder: Folder = "piactl-sandbox") -> int:
    """Show whether the sandbox runs, and where.

    Example: piactl sandbox status --dir trial
    """
    _print(sandbox_status(Path(folder)))
    return int(Exit.DONE)


def _print(status: SandboxStatus) -> None:
    form = Phrase("running  {folder}") if status.running else Phrase("stopped  {folder}")
    lines: list[str] = [Phrase(form, folder=status.folder)]
    lines += [f"pid      {status.pid}"] if status.pid else []
    lines += [Phrase("server   {uri}", uri=uri) for uri in status.uris]
    lines.append(Phrase("config   {file}", file=status.configuration))
    put(translate(line) + "\n" for line in lines)
