"""The accounts of a directory as of any day: found by a name, read with the values of their entries."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property
from typing import Any

from rapidfuzz import fuzz, process

from piactl.core.model.account import (
    Account,
    State,
)
from piactl.core.model.keyed_digests import DigestKeys, read_numen
from piactl.core.model.person import COMMON, qualified, read_matricule
from piactl.core.model.policy import Policy
from piactl.core.model.settings import DirectorySettings
from piactl.core.plan.case import Case, cases_of_accounts
from piactl.core.plan.drift import Drift
from piactl.core.plan.state_between_runs import LastRun, Vanished
from piactl.core.rules.career import AccountStatus, Career, account_status, career_on
from piactl.core.rules.desired_account import Rules, is_retained, kept_status
from piactl.directory.interfaces import Reader
from piactl.directory.store.account_entries import (
    Entry,
    Unreadable,
    find_accounts,
    read_accounts,
)
from piactl.directory.store.account_list import Listed, read_account_list
from piactl.directory.store.attribute_map import Encoding
from piactl.directory.store.attribute_scans import read_nearby
from piactl.directory.store.find_drift import read_foreign_devices
from piactl.directory.store.record_entries import Records, UnreadableRecords, read_records
from piactl.directory.store.state_records import VANISHED, cases_in, drift_in, last_in
from piactl.errors import NotFound, PiactlError
from piactl.phrase import Phrase, joined
from piactl.planning.account_index import ManagedAccounts
from piactl.planning.drift_by_rules import (
    decided,
    device_drift,
    drift_list,
    is_settled,
)
from piactl.planning.vanished_accounts import find_vanished, recheck_vanished


@dataclass(frozen=True)
class AccountStore:
    """The accounts of one directory, read through `reader` as of a day and found by name.

    `rules_on` gives the rules of a day. Matricules are found by their digests under
    `keys`, in all `namespaces` if none is named. `unreadable` are the records of piactl that had to be
    skipped.
    """

    reader: Reader
    directory: DirectorySettings
    encoding: Encoding
    keys: DigestKeys
    policy: Policy
    as_of: date
    rules_on: Callable[[date], Rules]
    namespaces: Collection[str] = (COMMON,)
    unreadable: UnreadableRecords = field(default_factory=UnreadableRecords, compare=False)

    @property
    def managed(self) -> ManagedAccounts:
        return ManagedAccounts(self.reader, self.directory, self.encoding)

    @cached_property
    def rules(self) -> Rules:
        """The rules of its day."""
        return self.rules_on(self.as_of)

    @cached_property
    def records(self) -> Records:
        """What runs left beside the accounts, read once."""
        return read_records(self.reader, self.directory.state)

    @cached_property
    def last(self) -> LastRun | None:
        """The last run, as `last_in` has it."""
        return last_in(self.records, self.unreadable)

    @cached_property
    def vanished(self) -> Mapping[str, Vanished]:
        """The accounts whose entry is gone, by uid, as the last run noted them."""
        return self.records.value(self.records.places.vanished, VANISHED, self.unreadable) or {}

    @cached_property
    def listed(self) -> Mapping[str, Listed]:
        """The accounts that the runs made, by uid."""
        return dict(read_account_list(self.reader, self.directory.state, UnreadableRecords()).accounts())

    def gone(self, names: Iterable[str]) -> dict[str, Vanished]:
        """The accounts among these whose entry is gone, by uid; those that went after the last run count from
        today."""
        noted = {name: self.vanished[name] for name in names if name in self.vanished}
        others = {n: self.listed[n] for n in names if n in self.listed and n not in noted}
        return recheck_vanished(self.managed, {**find_vanished(others, set(), self.as_of), **noted})

    def decided(self, entry: Entry | Unreadable) -> Entry | Unreadable:
        """The entry as a night on that day evaluates it, if another program changed it."""
        if isinstance(entry, Unreadable) or is_settled(entry):
            return entry
        return decided(entry, self.encoding, self.last, self.rules)

    def drift(self, entries: Iterable[Entry], devices: Iterable[Drift] = ()) -> dict[str, list[Drift]]:
        """What other programs changed on these accounts, by uid, with these devices of any account."""
        drifted = [entry for entry in entries if entry.drift is not None]
        by_uid: dict[str, list[Drift]] = {}
        if drifted:
            for drift in drift_list(self.reader, self.directory, drifted, drift_in(self.records), self.as_of):
                by_uid.setdefault(drift.uid, []).append(drift)
        for drift in devices:
            by_uid[drift.uid] = sorted(
                [*by_uid.get(drift.uid, ()), drift], key=lambda account_drift: account_drift.rank
            )
        return by_uid

    def devices(self, below: str = "") -> Iterator[Drift]:
        """The devices that other programs added below any account, or `below` this DN."""
        devices = read_foreign_devices(self.reader, self.directory, below)
        return device_drift(self.reader, self.directory, devices)

    @cached_property
    def cases(self) -> Mapping[str, tuple[Case, ...]]:
        """The open cases that hold accounts, by uid."""
        return cases_of_accounts(cases_in(self.records, self.unreadable))

    def held_by_cases(self, uid: str) -> list[str]:
        """A line for each open case that holds an account."""
        return [case.hold_text for case in self.cases_of(uid)]

    def cases_of(self, uid: str) -> tuple[Case, ...]:
        """The open cases that hold an account."""
        return self.cases.get(uid, ())

    def drift_of(self, entry: Entry) -> list[Drift]:
        """What other programs changed on an account, with the devices that they added below it."""
        return self.drift([entry], self.devices(entry.dn)).get(entry.account.uid, [])


def find_entry(store: AccountStore, name: str) -> Entry:
    """The account with this uid, address, alias or matricule, with the values of its entry, as a night
    evaluates it. It is protected if its entry is marked or the policy names it.

    Raises NotFound, and PiactlError if the entry is unreadable or several accounts match.
    """
    name = name.strip()
    if not name:
        raise NotFound(Phrase("no account is named; give a uid, an address or a matricule"))
    if (numen := read_numen(name)) is not None:
        raise NotFound(
            Phrase(
                "{numen}: this is a NUMEN, which is a secret and names no account; give a uid, an address "
                "or a matricule",
                numen=numen,
            )
        )
    entries = find_named(store, name)
    if not entries:
        if store.gone([name]):
            raise NotFound(
                Phrase(
                    "{name}: another program deleted the entry, or took it from piactl: piactl drift show "
                    "{name}",
                    name=name,
                )
            )
        unknown = Phrase("{name}: no account has this uid, address, alias or matricule", name=name)
        by_name = Phrase("by the name of the person: piactl account find NAME")
        raise NotFound(joined([unknown, _nearest(store, name) or by_name]))
    if len(entries) > 1:
        exact = [entry for entry in entries if isinstance(entry, Entry) and entry.account.uid == name]
        if len(exact) != 1:
            uids = ", ".join(sorted(e.account.uid if isinstance(e, Entry) else e.uid for e in entries))
            raise PiactlError(
                Phrase(
                    "{name}: several accounts have this name ({uids}); give a uid, or NAMESPACE:MATRICULE",
                    name=name,
                    uids=uids,
                )
            )
        entries = [*exact]
    entry = store.decided(entries[0])
    if isinstance(entry, Unreadable):
        raise PiactlError(entry.why)
    if entry.account.uid in store.policy.protected:
        return replace(entry, account=replace(entry.account, protected=True))
    return entry


def _nearest(store: AccountStore, name: str) -> Phrase | None:
    """`did you mean UID?` if there is one that, itself or in its address, differs by no more than a typing
    error after its first letters."""
    local = name.partition("@")[0].lower()
    if len(local) < 4 or local.isdigit():
        return None
    uids = dict(read_nearby(*store.managed, local[:3]))
    best = process.extractOne(local, list(uids), scorer=fuzz.ratio, score_cutoff=85)
    return Phrase("did you mean {word}?", word=uids[best[0]]) if best else None


def find_named(store: AccountStore, name: str) -> list[Entry | Unreadable]:
    """The accounts with this uid, address, alias or matricule, which may be in any namespace."""
    namespaces = () if ":" in name else store.namespaces
    matricules = [qualified(namespace, name) for namespace in namespaces] or [read_matricule(name)]
    return find_accounts(*store.managed, store.keys, name, matricules)


def all_entries(store: AccountStore, report_unreadable: Callable[[str], Any]) -> Iterator[Entry]:
    """Every account, in directory order, as a night evaluates it. Calls `report_unreadable` with the reason
    for each unreadable entry."""
    encoding = store.encoding
    return readable(store, read_accounts(store.reader, store.directory, encoding), report_unreadable)


def readable(
    store: AccountStore, read: Iterable[Entry | Unreadable], report_unreadable: Callable[[str], Any]
) -> Iterator[Entry]:
    """The readable accounts, as a night evaluates them. Calls `report_unreadable` as `all_entries` does."""
    for stored_entry in read:
        entry = store.decided(stored_entry)
        if isinstance(entry, Unreadable):
            report_unreadable(entry.why)
        else:
            yield entry


def career_and_status(
    account: Account, rules: Rules, day: date | None = None
) -> tuple[Career, AccountStatus]:
    """The career and the status of an account on a day, by default that of the rules, from the functions that
    planning uses."""
    rules = replace(rules, as_of=day or rules.as_of)
    closed_on = account.state_from if account.state is State.DEACTIVATED else None
    career = career_on(account, rules.policy, rules.register, rules.as_of)
    status = account_status(
        career,
        rules.as_of,
        lock=account.lock,
        exceptions=account.exceptions,
        closed_on=closed_on or rules.as_of,
        overrides=account.overrides,
    )
    if status.state is State.ARCHIVED and closed_on and is_retained(account, career, rules):
        status = kept_status(status, closed_on, account.overrides, rules)
    return career, status
