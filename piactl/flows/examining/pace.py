"""The check of how writes reach a server: how many at once, and whether some are made together."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from piactl.core.settings import NEVER
from piactl.directory.loneserver import reasons_against
from piactl.flows.examining.checks import Finding, fine, note
from piactl.flows.examining.servers import Server

_TELLING = frozenset({"syncprov", "syncrepl", "accesslog", "auditlog"})
"""Overlays that tell others of a transaction, also where it was aborted."""
_RISK = (
    "Where piactl is killed, or cut off, in the middle of a transaction, slapd can end. Nothing that was "
    "answered is lost: start it, and run the night again. Then set directory.transactions to never."
)


def way_of_writing(server: Server) -> Finding:
    """Which way of writing is used with this server, and why."""
    at_once = server.settings.in_flight
    how = f"up to {at_once} writes on their way at once" if at_once > 1 else "one write after the other"
    against = _reasons_against(server)
    if against:
        found = f"{how}, each a change of its own: {'; '.join(against)}"
    else:
        found = f"{how}, the adds of the first migration some hundred together in a transaction"
    if server.config is not None:
        found += f" (overlays: {', '.join(server.config.overlays) or 'none'})"
    pending = server.config.pending if server.config is not None else 0
    if 0 < pending < at_once:
        advice = "Raise olcConnMaxPendingAuth (conn_max_pending_auth), or lower directory.in_flight."
        told = f"{found}; it closes connections on which more than {pending} wait, which costs time"
        return note("D31", told, advice, server.uri)
    if at_once == 1:
        return note("D31", found, "Nights are faster with directory.in_flight: 64.", server.uri)
    if not against:
        return note("D31", found, _RISK, server.uri)
    return fine("D31", found, server.uri)


def _reasons_against(server: Server) -> list[str]:
    """Why no transactions are used, nothing where they are."""
    if server.settings.transactions == NEVER:
        return [f"directory.transactions is {NEVER}"]
    asking = server.asking.get("nightly", server.first)
    overlays = server.config.overlays if server.config is not None else ()
    telling = [name for name in overlays if name in _TELLING]
    seen = [f"its settings name the overlay {' and '.join(telling)}"] if telling else []
    return reasons_against(server.settings, asking) + seen


PACE: Mapping[str, Callable[[Server], Finding]] = {"D31": way_of_writing}
