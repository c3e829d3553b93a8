"""Checks of what other programs changed: drift, entries that are gone, names of two accounts."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from piactl.core.model.settings import IdentityName
from piactl.core.naming.names import name_digest
from piactl.core.plan.drift import DriftClass
from piactl.core.rules.desired_account import local_of
from piactl.directory import filters
from piactl.directory.store.account_entries import (
    CSN,
    IN_ACCOUNTS,
    Entry,
    as_found,
    entry_of,
    read_accounts_named,
    written_after,
)
from piactl.directory.store.account_list import read_account_list
from piactl.directory.store.record_entries import UnreadableRecords
from piactl.directory.store.state_records import drift_in
from piactl.doctor.facts import CheckResult, Content, first_ones, worst
from piactl.edits.account_store import AccountStore, all_entries, readable
from piactl.phrase import Phrase, counted
from piactl.planning.vanished_accounts import vanished_words

_SHARED = Phrase("Show them with piactl account show; two accounts of one person: piactl account merge.")


def drift(content: Content) -> CheckResult:
    return _of_suspects(content)[0]


def names(content: Content) -> CheckResult:
    """D57. Each name or matricule belongs to one account, whose ledger has its names."""
    return _of_suspects(content)[1]


def _of_suspects(content: Content) -> tuple[CheckResult, CheckResult]:
    """D55 and D57, from one reading."""
    return content.once("suspects", lambda: _entries(content))


def _entries(content: Content) -> tuple[CheckResult, CheckResult]:
    classes, holders = Counter[str](), defaultdict[str, set[str]](set)
    unlisted = []
    for entry in _suspects(content.accounts):
        account = as_found(entry, content.encoding)
        classes.update({drift.drift_class for drift in entry.drift.rows} if entry.drift else ())
        unlisted += [f"{account.uid} has {a}" for a in sorted(account.foreign_addresses)]
        for name in {*(name.casefold() for name in account.names), *account.matricules}:
            holders[name].add(account.uid)
    counts = {
        drift_class: Phrase(
            "{accounts} with {drift_class}",
            accounts=counted(classes[drift_class], "account", "accounts"),
            drift_class=Phrase(drift_class),
        )
        for drift_class in DriftClass
        if classes[drift_class]
    }
    errors = [counts.pop(DriftClass.LOOSENING)] if DriftClass.LOOSENING in counts else []
    advice = Phrase("Decide what stays, the next night reverts the rest: piactl drift list (docs/drift.md).")
    changed = worst(errors, [*counts.values()], advice, Phrase("no other program has changed one"))
    shared = [
        Phrase("{names} share {name}", names=", ".join(sorted(uids)), name=name)
        for name, uids in holders.items()
        if len(uids) > 1
    ]
    unlisted = [
        Phrase("{sentence}, which its ledger of names lacks", sentence=sentence) for sentence in unlisted
    ]
    advice = Phrase(
        "{shared} The next night enters a name that nobody else has in the ledger.", shared=_SHARED
    )
    return changed, worst(first_ones(shared), first_ones(unlisted), advice, Phrase("each is of one account"))


def _suspects(store: AccountStore) -> Iterator[Entry]:
    """The accounts that can have drift, or share a name or matricule. The last run, if it made all its
    changes, saw every account, and listed its names and matricule; so these are the accounts that somebody
    else wrote since it began, those whose drift it remembered, and those that share a name or matricule with
    another one. Without such a run, these are all accounts."""
    reader, directory, encoding, last = store.reader, store.directory, store.encoding, store.last
    since = last.began if last is not None and last.clean and not last.lost else None
    listed = read_account_list(reader, directory.state, UnreadableRecords())
    if since is None or not all(listed.raw.values()):
        yield from all_entries(store, str)
        return
    others = filters.all_of(IN_ACCOUNTS, written_after(since))
    nightly = directory.identities.get(IdentityName.NIGHTLY)
    if nightly is not None and nightly.dn:
        others = filters.all_of(others, filters.none_of(filters.equals("modifiersName", nightly.dn)))
    written = reader.search(directory.accounts, others, [*encoding.attributes, CSN])
    by_dn = {entry.dn: entry for entry in readable(store, (entry_of(raw, encoding) for raw in written), str)}
    for entry in _named(store, [*drift_in(store.records)]):
        by_dn.setdefault(entry.dn, entry)
    holders = defaultdict[str | int, set[str]](set)
    for uid, (matricule, names) in listed.accounts():
        for name in (name_digest(uid), *names):
            holders[name].add(uid)
        if matricule:
            holders[matricule].add(uid)
    uid, *attributes = map(encoding.name, ("uid", "supannEmpId", "piactlMatricule"))
    several = filters.all_of(IN_ACCOUNTS, filters.present(attributes[1]))
    for raw in reader.search(directory.accounts, several, [uid, *attributes]):
        for value in (value for attribute in attributes for value in raw.values.get(attribute, ())):
            holders[value.decode("utf-8", "replace")].add(raw.text(uid))
    for entry in by_dn.values():
        account = as_found(entry, encoding)
        for text in account.names:
            holders[name_digest(local_of(text))].add(account.uid)
        for matricule in account.matricules:
            holders[matricule].add(account.uid)
    known = {entry.account.uid for entry in by_dn.values()}
    sharing = {uid for uids in holders.values() if len(uids) > 1 for uid in uids} - known
    yield from by_dn.values()
    yield from _named(store, sorted(sharing))


def _named(store: AccountStore, uids: list[str]) -> Iterator[Entry]:
    return readable(store, read_accounts_named(*store.managed, uids), str)


def gone(content: Content) -> CheckResult:
    store = content.accounts
    uid = store.encoding.name("uid")
    present = {raw.text(uid) for raw in store.reader.search(store.directory.accounts, IN_ACCOUNTS, [uid])}
    vanished = store.gone({*store.listed, *store.vanished} - present)
    words = [vanished_words(uid, unmanaged=account.unmanaged) for uid, account in vanished.items()]
    return worst(
        first_ones(words), [], Phrase("See piactl drift list and docs/drift.md."), Phrase("no entry is gone")
    )
