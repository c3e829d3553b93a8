"""Compares the other servers of the list with one server: by its contextCSN, and single entries by value; and
asks them for their time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from datetime import datetime
from typing import NamedTuple

from piactl.core.text import utc_instant
from piactl.directory.client.connection import Session, Unusable
from piactl.directory.dn import under
from piactl.directory.store.replicated_values import (
    CHANGED,
    CSN,
    PASSWORD,
    REPLICATED,
    differing_attributes,
)
from piactl.errors import PiactlError

_PAUSES = (0.05, 0.1, 0.2, 0.5, 1.0)
"""Seconds between two readings of a server; the last one is repeated."""

Connect = Callable[[str], Session]
"""Opens a session with one server. Raises Unusable."""


def context_csns(session: Session, suffix: str) -> dict[bytes, bytes]:
    """The contextCSN of the database that holds `suffix`, by server id; empty if the server keeps none."""
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
    """A sentence for each server of `peers` that, within `seconds` seconds in all, does not have everything
    that the server of `session` has now, according to its contextCSN.

    `written` is the DN of the last entry written and its entryCSN: if the server keeps no contextCSN, only a
    peer that has this entry with this entryCSN counts as up to date.
    """
    wanted = context_csns(session, suffix)
    deadline = time.monotonic() + seconds
    sentences = []
    for uri in peers:
        why = _lag(uri, suffix, wanted, connect, written, deadline)
        if why:
            sentences.append(f"{uri}: {why}")
    return sentences


def unequal_entries(
    session: Session,
    peers: Sequence[str],
    connect: Connect,
    entries: Mapping[str, Sequence[str]],
    seconds: float,
) -> dict[str, str]:
    """A sentence for each entry that, after `seconds` seconds in all, still differs between the server of
    `session` and one of `peers`. See `Writer.unequal`."""
    deadline = time.monotonic() + seconds
    sentences: dict[str, str] = {}
    for uri in peers if entries else ():
        try:
            with closing(connect(uri)) as peer:
                unequal = _unequal(session, peer, entries, deadline)
        except (Unusable, PiactlError) as error:
            unequal = dict.fromkeys(entries, f"cannot be read: {error}".replace("\n", " "))
        sentences = {dn: f"{uri}: {words}" for dn, words in unequal.items()} | sentences
    return sentences


def server_times(peers: Sequence[str], connect: Connect) -> dict[str, datetime]:
    """The clock of each of `peers`; see `Writer.server_times`."""
    times = {}
    for uri in peers:
        with suppress(Unusable, PiactlError, ValueError), closing(connect(uri)) as peer:
            base = peer.facts.monitor_context or "cn=Monitor"
            entry = peer.entry(f"cn=Current,cn=Time,{base}", ["monitorTimestamp"])
            times[uri] = utc_instant(entry.text("monitorTimestamp") if entry else "")
    return times


def _unequal(
    session: Session, peer: Session, entries: Mapping[str, Sequence[str]], deadline: float
) -> dict[str, str]:
    pauses = iter(_PAUSES)
    while True:
        compared = {dn: _difference(session, peer, dn, names) for dn, names in entries.items()}
        unequal = {dn: difference.words for dn, difference in compared.items() if difference.words}
        pause = next(pauses, _PAUSES[-1])
        coming = any(difference.coming for difference in compared.values() if difference.words)
        if not coming or time.monotonic() + pause > deadline:
            return unequal
        time.sleep(pause)


class _Difference(NamedTuple):
    """A sentence about an entry of another server, "" if it is the same. `coming`: the server does not
    have the last write of it yet."""

    words: str
    coming: bool = False


def _difference(session: Session, peer: Session, dn: str, names: Sequence[str]) -> _Difference:
    attributes = tuple(dict.fromkeys(("*", *REPLICATED, *names, CSN)))
    own, other = session.entry(dn, attributes), peer.entry(dn, attributes)
    if own is None:
        return _Difference(f"{dn} is still there: delete it there" if other else "", coming=True)
    if other is None:
        return _Difference(f"{dn} is not there: see piactl doctor --compare", coming=True)
    differing = differing_attributes([own, other])
    coming = own.first(CSN) != other.first(CSN)
    if not differing:
        return _Difference("")
    if {PASSWORD, CHANGED}.issuperset(differing):
        return _Difference(f"the password of {dn} is another one there: set it again", coming)
    return _Difference(f"{dn} differs there ({', '.join(differing)}): see piactl doctor --compare", coming)


def _lag(
    uri: str,
    suffix: str,
    wanted: dict[bytes, bytes],
    connect: Connect,
    written: tuple[str, bytes],
    deadline: float,
) -> str:
    """Why the server is not up to date, "" if it is."""
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
