"""Accounts whose entry another program deleted, or removed from piactl's management; and sponsors who leave.

No second account is made for a person whose entry is gone. They are held, with and without feeds, until an
administrator decides. Nobody else gets their names.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from datetime import date
from itertools import chain
from types import MappingProxyType

from piactl.core.model.account import State
from piactl.core.model.settings import DirectorySettings
from piactl.core.naming.names import NameDigests, TakenNames, name_digest
from piactl.core.plan.drift import ENTRY, Drift, DriftClass, DriftFate
from piactl.core.plan.plan import HoldCode
from piactl.core.plan.state_between_runs import Memory, Vanished
from piactl.core.rules.desired_account import Rules, local_of
from piactl.directory.probe.access_log import authors
from piactl.directory.store.account_entries import Entry, account_dn, read_accounts_named, read_unmanaged
from piactl.directory.store.account_list import Listed
from piactl.directory.store.attribute_scans import read_foreign_names
from piactl.journal.intent_format import digest_text, tag_of
from piactl.phrase import Phrase
from piactl.planning.account_index import AccountIndex, ManagedAccounts
from piactl.planning.merge_feeds import MergedFeeds


class _Names:
    """The `names` of accounts, and those of listed accounts, which are reserved even if the entry is gone."""

    def __init__(self, names: Container[str], listed: Mapping[str, Listed]) -> None:
        # most names are uids in lower case, which are found without a digest
        self._names, self._listed = names, listed
        upper = (name_digest(uid) for uid in listed if uid != uid.lower())
        former = chain.from_iterable(names for _, names in listed.values())
        self._digests = NameDigests(chain(former, upper))

    def __contains__(self, local: object) -> bool:
        return local in self._names or str(local).lower() in self._listed or local in self._digests


def first_owner(digest: str, uid: str) -> str:
    """What tells the first owner of a name that a lost run gave: the beginning of the digest that the journal
    has of the matricule, and the uid that went into it. `digest` is that of `matricule_text`, or its
    beginning."""
    return f"{tag_of(digest)} {uid}"


def matricule_text(directory: DirectorySettings, uid: str, matricule: str) -> str:
    """What the journal digests of the matricule of an account."""
    name = directory.attributes.get("supannEmpId", "supannEmpId")
    return digest_text(account_dn(directory, uid), name, matricule.encode())


def find_vanished(listed: Mapping[str, Listed], uids: AbstractSet[str], day: date) -> dict[str, Vanished]:
    """The listed accounts that have no managed entry, noted on this day. `uids` are those of all accounts."""
    return {uid: Vanished(listed[uid][0], day) for uid in sorted(listed.keys() - uids)}


def recheck_vanished(accounts: ManagedAccounts, vanished: Mapping[str, Vanished]) -> dict[str, Vanished]:
    """The accounts among these that still have no managed entry."""
    if not vanished:
        return {}
    uids = sorted(vanished)
    entries = read_accounts_named(*accounts, uids)
    back = {entry.account.uid if isinstance(entry, Entry) else entry.uid for entry in entries}
    unmanaged = read_unmanaged(*accounts, "uid", uids)
    return {uid: replace(vanished[uid], unmanaged=uid in unmanaged) for uid in uids if uid not in back}


def vanished_words(uid: str, *, unmanaged: bool) -> str:
    if unmanaged:
        return Phrase(
            "another program took the class piactlAccount from the entry of {uid}; no other account is "
            "made: adopt the entry (piactl adopt)",
            uid=uid,
        )
    return Phrase(
        "another program deleted the entry of {uid}; no other account is made until somebody decides: "
        'piactl drift revert {uid} --reason "..."',
        uid=uid,
    )


def vanished_drift(accounts: ManagedAccounts, vanished: Mapping[str, Vanished]) -> Iterator[Drift]:
    """The drift of these accounts, for a plan."""
    dns = {uid: account_dn(accounts.directory, uid) for uid in vanished}
    by = authors(accounts.reader, accounts.directory, [*dns.values()]) if dns else {}
    for uid, gone in vanished.items():
        dn = dns[uid]
        yield Drift(
            uid=uid,
            attribute=ENTRY,
            drift_class=DriftClass.VANISHED.value,
            ours=("managed" if gone.unmanaged else dn,),
            theirs=(Phrase("not managed"),) if gone.unmanaged else (),
            fate=DriftFate.WAITS.value,
            since=gone.since,
            by=by.get(dn, ""),
        )


def hold_unmanaged(
    merged: MergedFeeds, accounts: ManagedAccounts, index: AccountIndex, memory: Memory
) -> None:
    """Holds the newcomers whose matricule is on an entry that piactl does not manage."""
    known = {*index.by_matricule, *index.further, *merged.held}
    newcomers = [m for m in dict.fromkeys([*merged.people, *memory.waiting]) if m not in known]
    for matricule, dn in read_unmanaged(*accounts, "supannEmpId", newcomers).items():
        why = Phrase(
            "{dn} has this matricule and is not managed; adopt it first (piactl adopt), or delete it", dn=dn
        )
        merged.hold(matricule, why, HoldCode.UNMANAGED)


def taken_names(
    accounts: ManagedAccounts,
    rules: Rules,
    listed: Mapping[str, Listed],
    first_owners: Mapping[str, str],
    names: Container[str],
) -> TakenNames:
    """The names that no new account gets: `names` of the accounts that there are, those of `listed` accounts
    that another program deleted, and those of other entries. A name that a lost run gave is for its first
    owner alone."""
    foreign = map(local_of, read_foreign_names(*accounts))
    also = _Names(names, listed)

    def owns(owner: str, matricule: str) -> bool:
        tag, _, uid = owner.partition(" ")
        text = matricule_text(accounts.directory, uid, matricule)
        return tag in map(tag_of, rules.keys.candidates("journal", text))

    return TakenNames(foreign, rules.policy.first_homonym_digit, also, first_owners, owns)


# ---- sponsors who leave


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
