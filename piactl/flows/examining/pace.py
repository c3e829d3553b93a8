"""The check of how writes reach a server: how many at once, and each as a change of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from piactl.flows.examining.checks import Finding, fine, note
from piactl.flows.examining.servers import Server

TRANSACTIONS = "1.3.6.1.1.21.1"
_WHY_NOT = (
    "the server offers transactions, but one that is aborted can leave it unreadable (slapd 2.6.10), and a "
    "replica or an access log is told that it was made"
)


def way_of_writing(server: Server) -> Finding:
    """Which way of writing is used with this server, and why."""
    at_once = server.settings.in_flight
    how = f"up to {at_once} writes on their way at once" if at_once > 1 else "one write after the other"
    offered = TRANSACTIONS in server.first.facts.extensions
    why = _WHY_NOT if offered else "the server offers no transactions"
    found = f"{how}, each a change of its own: {why}"
    pending = server.config.pending if server.config is not None else 0
    if 0 < pending < at_once:
        advice = "Raise olcConnMaxPendingAuth (conn_max_pending_auth), or lower directory.in_flight."
        told = f"{found}; it closes connections on which more than {pending} wait, which costs time"
        return note("D31", told, advice, server.uri)
    if at_once == 1:
        return note("D31", found, "Nights are faster with directory.in_flight: 64.", server.uri)
    return fine("D31", found, server.uri)


PACE: Mapping[str, Callable[[Server], Finding]] = {"D31": way_of_writing}
