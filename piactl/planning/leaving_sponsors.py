"""Accounts that HR does not know, whose sponsor leaves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from piactl.core.model.account import State
from piactl.directory.store.account_entries import Entry, read_accounts_named
from piactl.phrase import Phrase
from piactl.planning.account_index import ManagedAccounts

_LEAVING = {
    State.GRACE: Phrase("is in grace"),
    State.DEACTIVATED: Phrase("is closed"),
    State.ARCHIVED: Phrase("is archived"),
}
ADVICE = Phrase(
    'piactl account extend ACCOUNT --until DATE --sponsor ACCOUNT --reason "...", or piactl account close'
)


def leaving_sponsors(
    accounts: ManagedAccounts,
    sponsor: Mapping[str, str],
    states: Mapping[str, State] = MappingProxyType({}),
) -> Iterator[str]:
    """One sentence for each sponsor whose account is in grace, closed or gone, with the accounts they answer
    for. `sponsor` is that of each account, by uid; `states` are those that accounts get by the run."""
    sponsored: dict[str, list[str]] = defaultdict(list)
    for uid, name in sponsor.items():
        sponsored[name].append(uid)
    leaving: dict[str, str] = dict.fromkeys(sponsored, Phrase("has no account any more"))
    for entry in read_accounts_named(*accounts, sorted(sponsored)):
        if isinstance(entry, Entry):
            uid = entry.account.uid
            leaving[uid] = _LEAVING.get(states.get(uid, entry.account.state), "")
        else:
            leaving.pop(entry.uid, None)
    for name, words in sorted(leaving.items()):
        if words:
            accounts_of = ", ".join(sorted(sponsored[name]))
            yield Phrase(
                "sponsor {name} {leaves}, and answers for {accounts}",
                name=name,
                leaves=words,
                accounts=accounts_of,
            )
