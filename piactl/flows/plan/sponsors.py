"""Accounts that HR does not know, whose sponsor leaves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from piactl.core.model.account import Account, State
from piactl.core.model.overrides import sponsor_of
from piactl.directory.store.accounts import Entry, read_accounts_named, read_accounts_with
from piactl.flows.plan.inputs.account_index import ManagedAccounts

_LEAVING = {State.GRACE: "is in grace", State.DEACTIVATED: "is closed", State.ARCHIVED: "is archived"}
ADVICE = "piactl account extend ACCOUNT --until DATE --sponsor ACCOUNT, or piactl account close"


def sponsored_accounts(accounts: ManagedAccounts) -> Iterator[Account]:
    """The accounts with changes by hand, among which are all that have a sponsor."""
    entries = read_accounts_with(*accounts, "piactlOverride")
    return (entry.account for entry in entries if isinstance(entry, Entry))


def leaving_sponsors(
    accounts: ManagedAccounts,
    known: Iterable[Account] | None = None,
    written: Mapping[str, Account] | None = None,
) -> Iterator[str]:
    """One sentence for each sponsor whose account is in grace, closed or gone, with the accounts they answer
    for. `known` are all accounts with changes by hand, if they were read already; `written` are accounts as
    the run leaves them, by uid."""
    after = written or {}
    sponsored: dict[str, list[str]] = defaultdict(list)
    for account in sponsored_accounts(accounts) if known is None else known:
        sponsored[sponsor_of(after.get(account.uid, account).overrides)].append(account.uid)
    sponsored.pop("", None)
    leaving = dict.fromkeys(sponsored, "has no account any more")
    for entry in read_accounts_named(*accounts, sorted(sponsored)):
        if isinstance(entry, Entry):
            account = after.get(entry.account.uid, entry.account)
            leaving[account.uid] = _LEAVING.get(account.state, "")
        else:
            leaving.pop(entry.uid, None)
    for sponsor, words in sorted(leaving.items()):
        if words:
            yield f"sponsor {sponsor} {words}, and answers for {', '.join(sorted(sponsored[sponsor]))}"
