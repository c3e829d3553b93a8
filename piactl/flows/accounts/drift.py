"""What an administrator decides about what another program changed: put back, adopted, kept until a day."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date

from piactl.core.edits import ActRefused, Altered, Author
from piactl.core.model.account import Account
from piactl.core.model.overrides import Override, OverrideKind
from piactl.core.plan.change import Change, Kind
from piactl.core.plan.drift import ADOPTABLE, Drift, DriftClass, Fate
from piactl.core.plan.run_state import Memory
from piactl.core.rules.desired import Rules, with_ledger
from piactl.directory.store.account_write import account_write
from piactl.directory.store.accounts import Entry, Unreadable, read_accounts, with_kept
from piactl.directory.store.drift import PROPERLY
from piactl.directory.store.records import UnreadableRecords
from piactl.flows.accounts.batch import Batch, PreparedAccount, prepare_each
from piactl.flows.accounts.edit import broken_guards, prepared_account
from piactl.flows.plan.drift import decided, drift_list
from piactl.flows.plan.inputs.account_index import ManagedAccounts
from piactl.flows.plan.ready_plan import AccountWrite
from piactl.flows.queries.accounts import AccountStore, find_entry

_OTHERWISE = "a correction in HR, or piactl assignment add"


def standing_drift(
    store: AccountStore, rules: Rules, memory: Memory, names: Sequence[str], unreadable: list[str]
) -> list[Drift]:
    """The drift of these accounts, of all without names, as the next run would find it. The reasons of
    entries that cannot be read are added to `unreadable`. Raises as `find_entry`."""
    accounts = ManagedAccounts(store.reader, store.directory, store.encoding.fitted_to(store.reader))
    entries: Iterable[Entry | Unreadable] = (
        [find_entry(store, name) for name in names] if names else read_accounts(*accounts)
    )
    found: list[Entry] = []
    for read in entries:
        entry = decided(read, accounts.encoding, memory, rules)
        if isinstance(entry, Unreadable):
            unreadable.append(entry.why)
        elif entry.drift is not None:
            found.append(entry)
    return drift_list(accounts, found, memory, rules, {})


def prepare_revert(
    store: AccountStore, rules: Rules, names: Iterable[str], author: Author, unreadable: UnreadableRecords
) -> Batch:
    """Everything that another program changed on these accounts is put back, as far as it is known."""

    def prepared(name: str, entry: Entry) -> PreparedAccount:
        if entry.drift is None:
            return _none(name, entry)
        ours = with_kept(entry, store.encoding, lambda _attribute, _class: Fate.REVERTED)
        if isinstance(ours, Unreadable):
            raise ActRefused(ours.why)
        return prepared_account(
            store, name, ours, lambda account, _: Altered(account, author.note), rules, author.reason
        )

    return _batch(store, rules, prepare_each(store, names, prepared), unreadable)


def prepare_adopt(
    store: AccountStore, rules: Rules, names: Iterable[str], author: Author, unreadable: UnreadableRecords
) -> Batch:
    """The names and addresses that another program wrote become piactl's own. Raises ActRefused for what
    only a command of its own may give."""

    def prepared(name: str, entry: Entry) -> PreparedAccount:
        if entry.drift is None:
            return _none(name, entry)
        drift = entry.drift.drift
        for one in drift:
            if one.drift_class not in ADOPTABLE:
                raise ActRefused(
                    f"{name}: {one.attribute} was changed by another program ({one.drift_class}), which "
                    f"nobody adopts.\nTo give it: {PROPERLY.get(one.attribute, _OTHERWISE)}; to put it back: "
                    f"piactl drift revert {entry.account.uid}"
                )
            if one.drift_class == DriftClass.PRESENTATION:
                raise ActRefused(
                    f"{name}: {one.attribute} follows from the names of HR. To keep it: piactl drift "
                    f"override {entry.account.uid} --until DATE; another name: piactl account rename"
                )
        account = with_ledger(entry.account, {})
        former = {text for one in drift if one.attribute == store.encoding.name("mail") for text in one.ours}
        account = replace(account, aliases=account.aliases | (former - {"?"} - {account.address}))
        names_ = {one.attribute for one in drift}
        write = account_write(store.directory, store.encoding, entry, account, names_)
        if write is None:
            return PreparedAccount(name, account.uid)
        change = Change(
            kind=Kind.UPDATE,
            uid=account.uid,
            matricule=account.matricule,
            before={"identifiers": sorted(former)},
            after={"identifiers": sorted(text for one in drift for text in one.theirs)},
            reason=f"what another program wrote is adopted; {author.note}",
            effective=rules.as_of,
        )
        row = AccountWrite(account.uid, (change.kind.value,), author.reason, write)
        return PreparedAccount(name, account.uid, (change,), row)

    return _batch(store, rules, prepare_each(store, names, prepared), unreadable)


def prepare_keep(
    store: AccountStore,
    rules: Rules,
    names: Iterable[str],
    author: Author,
    until: date,
    unreadable: UnreadableRecords,
) -> Batch:
    """What another program changed on these accounts stays until a day. Raises ActRefused for what gives
    access."""

    def prepared(name: str, entry: Entry) -> PreparedAccount:
        if entry.drift is None:
            return _none(name, entry)
        drift = entry.drift.drift
        for one in drift:
            if one.drift_class == DriftClass.LOOSENING:
                raise ActRefused(
                    f"{name}: {one.attribute} gives access that nobody granted, which does not stay.\n"
                    f"To give it: {PROPERLY.get(one.attribute, _OTHERWISE)}"
                )
        kept = tuple(
            Override(OverrideKind.KEEP, until, rules.as_of, author.by, author.reason, value=one.attribute)
            for one in drift
        )

        def act(account: Account, _rules: Rules) -> Altered:
            return Altered(replace(account, overrides=(*account.overrides, *kept)), author.note)

        stays = with_kept(entry, store.encoding, lambda _attribute, _class: Fate.KEPT)
        if isinstance(stays, Unreadable):
            raise ActRefused(stays.why)
        return prepared_account(store, name, stays, act, rules, author.reason)

    return _batch(store, rules, prepare_each(store, names, prepared), unreadable)


def _none(name: str, entry: Entry) -> PreparedAccount:
    return PreparedAccount(name, entry.account.uid, note="no other program has changed it")


def _batch(
    store: AccountStore,
    rules: Rules,
    accounts: tuple[PreparedAccount, ...],
    unreadable: UnreadableRecords,
) -> Batch:
    changes = [change for account in accounts for change in account.changes]
    return Batch(accounts, tuple(broken_guards(store, changes, rules, unreadable)))
