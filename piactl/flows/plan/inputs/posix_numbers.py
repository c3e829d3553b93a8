"""The uidNumbers of a directory: those on entries, in ledgers, and of accounts whose entry is gone."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from piactl.core.model.account import NUMBER
from piactl.core.model.policy import Policy
from piactl.core.naming.posix_numbers import Numbers
from piactl.core.plan.sync_cache import NameDigests, name_digest
from piactl.directory.store.account_list import Listed, listed_names
from piactl.directory.store.attribute_scans import read_numbers
from piactl.flows.plan.inputs.account_index import ManagedAccounts


def numbers_of(accounts: ManagedAccounts, policy: Policy, listed: Mapping[str, Listed]) -> Numbers | None:
    """The numbers of the directory, read when the first one is asked for; None where the policy gives none.
    `listed` is the list of accounts, with those that another program deleted."""
    if policy.posix is None:
        return None

    @cache
    def kept() -> NameDigests:
        return NameDigests(listed_names(listed))

    def gone(number: int, uid: str) -> bool:
        name = f"{NUMBER}{number}".lower()
        return name in kept() and name_digest(name) not in listed.get(uid, ("", ()))[1]

    return Numbers(policy.posix, lambda: read_numbers(*accounts), gone)
