"""Journals who reads private data, as which identity, and of how many accounts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from piactl.core.model.numen_and_digests import DigestKeys
from piactl.core.model.settings import IdentityName
from piactl.directory.store.attribute_map import SECRETS
from piactl.errors import JournalUnusable
from piactl.flows.apply.run import Order
from piactl.journal import Journal, RunContext


def journal_reading(
    path: str,
    order: Order,
    kind: str,
    uids: Sequence[str],
    keys: DigestKeys,
    now: Callable[[], datetime],
    identity: IdentityName = IdentityName.READER,
) -> None:
    """Records that private data of these accounts are about to be shown. `kind` says which.

    Raises JournalUnusable if the journal cannot be written: what cannot be recorded is not shown.
    """
    context = RunContext(order.run, order.command, order.actor, order.as_of, "", order.policy)
    try:
        with Journal(
            path, now=now, digest=keys.digester("journal"), secret=SECRETS, context=context
        ) as journal:
            journal.read(identity.value, kind, len(uids), min(uids, default=""))
            journal.end({"read": len(uids)})
    except JournalUnusable as error:
        raise JournalUnusable(
            f"{error}\nPrivate data are shown only where the journal can record it"
        ) from None
