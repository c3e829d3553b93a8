"""The chains that the journal of this host goes on from.

Up to version 0.2.0 each Unix user that ran piactl on a host had a journal. Those of the other users lie in
the folder `closed` beside the journal, each in a folder of its own. `close` ends each with a last line that
names the journal which goes on, and that journal has a line with the head of each.
"""

from __future__ import annotations

from pathlib import Path

from piactl.journal.head_file import SUFFIX

FOLDER = "closed"


def closed_chains(path: str) -> dict[str, str]:
    """The chains below the folder `closed` beside the journal at `path`, by the name of their folder."""
    heads = sorted((Path(path).parent / FOLDER).glob(f"*/*{SUFFIX}"))
    return {head.parent.name: str(head).removesuffix(SUFFIX) for head in heads}


def chains_of(path: str) -> tuple[str, ...]:
    """The closed chains, and the journal at `path` last."""
    return (*closed_chains(path).values(), path)
