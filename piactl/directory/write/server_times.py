"""Asks the other servers of the list for their time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from datetime import datetime

from piactl.core.text import utc_instant
from piactl.directory.client.connection import Session, Unusable
from piactl.errors import PiactlError

Connect = Callable[[str], Session]
"""Opens a session with one server. Raises Unusable."""


def server_times(peers: Sequence[str], connect: Connect) -> dict[str, datetime]:
    """The clock of each of `peers`; see `Writer.server_times`."""
    times = {}
    for uri in peers:
        with suppress(Unusable, PiactlError, ValueError), closing(connect(uri)) as peer:
            base = peer.facts.monitor_context or "cn=Monitor"
            entry = peer.entry(f"cn=Current,cn=Time,{base}", ["monitorTimestamp"])
            times[uri] = utc_instant(entry.text("monitorTimestamp") if entry else "")
    return times
