"""Lifts blocks by wrong passwords, and keeps accounts under the right password policy. Locks set by
administrators stay, and so do passwords."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, time
from zoneinfo import ZoneInfo

from piactl.core.acts import ActRefused
from piactl.core.credentials.credential_state import Credentials
from piactl.core.credentials.passwords import valid_until
from piactl.core.model.account import State
from piactl.core.model.settings import IdentityName, PasswordSettings
from piactl.directory.dn import same_dn
from piactl.directory.store.account_entries import Entry
from piactl.directory.store.password_state import (
    read_credentials,
    unblock_write,
)
from piactl.edits.account_store import AccountStore, career_and_status
from piactl.edits.carry_out_batch import Batch, PreparedAccount, prepare_each
from piactl.helpdesk.attempt_limits import shown_time
from piactl.phrase import Phrase, joined


def prepare_unblocking(
    store: AccountStore,
    passwords: PasswordSettings,
    names: Sequence[str],
    reason: str,
    now: datetime,
    identity: str,
) -> Batch:
    """The writes that lift the blocks of these accounts, in the order of `names`; nothing is written."""
    return Batch(
        prepare_each(
            store,
            names,
            lambda name, entry: _prepared(store, passwords, name, entry, reason, now, identity),
            Phrase("it is unblocked once"),
        )
    )


def _prepared(
    store: AccountStore,
    passwords: PasswordSettings,
    name: str,
    entry: Entry,
    reason: str,
    now: datetime,
    identity: str,
) -> PreparedAccount:
    account, uid = entry.account, entry.account.uid
    if account.state is State.ARCHIVED:
        raise ActRefused(
            Phrase("{uid}: the account is archived; nobody can log in with it any more", uid=uid)
        )
    if account.protected and identity != IdentityName.ADMINISTRATOR:
        raise ActRefused(
            Phrase("{uid}: the account is protected: only an administrator unblocks it", uid=uid)
        ).with_options("--administrator")
    credentials = read_credentials(store.reader, entry.dn, "", passwords)
    if credentials.blocked_for_good:
        raise ActRefused(
            Phrase(
                "{uid}: the directory holds a lock without an end that wrong passwords do not make; the "
                "administrator of the directory who set it has to remove it",
                uid=uid,
            )
        )
    timezone = store.policy.timezone
    ends = activation_end(credentials, entry, timezone, passwords.activation_hours, now)
    if ends is not None and ends <= now:
        raise ActRefused(
            Phrase(
                "{uid}: its activation password ended unused at {time}.\nGive another: piactl password "
                "activate {uid}",
                uid=uid,
                time=shown_time(ends, timezone),
            )
        )
    blocked, until = credentials.blocked_until(now)
    delayed = until is not None and until == credentials.delayed
    policy = _policy(credentials, passwords, protected=account.protected)
    if policy == "" and not blocked:
        policy = None  # the night sees to it
    if delayed and until is not None and not account.protected:
        wait = _delayed_note(uid, shown_time(until, timezone), first=credentials.is_activation)
        return PreparedAccount(name, uid, note=wait)
    write = unblock_write(store.reader, entry.dn, ends=ends, policy=policy)
    notes = [_note(store, credentials, entry, blocked=blocked and not delayed, ends=ends)]
    if delayed and until is not None:
        notes.insert(0, _delayed_note(uid, shown_time(until, timezone), first=credentials.is_activation))
    if policy:
        notes.append(Phrase("from now on wrong passwords do not block it"))
    note = joined(notes)
    if write is None:
        return PreparedAccount(name, uid, note=note)
    return PreparedAccount(name, uid, writes=(write.with_reason(uid, ("unblock",), reason),), note=note)


def _delayed_note(uid: str, time: str, *, first: bool) -> Phrase:
    """What helps where wrong passwords only delay; `first`: the password is an activation password."""
    note = Phrase(
        "it is not blocked: wrong passwords delay it until {time}, and only time ends this.\n"
        "To say: Wait until {time}, then try once. A wrong password makes the next wait longer",
        time=time,
    )
    if first:
        return note
    return Phrase("{note}\nIf the password is forgotten: piactl password reset {uid}", note=note, uid=uid)


def _policy(credentials: Credentials, passwords: PasswordSettings, *, protected: bool) -> str | None:
    """The password policy that the account gets: the one for protected accounts, or the default one ("") for
    an account with a chosen password; None if it stays under the one it has."""
    if credentials.is_activation:
        return None
    if protected and passwords.protected_policy:
        right = credentials.policy is not None and same_dn(
            credentials.policy.name, passwords.protected_policy
        )
        return None if right else passwords.protected_policy
    return "" if credentials.policy is not None and credentials.policy.activation else None


def activation_end(
    credentials: Credentials, entry: Entry, timezone: str, activation_hours: int, now: datetime
) -> datetime | None:
    """When the activation password expires, None for another password. A block by wrong passwords replaces
    the stored end, so the hours count again from when it was set."""
    if not credentials.is_activation or credentials.changed is None:
        return None
    if credentials.blocked is not None and credentials.blocked > now:
        return credentials.blocked
    opens = entry.account.login_from
    midnight = datetime.combine(opens, time(), ZoneInfo(timezone)) if opens else None
    return valid_until(credentials.changed, midnight, activation_hours)


def _note(
    store: AccountStore,
    credentials: Credentials,
    entry: Entry,
    *,
    blocked: bool,
    ends: datetime | None,
) -> str:
    """The blocks and other obstacles, in words for the operator."""
    uid = entry.account.uid
    notes = [
        Phrase("the block by wrong passwords is gone") if blocked else Phrase("no wrong passwords block it")
    ]
    if ends is not None:
        until = shown_time(ends, store.policy.timezone)
        notes.append(Phrase("it has an activation password, valid until {until}", until=until))
    elif credentials.changed is None:
        notes.append(Phrase("no password was ever set: piactl password activate {uid}", uid=uid))
    _, status = career_and_status(entry.account, store.rules)
    first, last = status.login_from or store.as_of, status.login_until or store.as_of
    if status.locked or not first <= store.as_of <= last:
        notes.append(Phrase("but something else keeps it closed: piactl why {uid} login", uid=uid))
        return joined([joined(notes), *store.held_by_cases(uid)], "{first}\n{second}")
    if not blocked:
        notes.append(Phrase("if the login does not work: piactl why {uid} login", uid=uid))
    return joined(notes)
