"""`establishment list`: finds the UAI of an establishment in the register."""

from __future__ import annotations

from typing import Annotated

import typer

from piactl.cli.framework.configuration import this_configuration
from piactl.cli.framework.options import Output
from piactl.cli.framework.output import show_rows
from piactl.core.model.establishment import establishments_named
from piactl.core.text import facts_of
from piactl.errors import Exit, NotFound
from piactl.phrase import Phrase

_SHOWN = ("uai", "name", "telephone", "commune", "nature", "degree", "sector")
"""The telephone before what a narrow terminal may leave out: the help desk calls back by it."""


def list_(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="WORD", help="Words of the name, commune, UAI or telephone.", show_default=False
        ),
    ] = None,
    output: Output = None,
) -> int:
    """List the establishments of the register, or those that each word fits, by UAI.

    Accents, case and hyphens do not count, and the beginning of a word is enough. Where a command asks for a
    UAI, the words that fit one establishment alone will do, too.

    Example: piactl establishment list thuillier
    """
    register, text = this_configuration().register, " ".join(words or ())
    found = establishments_named(register, text) if text else list(register.values())
    if not found:
        raise NotFound(
            Phrase("{text}: no establishment of the register has this; try fewer words", text=text)
        )
    rows = [facts_of(e, *_SHOWN, null=_SHOWN[1:]) for e in sorted(found, key=lambda e: e.uai)]
    show_rows(rows, _SHOWN, output)
    return int(Exit.DONE)
