"""contextCSN: up to which write of each server, by its serverID, a database is."""

from __future__ import annotations

from piactl.directory.dn import under
from piactl.directory.interfaces import RawEntry, ServerFacts

CONTEXT_CSN = "contextCSN"


def context_of(facts: ServerFacts, suffix: str) -> str:
    """The DN of the database that holds `suffix`; its entry has the contextCSN."""
    contexts = [context for context in facts.naming_contexts if context and under(suffix, context)]
    return max(contexts, key=len, default=suffix)


def csns_in(entry: RawEntry | None) -> dict[str, str]:
    """The contextCSN in the entry of a database, by serverID (three hexadecimal digits); empty if it has
    none."""
    csns = entry.texts(CONTEXT_CSN) if entry is not None else []
    return {csn.split("#")[2]: csn for csn in csns if csn.count("#") == 3}
