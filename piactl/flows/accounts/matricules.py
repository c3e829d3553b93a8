"""One-off changes of whose account a matricule is."""

from __future__ import annotations

from piactl.core.edits import ActRefused, Author, merge_split_rekey
from piactl.core.model.person import read_matricule
from piactl.core.rules.desired import Rules
from piactl.directory.store.accounts import Entry, read_accounts_of
from piactl.errors import PiactlError, UsageError
from piactl.feed.csv_row_parser import check_matricule
from piactl.flows.accounts.batch import Batch
from piactl.flows.accounts.edit import prepare
from piactl.flows.queries.accounts import AccountStore, find_account


def prepare_rekey(
    store: AccountStore,
    rules: Rules,
    name: str,
    old: str,
    new: str,
    author: Author,
) -> Batch:
    """The account of `name` with the matricule `new` in place of `old`. Raises UsageError, ActRefused if
    another account has `new`."""
    old, new = read_matricule(old), named_matricule("--to", new)
    uid = find_account(store, name).uid
    owner = owner_of(store, new)
    if owner is not None and owner.account.uid != uid:
        raise ActRefused(
            f"matricule {new} is that of the account {owner.account.uid}; if both are one person: "
            f'piactl account merge {owner.account.uid} {uid} --reason "..."'
        )
    return prepare(store, rules, [name], merge_split_rekey.rekey(author, old, new), author.reason)


def named_matricule(option: str, text: str) -> str:
    """The matricule of an option, with its namespace. Raises UsageError if HR cannot write it so."""
    fault = check_matricule(text.strip().rpartition(":")[2])[1]
    if fault is not None:
        raise UsageError(f"{option}: {fault[1]}")
    return read_matricule(text)


def owner_of(store: AccountStore, matricule: str) -> Entry | None:
    """The account that has a matricule, an archived one too. Raises PiactlError if it cannot be read."""
    for entry in read_accounts_of(store.reader, store.directory, store.encoding, store.keys, [matricule]):
        if not isinstance(entry, Entry):
            raise PiactlError(entry.why)
        return entry
    return None
