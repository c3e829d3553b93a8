"""A few names for somebody who is typing one: asked of one server, within a fraction of a second."""

from __future__ import annotations

from dataclasses import replace

from piactl.core.settings import DirectorySettings
from piactl.directory import filters
from piactl.directory.client.connection import Password, open_session
from piactl.directory.client.controls import PAGED
from piactl.directory.client.deadline import Deadline
from piactl.directory.records import IN_RECORD, RUNS, Places

MOST = 50
"""More names than that help nobody who is typing."""

_ACCOUNT = filters.equals("objectClass", "piactlAccount")


def suggested_uids(settings: DirectorySettings, password: Password, prefix: str, seconds: float) -> list[str]:
    """At most MOST uids of accounts that begin so. Raises whatever keeps them from coming in time."""
    uid = settings.attributes.get("uid", "uid")
    query = filters.all_of(_ACCOUNT, filters.begins(uid, prefix) if prefix else filters.present(uid))
    return _suggested(settings, password, settings.accounts, query, uid, seconds)


def suggested_runs(settings: DirectorySettings, password: Password, prefix: str, seconds: float) -> list[str]:
    """Ids of runs that begin so, as `suggested_uids`."""
    query = filters.all_of(IN_RECORD, filters.begins("cn", prefix)) if prefix else IN_RECORD
    return _suggested(settings, password, Places(settings.state).folder(RUNS), query, "cn", seconds)


def _suggested(
    settings: DirectorySettings, password: Password, base: str, query: str, attribute: str, seconds: float
) -> list[str]:
    deadline = Deadline(seconds)
    # both are seconds, and half of one is as good as a whole one
    brief = replace(settings, connect_timeout=seconds / 2, operation_timeout=seconds)  # type: ignore[arg-type]
    session = open_session(settings.servers[0], brief, settings.identities["reader"], password)
    try:
        session.operation_timeout = deadline.remaining()
        size = MOST if PAGED in session.facts.controls else None
        scope = "one" if attribute == "cn" else "subtree"
        entries, _ = session.page(base, scope, query, [attribute], size=size)
        return sorted(entry.text(attribute) for entry in entries)[:MOST]
    finally:
        session.drop()
