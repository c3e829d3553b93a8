"""Sponsors: who is responsible for an account that HR does not know, and the extension of accounts."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from piactl.core.edits import ActRefused, Author
from piactl.core.edits.accounts import extend
from piactl.core.model.account import LIVE
from piactl.core.rules.desired import Rules
from piactl.errors import NotFound
from piactl.flows.accounts.batch import Batch
from piactl.flows.accounts.edit import prepare
from piactl.flows.queries.accounts import AccountStore, find_account


def find_sponsor(store: AccountStore, name: str) -> str:
    """The uid of the account of a sponsor. Raises NotFound, ActRefused for one that is closed."""
    try:
        sponsor = find_account(store, name)
    except NotFound as error:
        raise NotFound(f"--sponsor {error}") from None
    if sponsor.state not in LIVE:
        raise ActRefused(f"--sponsor {sponsor.uid}: is {sponsor.state.value}; name an open account")
    return sponsor.uid


def prepare_extension(
    store: AccountStore,
    rules: Rules,
    names: Iterable[str],
    author: Author,
    until: date,
    sponsor: str,
    reason: str,
) -> Batch:
    """What an extension to `until` would change of each account. Raises as `find_sponsor`."""
    uid = find_sponsor(store, sponsor) if sponsor else ""
    return prepare(store, rules, names, extend(author, until, uid), reason)
