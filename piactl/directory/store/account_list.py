"""The list of accounts: records below the state entry by which a run on any host sees which entries are gone.

Each record has up to PER_RECORD accounts. An account stays in its record, and a new one goes into the last
record, so a night writes few records.

A name that a lost run gave stands in the list without an account, for its first owner alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from piactl.core.model.settings import DirectorySettings
from piactl.core.naming.names import name_digest
from piactl.core.plan.write import Write
from piactl.core.rules.desired_account import local_of
from piactl.directory import filters
from piactl.directory.dn import normal_dn
from piactl.directory.interfaces import Reader
from piactl.directory.store.account_entries import IN_ACCOUNTS
from piactl.directory.store.record_entries import (
    DATA,
    LISTS,
    Places,
    Records,
    UnreadableRecords,
    cn_of,
    foreign_entry,
    read_records,
    record_write,
)
from piactl.directory.store.typed_records import LAYOUTS, Form, from_json, reader_of, to_json

PER_RECORD = 1_000

OWNER = "="


class Listed(NamedTuple):
    """The matricule of an account, "" for an archived one, and the digests of the names that it ever had
    besides the uid. For a name without an account: OWNER, with what tells its first owner."""

    matricule: str
    names: tuple[int, ...] = ()


LAYOUTS[Listed] = Form(
    lambda listed: [listed.matricule, *listed.names],
    lambda row: Listed(from_json(str, row[0], "matricule"), from_json(tuple[int, ...], row[1:], "names")),
)
_ACCOUNTS = reader_of(Mapping[str, Listed])


@dataclass(slots=True)
class AccountList:
    """By the number of the record: its accounts by uid, and its content, if it can be read."""

    records: dict[int, Mapping[str, Listed]] = field(default_factory=dict)
    raw: dict[int, bytes] = field(default_factory=dict, repr=False)

    def accounts(self) -> Iterator[tuple[str, Listed]]:
        for accounts in self.records.values():
            yield from ((uid, listed) for uid, listed in accounts.items() if listed.matricule[:1] != OWNER)

    def first_owners(self) -> dict[str, str]:
        """The names without an account, each with what tells its first owner."""
        both = (pair for accounts in self.records.values() for pair in accounts.items())
        return {name: row.matricule[1:] for name, row in both if row.matricule[:1] == OWNER}


def read_account_list(reader: Reader, state: str, unreadable: UnreadableRecords) -> AccountList:
    """The list as it is now. Records that cannot be read are added to `unreadable`."""
    return account_list_in(read_records(reader, state, names=(), beginning=(LISTS,)), unreadable)


def account_list_in(records: Records, unreadable: UnreadableRecords) -> AccountList:
    """The list in its records. Those that cannot be read are added to `unreadable`."""
    account_list, places = AccountList(), records.places
    for entry in records.beginning(LISTS):
        digits, data = cn_of(entry).rpartition("-")[2], entry.first(DATA)
        if not digits.isdecimal() or normal_dn(entry.dn) != normal_dn(places.accounts(int(digits))):
            unreadable.add(foreign_entry(entry.dn))
            continue
        number = int(digits)
        accounts = unreadable.read(entry.dn, data, _ACCOUNTS)
        account_list.records[number] = accounts or {}
        account_list.raw[number] = (data or b"") if accounts is not None else b""
    return account_list


def listed_names(listed: Mapping[str, Listed]) -> Iterator[int]:
    """The digests of the names of the listed accounts. No other account ever gets these names, even if the
    entry is gone."""
    return (name for uid, (_, names) in listed.items() for name in (name_digest(uid), *names))


def account_list_writes(
    reader: Reader,
    settings: DirectorySettings,
    unreadable: UnreadableRecords,
    those: str = "",
    released: Collection[str] = (),
) -> Iterator[Write]:
    """The writes that list the accounts that the filter `those` finds, if all others are listed already.
    Without it, or if a record of the list cannot be read, they list every account. Only accounts that piactl
    `released` leave the list, because no account is deleted. No name of an account leaves it, because no
    other account ever gets the name."""
    found_accounts = [*_there(reader, settings, those)]
    if those and not found_accounts and not released:
        return
    account_list = read_account_list(reader, settings.state, unreadable)
    if those and not (account_list.raw and all(account_list.raw.values())):
        found_accounts = [*_there(reader, settings, "")]
    yield from _list_writes(account_list, settings, found_accounts, released)


def keep_name_writes(
    reader: Reader, settings: DirectorySettings, unreadable: UnreadableRecords, owners: Mapping[str, str]
) -> Iterator[Write]:
    """The writes that list these names, without an account, each with what tells its first owner. Names in
    the list stay as they are."""
    account_list = read_account_list(reader, settings.state, unreadable)
    listed = {name for accounts in account_list.records.values() for name in accounts}
    new = [(name, Listed(OWNER + owner)) for name, owner in owners.items() if name not in listed]
    yield from _list_writes(account_list, settings, new)


def _list_writes(
    account_list: AccountList,
    settings: DirectorySettings,
    found_accounts: Iterable[tuple[str, Listed]],
    released: Collection[str] = (),
) -> Iterator[Write]:
    number_of = {uid: number for number, accounts in account_list.records.items() for uid in accounts}
    last = max(account_list.records, default=0)
    after: dict[int, dict[str, Listed]] = {}  # of the records that may change

    def record_of(number: int) -> dict[str, Listed]:
        if number not in after:
            after[number] = dict(account_list.records.get(number, {}))
        return after[number]

    for uid in released:
        if uid in number_of:
            record_of(number_of[uid])
    for uid, listed in found_accounts:
        if uid in number_of:
            before = account_list.records[number_of[uid]][uid]
            listed = listed._replace(names=tuple(sorted({*listed.names, *before.names})))
            if listed == before:
                continue
        elif len(record_of(last)) >= PER_RECORD:
            last += 1
        record_of(number_of.get(uid, last))[uid] = listed
    for number in sorted(after):
        record = to_json({uid: listed for uid, listed in after[number].items() if uid not in released})
        write = record_write(Places(settings.state).accounts(number), account_list.raw.get(number), record)
        if write is not None:
            yield write


def _there(reader: Reader, settings: DirectorySettings, those: str) -> Iterator[tuple[str, Listed]]:
    names: Mapping[str, str] = settings.attributes
    uid, matricule, ledger = (
        names.get(attribute, attribute) for attribute in ("uid", "supannEmpId", "piactlIdentifier")
    )
    query = filters.all_of(IN_ACCOUNTS, those) if those else IN_ACCOUNTS
    for raw in reader.search(settings.accounts, query, [uid, matricule, ledger]):
        own = raw.text(uid)
        others = {name_digest(local_of(text)) for text in raw.texts(ledger)} - {name_digest(own)}
        yield own, Listed(raw.text(matricule), tuple(sorted(others)))
