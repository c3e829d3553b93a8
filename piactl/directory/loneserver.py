"""Whether a server may be sent transactions: alone, unlogged, and about to get its first accounts.

An aborted transaction of slapd 2.6 is nothing in its own database, but its replicas and its access log are
told of it as of something that was made. The suffix entry shows whether there are any.
"""

from __future__ import annotations

from piactl.core.settings import DirectorySettings
from piactl.directory.accounts import IN_ACCOUNTS
from piactl.directory.names import same_dn, under
from piactl.directory.questions import Questions

START, MEMBER, END = "1.3.6.1.1.21.1", "1.3.6.1.1.21.2", "1.3.6.1.1.21.3"
"""RFC 5805: begins a transaction; the control of what belongs to one, which slapd does not list; ends it."""

_LOG = "cn=accesslog"


def reasons_against(settings: DirectorySettings, asked: Questions) -> list[str]:
    """Why this server is to get no transactions, each reason as a part of a sentence; none where it may.

    `asked` is bound as an identity that sees operational attributes of the suffix and the accounts. Raises
    DirectoryUnreachable and DirectoryTruncated.
    """
    reasons = []
    if settings.in_flight == 1:
        reasons.append("directory.in_flight is 1")
    if len(settings.servers) > 1:
        reasons.append("more than one server is configured")
    if not {START, END} <= asked.facts.extensions:
        reasons.append("the server offers no transactions")
    reasons += _told_elsewhere(settings, asked)
    if asked.entry(settings.accounts, ["1.1"]) is None:
        reasons.append(f"{settings.accounts} is not there, or may not be read")
    elif asked.sample(settings.accounts, IN_ACCOUNTS) is not None:
        reasons.append("there are accounts already")
    return reasons


def _told_elsewhere(settings: DirectorySettings, asked: Questions) -> list[str]:
    """Who else would be told of a transaction that was aborted."""
    contexts = asked.facts.naming_contexts
    fitting = [context for context in contexts if context and under(settings.suffix, context)]
    top = max(fitting, key=len, default=settings.suffix)
    entry = asked.entry(top, ["entryCSN", "contextCSN", "auditContext"])
    # whoever sees no entryCSN would see no contextCSN either
    if entry is None or entry.first("entryCSN") is None:
        return [f"{top} does not show whether it is replicated or logged"]
    reasons = []
    if entry.first("contextCSN") is not None:
        reasons.append(f"{top} is replicated, or is about to be (contextCSN)")
    if entry.first("auditContext") is not None or any(same_dn(one, _LOG) for one in contexts if one):
        reasons.append("the server keeps an access log")
    return reasons
