"""One-off changes of accounts: the same rules, guards, preconditions and journal as in a night.

An act makes the change of the administrator; the rules compute what follows from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from piactl.core.acts import Act, ActRefused
from piactl.core.acts.assignments_by_hand import refuse_too_long
from piactl.core.model.account import Account, State, merged_into
from piactl.core.model.overrides import HAND_ENDED, OverrideKind, next_end
from piactl.core.model.settings import PasswordSettings
from piactl.core.naming.names import UnusableName
from piactl.core.plan.change import PASSWORD
from piactl.core.plan.check_guards import tally
from piactl.core.plan.write import Write
from piactl.core.rules.address_allocation import addressed, claim_of, numbered, take
from piactl.core.rules.career import outlook
from piactl.core.rules.desired_account import (
    Desired,
    Subject,
    desired_account,
    local_of,
    renamed_base,
    with_lock,
)
from piactl.directory.store.account_entries import (
    Entry,
    account_write,
    as_found,
    only_renews_base,
    read_accounts_of,
    reducing_write,
)
from piactl.directory.store.account_list import read_account_list
from piactl.directory.store.attribute_scans import read_identifiers
from piactl.directory.store.base_digest import FIELDS
from piactl.directory.store.find_drift import MULTIPLE
from piactl.directory.store.password_state import removal_write
from piactl.directory.store.record_entries import UnreadableRecords
from piactl.edits.account_store import AccountStore, career_and_status
from piactl.edits.carry_out_batch import Batch, PreparedAccount, prepare_each
from piactl.errors import PiactlError
from piactl.phrase import Phrase
from piactl.planning.account_index import numbers_of
from piactl.planning.account_writes import planned_row
from piactl.planning.drift_by_rules import held_words, resolved
from piactl.planning.vanished_accounts import taken_names


def prepare(
    store: AccountStore,
    names: Iterable[str],
    act: Act,
    reason: str,
    *,
    compromised: PasswordSettings | None = None,
) -> Batch:
    """The changes that the act makes to each account, in the order of `names`. Nothing here can write. An
    account that cannot be found or changed has an error of its own; the others go on. `compromised`: the same
    write removes the password."""

    def prepare_one(name: str, entry: Entry) -> PreparedAccount:
        prepared = prepared_account(store, name, entry, act, reason)
        if compromised is None:
            return prepared
        row = prepared.write or Write("modify", entry.dn).with_reason(prepared.uid, (), reason)
        gone = removal_write(store.reader, entry.dn, compromised.activation_policy)
        add, delete = {**row.add, **gone.add}, {**row.delete, **gone.delete}
        row = replace(row, add=add, delete=delete, kinds=(*row.kinds, PASSWORD))
        return replace(prepared, writes=(row,))

    return guarded(store, prepare_each(store, names, prepare_one))


def prepared_account(
    store: AccountStore,
    name: str,
    entry: Entry,
    act: Act,
    reason: str,
) -> PreparedAccount:
    """The changes that the act makes to one account. A held account (see `held_words`) gets only a lock, or
    what the act itself sets."""
    current = entry.account
    into = merged_into(current, store.keys) if current.merged else None
    if into is not None:
        raise ActRefused(
            Phrase("{name}: this account was merged into {into}; name that one", name=name, into=into)
        )
    if current.state is State.ARCHIVED:
        raise ActRefused(
            Phrase(
                "{name}: the account is archived; what is left of it is only kept so that its addresses are "
                "given to nobody else.\nIf the person is back: piactl account create with the same matricule",
                name=name,
            )
        )
    altered = act(current, store.rules)
    if any(a not in current.assignments for a in altered.account.assignments):
        refuse_too_long(altered.account, store.rules)
    subject = Subject(
        matricule=current.matricule,
        current=altered.account,
        person=None,
        assignments=altered.account.assignments,
        note=altered.note,
    )
    try:
        desired = desired_account(subject, store.rules, archives=False)  # which two nights do
        if desired is None:
            raise AssertionError("an account that is there always has a desired one")
        # the act itself may have changed the name already
        base = desired.base or renamed_base(current, desired.account)
    except UnusableName as error:
        raise ActRefused(Phrase("{name}: {text}", name=name, text=error.problem)) from None
    desired = replace(desired, subject=replace(subject, current=current), base=base)
    if entry.drift is not None:
        found = resolved(entry, store.encoding, desired.account, store.rules)
        entry = found if isinstance(found, Entry) else entry
    if held := held_words(entry, *_set_by(store, altered.account, current)):
        lock = altered.account.lock
        # the device is only ever changed together with a lock
        rest = replace(altered.account, lock=current.lock, device=current.device)
        if lock in (None, current.lock) or rest != current:
            raise ActRefused(held)
        return _only_locked(store, name, entry, desired, reason)
    prepared = intended(store, name, entry, desired, reason)
    return prepared if prepared.write is not None else replace(prepared, note=altered.hint)


def _set_by(store: AccountStore, altered: Account, current: Account) -> Iterator[str]:
    """The attributes whose one value an act itself sets."""
    for default, made_of in FIELDS.items():
        if default not in MULTIPLE and any(getattr(altered, f) != getattr(current, f) for f in made_of):
            yield store.encoding.name(default)


def _only_locked(
    store: AccountStore, name: str, entry: Entry, desired: Desired, reason: str
) -> PreparedAccount:
    """The lock alone, on the account as it is on its entry."""
    present, account = as_found(entry, store.encoding), desired.account
    locked = replace(with_lock(present, account.lock, desired.career, store.as_of), device=account.device)
    write = reducing_write(store.encoding, entry, present, locked)
    subject = replace(desired.subject, current=present)
    return _prepared(store, name, entry, replace(desired, subject=subject, account=locked), reason, write)


def intended(
    store: AccountStore,
    name: str,
    entry: Entry | None,
    desired: Desired,
    reason: str,
) -> PreparedAccount:
    """The changes and the one write that make an account the desired one, with the address it needs."""
    if desired.base is not None:
        desired = _addressed(store, desired)
    write = account_write(store.directory, store.encoding, entry, desired.account)
    return _prepared(store, name, entry, desired, reason, write)


def _prepared(
    store: AccountStore,
    name: str,
    entry: Entry | None,
    desired: Desired,
    reason: str,
    write: Write | None,
) -> PreparedAccount:
    uid = desired.account.uid
    if write is None or only_renews_base(store.encoding, write):
        return PreparedAccount(name, uid)
    drift = store.drift([entry]).get(uid, ()) if entry is not None else ()
    row = planned_row(desired, write, store.rules, store.encoding, drift, reason=reason, every=True)
    before = None
    if entry is not None:
        before, _ = career_and_status(entry.account, store.rules)
    last_override = max((override.until for override in desired.account.overrides), default=store.as_of)
    ahead = outlook(before, desired.career, store.as_of, last_override)
    taking = [o for o in desired.account.overrides if o.kind in (OverrideKind.CLOSE, OverrideKind.END)]
    over = next_end(taking, store.as_of)
    if over is not None:
        # what HR has applies again then, and gives other events
        _, then = career_and_status(desired.account, store.rules, over)
        after = [(over, HAND_ENDED), (over, Phrase("state {state}", state=then.state.words))]
        ahead = [*(event for event in ahead if event[0] < over), *after]
    person = entry.account if entry is not None else desired.account
    return PreparedAccount(name, uid, row.changes, (row,), tuple(ahead), people=(person,))


def _addressed(store: AccountStore, desired: Desired) -> Desired:
    """The desired account with the names and the number that a night would give it."""
    account_list = read_account_list(store.reader, store.directory.state, UnreadableRecords())
    listed, owners = dict(account_list.accounts()), account_list.first_owners()
    accounts = store.managed
    names = {local_of(name) for name in read_identifiers(*accounts)}
    taken = taken_names(accounts, store.rules, listed, owners, names)
    numbers = numbers_of(accounts, store.policy, listed)
    claim = claim_of(desired, store.policy)
    given = addressed(desired, *take(claim, taken), store.policy) if claim is not None else desired
    with_number = numbered(given, numbers)
    if with_number is None:
        raise ActRefused(numbers.none_left if numbers else "")
    return with_number


def guarded(store: AccountStore, accounts: tuple[PreparedAccount, ...]) -> Batch:
    """The batch of these accounts, with the guards of the day that it breaks. They count it against the
    accounts that the last run counted."""
    changes = [change for account in accounts for change in account.changes]
    last = store.last if changes else None
    broken = tally(changes).refusals(last.census, store.policy, store.as_of) if last else ()
    return Batch(accounts, tuple(broken))


def owner_of(store: AccountStore, matricule: str) -> Entry | None:
    """The account that has a matricule, even if it is archived. Raises PiactlError if it cannot be read."""
    for entry in read_accounts_of(*store.managed, store.keys, [matricule]):
        if not isinstance(entry, Entry):
            raise PiactlError(entry.why)
        return entry
    return None
