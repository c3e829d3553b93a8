"""Accounts that HR does not know, whose sponsor leaves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from piactl.core.model.account import Account, State
from piactl.core.model.overrides import sponsor_of
from piactl.directory.store.accounts import Entry, read_accounts_named, read_accounts_with
from piactl.flows.plan.inputs.account_index import ManagedAccounts

ADVICE = "piactl account extend ACCOUNT --until DATE --sponsor ACCOUNT, or piactl account close"


def leaving_sponsors(
    accounts: ManagedAccounts,
    known: Iterable[Account] | None = None,
    written: Mapping[str, Account] | None = None,
) -> Iterator[str]:
    """One sentence for each sponsor whose account is in grace, closed or gone, with the accounts they answer
    for. `known` are all accounts with changes by hand, if they were read already; `written` are accounts as
    the run leaves them, by uid."""
    after = written or {}
    if known is None:
        entries = read_accounts_with(*accounts, "piactlOverride")
        known = (entry.account for entry in entries if isinstance(entry, Entry))
    sponsored: dict[str, list[str]] = defaultdict(list)
    for account in known:
        sponsored[sponsor_of(after.get(account.uid, account).overrides)].append(account.uid)
    sponsored.pop("", None)
    states = dict.fromkeys(sponsored, "gone")
    for entry in read_accounts_named(*accounts, sorted(sponsored)):
        if isinstance(entry, Entry):
            account = after.get(entry.account.uid, entry.account)
            states[account.uid] = account.state.value
        else:
            states.pop(entry.uid, None)
    leaving = (State.GRACE.value, State.DEACTIVATED.value, State.ARCHIVED.value, "gone")
    for sponsor, state in sorted(states.items()):
        if state in leaving:
            yield f"sponsor {sponsor} is {state}, and answers for {', '.join(sorted(sponsored[sponsor]))}"
