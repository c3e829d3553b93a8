"""`completion`: prints the completion scripts of shells."""

from __future__ import annotations

from importlib.resources import files
from typing import Annotated

import typer

from piactl.cli.framework.output import put
from piactl.errors import Exit, UsageError
from piactl.phrase import Phrase

SHELLS = ("bash", "zsh", "fish")


def completion(
    shell: Annotated[str, typer.Argument(metavar="SHELL", help="bash, zsh or fish.")],
) -> int:
    """Print the completion script for a shell: commands, options, accounts, services, profiles and runs.

    bash: eval "$(piactl completion bash)" in ~/.bashrc. zsh: the same in ~/.zshrc, after compinit. fish:
    piactl completion fish > ~/.config/fish/completions/piactl.fish. Accounts are looked up as the reader,
    at most fifty, for at most a sixth of a second; without a directory none are suggested.

    Example: piactl completion bash
    """
    name = shell.strip().lower()
    if name not in SHELLS:
        raise UsageError(Phrase("{name}: unknown shell; use bash, zsh or fish", name=shell))
    put([files("piactl.cli").joinpath("shells", f"piactl.{name}").read_text("utf-8")])
    return int(Exit.DONE)
