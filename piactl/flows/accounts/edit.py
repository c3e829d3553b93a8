"""One-off changes of accounts: the same rules, guards, preconditions and journal as a night.

An act says what an administrator changes of an account; the rules then say what follows from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from piactl.core.edits import Act, ActRefused
from piactl.core.edits.merging import merged_into
from piactl.core.model.account import State
from piactl.core.naming.homonyms import TakenNames
from piactl.core.naming.local_part import UnusableName
from piactl.core.plan.change import Change
from piactl.core.plan.guards import Refusal, refusals
from piactl.core.plan.sync_cache import NameDigests
from piactl.core.rules.address_allocation import named
from piactl.core.rules.career import outlook
from piactl.core.rules.desired import Desired, Rules, Subject, desired_account, local_of, renamed_base
from piactl.directory.store.account_write import account_write, only_renews_base
from piactl.directory.store.accounts import Entry
from piactl.directory.store.attribute_scans import read_foreign_names, read_identifiers
from piactl.directory.store.memory_records import read_last, vanished_accounts
from piactl.directory.store.records import UnreadableRecords
from piactl.flows.accounts.batch import Batch, PreparedAccount, prepare_each
from piactl.flows.plan.change_set import change_set
from piactl.flows.plan.ready_plan import AccountWrite
from piactl.flows.plan.vanished import names_of_vanished
from piactl.flows.queries.accounts import AccountStore, career_and_status


def prepare(
    store: AccountStore,
    rules: Rules,
    names: Iterable[str],
    act: Act,
    reason: str,
    unreadable: UnreadableRecords,
) -> Batch:
    """What the act would change of each account, in the order of `names`. Nothing here can write.

    An account that cannot be found or changed is an error of its own; the others go on.
    """
    accounts = prepare_each(
        store, names, lambda name, entry: prepared_account(store, name, entry, act, rules, reason)
    )
    changes = [change for account in accounts for change in account.changes]
    return Batch(accounts, tuple(broken_guards(store, changes, rules, unreadable)))


def prepared_account(
    store: AccountStore, name: str, entry: Entry, act: Act, rules: Rules, reason: str
) -> PreparedAccount:
    current = entry.account
    into = merged_into(current, store.keys) if current.merged else None
    if into is not None:
        raise ActRefused(f"{name}: this account was merged into {into}; name that one")
    if current.state is State.ARCHIVED:
        raise ActRefused(
            f"{name}: the account is archived; what is left of it is only kept so that its addresses are "
            "given to nobody else.\nIf the person is back: piactl account create with the same matricule"
        )
    altered = act(current, rules)
    subject = Subject(
        matricule=current.matricule,
        current=altered.account,
        person=altered.person,
        assignments=altered.account.assignments,
        note=altered.note,
    )
    try:
        desired = desired_account(subject, rules)
    except UnusableName as error:
        raise ActRefused(f"{name}: {error}") from None
    if desired is None:
        raise AssertionError("an account that is there always has a desired one")
    # the act itself may have changed the name already
    base = desired.base or renamed_base(current, desired.account)
    desired = replace(desired, subject=replace(subject, current=current), base=base)
    return intended(store, name, entry, desired, rules, reason)


def intended(
    store: AccountStore,
    name: str,
    entry: Entry | None,
    desired: Desired,
    rules: Rules,
    reason: str,
) -> PreparedAccount:
    """The changes and the one write that make an account the desired one, with the address it needs."""
    if desired.base is not None:
        desired = _addressed(store, desired, rules)
    write = account_write(store.directory, store.encoding.fitted_to(store.reader), entry, desired.account)
    uid = desired.account.uid
    if write is None or only_renews_base(store.encoding, write):
        return PreparedAccount(name, uid)
    found = entry.drift.drift if entry is not None and entry.drift is not None else ()
    changes = change_set(desired, write, rules, store.encoding, found)
    row = AccountWrite(uid, changes.kinds, reason or changes.changes[0].reason, write)
    before = None
    if entry is not None:
        before, _ = career_and_status(entry.account, rules.policy, rules.register, rules.as_of)
    last_override = max((override.until for override in desired.account.overrides), default=rules.as_of)
    ahead = tuple(outlook(before, desired.career, rules.as_of, last_override))
    return PreparedAccount(name, uid, changes.changes, row, ahead)


def _addressed(store: AccountStore, desired: Desired, rules: Rules) -> Desired:
    taken = {
        *read_foreign_names(store.reader, store.directory, store.encoding),
        *read_identifiers(store.reader, store.directory, store.encoding),
    }
    gone = vanished_accounts(store.reader, store.directory.state, UnreadableRecords())
    also = NameDigests(names_of_vanished(gone))
    names = TakenNames((local_of(name) for name in taken), rules.policy.first_homonym_digit, also)
    return named([desired], names, rules.policy)[0]


def broken_guards(
    store: AccountStore, changes: Sequence[Change], rules: Rules, unreadable: UnreadableRecords
) -> Sequence[Refusal]:
    """The guards of the day, against the accounts that the last run counted."""
    if not changes:
        return ()
    last = read_last(store.reader, store.directory.state, unreadable)
    return refusals(changes, last.census, rules.policy, rules.as_of) if last else ()
