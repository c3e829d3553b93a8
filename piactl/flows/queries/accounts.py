"""Queries of accounts as of any day, from their entries and the policy."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from piactl.core.edits.merging import merged_into
from piactl.core.model.account import Account, State
from piactl.core.model.digests import DigestKeys
from piactl.core.model.numen import read_numen
from piactl.core.model.overrides import closings, overridden
from piactl.core.model.periods import civil
from piactl.core.model.person import COMMON, Assignment, Register, qualified, read_matricule
from piactl.core.model.policy import Policy
from piactl.core.model.settings import DirectorySettings
from piactl.core.rules.career import AccountStatus, Career, account_status, career
from piactl.directory.port import Reader
from piactl.directory.store.accounts import Entry, Unreadable, find_accounts, read_accounts
from piactl.directory.store.attribute_map import Encoding
from piactl.directory.store.attribute_scans import read_uids
from piactl.errors import AccountNotFound, PiactlError

View = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class AccountStore:
    """The accounts of one directory, read through `reader` and found by name.

    Matricules are found by their digests under `keys`, in all `namespaces` where none is named. `protected`
    are the uids that the policy protects.
    """

    reader: Reader
    directory: DirectorySettings
    encoding: Encoding
    keys: DigestKeys
    protected: Collection[str]
    namespaces: Collection[str] = (COMMON,)


def find_account(store: AccountStore, name: str) -> Account:
    """The account with this uid, address, alias or matricule. Raises as `find_entry`."""
    return find_entry(store, name).account


def find_entry(store: AccountStore, name: str) -> Entry:
    """The account with this uid, address, alias or matricule, with the values of its entry. It is protected
    if its entry is marked or the policy names it.

    Raises AccountNotFound, and PiactlError if the entry is unreadable or several accounts match.
    """
    name = name.strip()
    if not name:
        raise AccountNotFound("no account is named; give a uid, an address or a matricule")
    if (numen := read_numen(name)) is not None:
        raise AccountNotFound(
            f"{numen}: this is a NUMEN, which is a secret and names no account; give a uid, an address or a "
            "matricule"
        )
    entries = find_named(store, name)
    if not entries:
        raise AccountNotFound(
            f"{name}: no account has this uid, address, alias or matricule{_nearest(store, name)}"
        )
    if len(entries) > 1:
        exact = [entry for entry in entries if isinstance(entry, Entry) and entry.account.uid == name]
        if len(exact) != 1:
            uids = ", ".join(sorted(e.account.uid if isinstance(e, Entry) else e.uid for e in entries))
            raise PiactlError(
                f"{name}: several accounts have this name ({uids}); give a uid, or NAMESPACE:MATRICULE"
            )
        entries = [*exact]
    entry = entries[0]
    if isinstance(entry, Unreadable):
        raise PiactlError(entry.why)
    if entry.account.uid in store.protected:
        return replace(entry, account=replace(entry.account, protected=True))
    return entry


def _nearest(store: AccountStore, name: str) -> str:
    """`; did you mean UID?` if there is one that differs by a typing error after its first letters."""
    from rapidfuzz import fuzz, process  # imported here: only a mistake needs it

    local = name.partition("@")[0].lower()
    if len(local) < 4 or local.isdigit():
        return ""
    uids = read_uids(store.reader, store.directory, store.encoding, local[:3])
    best = process.extractOne(local, list(uids), scorer=fuzz.ratio, score_cutoff=85)
    return f"; did you mean {best[0]}?" if best else ""


def find_named(store: AccountStore, name: str) -> list[Entry | Unreadable]:
    """The accounts with this uid, address, alias or matricule, which may be in any namespace."""
    namespaces = () if ":" in name else store.namespaces
    matricules = [qualified(namespace, name) for namespace in namespaces] or [read_matricule(name)]
    return find_accounts(store.reader, store.directory, store.encoding, store.keys, name, matricules)


def all_accounts(
    reader: Reader, directory: DirectorySettings, encoding: Encoding, report_unreadable: Callable[[str], Any]
) -> Iterator[Account]:
    """Every account, in directory order; calls `report_unreadable` with the reason for each unreadable
    entry."""
    for entry in read_accounts(reader, directory, encoding):
        if isinstance(entry, Unreadable):
            report_unreadable(entry.why)
        else:
            yield entry.account


def career_and_status(
    account: Account, policy: Policy, register: Register, as_of: date
) -> tuple[Career, AccountStatus]:
    """The career and the status of an account on a day, from the functions that planning uses."""
    closed_on = account.state_from if account.state is State.DEACTIVATED else None
    path = career(
        overridden(account.assignments, account.overrides, as_of),
        policy,
        register,
        exceptions=account.exceptions,
        closed_on=closed_on or as_of,
        closings=closings(account.overrides, as_of),
    )
    status = account_status(
        path,
        as_of,
        lock=account.lock,
        exceptions=account.exceptions,
        closed_on=closed_on or as_of,
        overrides=account.overrides,
    )
    return path, status


def account_view(
    account: Account,
    policy: Policy,
    register: Register,
    as_of: date,
    keys: Callable[[], DigestKeys],
    *,
    otp_schema: bool,
) -> dict[str, Any]:
    """The document of `account show -o json`; see schemas/json/account.schema.json. `otp_schema` as in
    `Encoding`."""
    if account.state is State.ARCHIVED:
        into = merged_into(account, keys()) if account.merged else None
        return {
            **_archived(account),
            "merged_into": into,
            "refused_by": ["dates", *(["link"] if otp_schema else [])],
        }
    path, status = career_and_status(account, policy, register, as_of)
    window = status.login_from or as_of, status.login_until or as_of
    refused_by = [] if window[0] <= as_of <= window[1] else ["dates"]
    if otp_schema and replace(account, state=status.state, locked=status.locked).shut:
        refused_by.append("link")
    profiles = {id(post.assignment): post.profile for post in path.posts}
    return {
        "uid": account.uid,
        "matricule": account.matricule,
        "matricules": [*account.matricules],
        "address": account.address,
        "aliases": sorted(account.aliases),
        "display_name": account.display_name,
        "state": status.state.value,
        "locked": status.locked,
        "login_from": _iso(status.login_from),
        "login_until": _iso(status.login_until),
        "refused_by": refused_by,
        "next_due": _iso(status.next_due),
        "profiles": list(status.profiles),
        "assignments": [
            {
                "uai": a.uai,
                "function": a.function,
                "corps": a.corps or None,
                "position": a.position or None,
                "modality": a.modality or None,
                "start": a.start.isoformat(),
                "end": _iso(a.end),
                "profile": profiles.get(id(a)) or _profile(a, policy, register),
            }
            for a in account.assignments
        ],
        "entitlements": _entitlements(path, as_of),
        "lock": _lock(account),
        "merged_into": None,
    }


def _profile(assignment: Assignment, policy: Policy, register: Register) -> str | None:
    profile = policy.profile(assignment, register)
    return profile.name if profile else None


def _entitlements(path: Career, as_of: date) -> list[dict[str, Any]]:
    today = as_of.toordinal()
    return [
        {"service": service, "uai": uai or None, "from": _iso(civil(first)), "to": _iso(civil(last))}
        for (service, uai), periods in sorted(path.rights.items())
        for first, last in periods
        if last >= today
    ]


def _lock(account: Account) -> dict[str, Any] | None:
    lock = account.lock
    if lock is None:
        return None
    return {"since": _iso(lock.since), "until": _iso(lock.until), "by": lock.by, "reason": lock.reason}


def _archived(account: Account) -> dict[str, Any]:
    """The document of an archived account, which has only its identifiers."""
    return {
        "uid": account.uid,
        "matricule": None,
        "matricules": [],
        "address": None,
        "aliases": sorted(i for i in account.identifiers if "@" in i),
        "display_name": None,
        "state": account.state.value,
        "locked": account.locked,
        "login_from": None,
        "login_until": _iso(account.login_until),
        "next_due": None,
        "profiles": [],
        "assignments": [],
        "entitlements": [],
        "lock": _lock(account),
    }


def _iso(day: date | None) -> str | None:
    return day.isoformat() if day else None
