"""Whether the other servers of the list have what one server has, by its contextCSN."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing

from piactl.directory.client.connection import Session, Unusable
from piactl.directory.dn import under
from piactl.errors import PiactlError

_PAUSES = (0.05, 0.1, 0.2, 0.5, 1.0)
"""Seconds between two looks at a server; the last one is repeated."""

Connect = Callable[[str], Session]
"""Opens a session with one server. Raises Unusable."""


def context_csns(session: Session, suffix: str) -> dict[bytes, bytes]:
    """The contextCSN of the database that holds `suffix`, by server id; empty where the server keeps none."""
    contexts = [context for context in session.facts.naming_contexts if context and under(suffix, context)]
    entry = session.entry(max(contexts, key=len, default=suffix), ["contextCSN"])
    return {csn.split(b"#")[2]: csn for csn in (entry.values.get("contextCSN", ()) if entry else ())}


def lagging_servers(
    session: Session,
    suffix: str,
    peers: Iterator[str],
    connect: Connect,
    written: tuple[str, bytes],
    seconds: float,
) -> list[str]:
    """A sentence for each server of `peers` that does not have, within so many seconds in all, what the
    server of `session` has now.

    `written` is the DN of the last entry written and its entryCSN: where the server keeps no contextCSN,
    only a peer with that very entry counts as in step.
    """
    wanted = context_csns(session, suffix)
    deadline = time.monotonic() + seconds
    found = []
    for uri in peers:
        why = _lag(uri, suffix, wanted, connect, written, deadline)
        if why:
            found.append(f"{uri}: {why}")
    return found


def _lag(
    uri: str,
    suffix: str,
    wanted: dict[bytes, bytes],
    connect: Connect,
    written: tuple[str, bytes],
    deadline: float,
) -> str:
    """Why the server is not in step, "" if it is."""
    try:
        with closing(connect(uri)) as peer:
            pauses = iter(_PAUSES)
            while True:
                have = context_csns(peer, suffix)
                if wanted and all(have.get(server, b"") >= csn for server, csn in wanted.items()):
                    return ""
                dn, csn = written
                if not wanted and csn:
                    entry = peer.entry(dn, ["entryCSN"])
                    if entry is not None and entry.first("entryCSN") == csn:
                        return ""
                    return "cannot be compared: the server keeps no contextCSN (overlay syncprov)"
                pause = next(pauses, _PAUSES[-1])
                if time.monotonic() + pause > deadline:
                    return "does not have everything yet"
                time.sleep(pause)
    except Unusable as error:
        return f"cannot be reached: {error}"
    except PiactlError as error:
        return f"cannot be read: {error}".replace("\n", " ")
