"""Queries of accounts as of any day, from their entries and the policy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date
from typing import Any

from piactl.core.model.account import Account, State
from piactl.core.model.numen import read_numen
from piactl.core.model.overrides import closings, overridden
from piactl.core.model.periods import civil
from piactl.core.model.person import Register
from piactl.core.model.policy import Policy
from piactl.core.rules.career import Career, career
from piactl.core.rules.status import AccountStatus, account_status
from piactl.directory.port import Reader
from piactl.directory.store.accounts import Entry, Unreadable, find_accounts, read_accounts
from piactl.errors import AccountNotFound, PiactlError
from piactl.flows.site import Site

View = Mapping[str, Any]


def find_account(reader: Reader, site: Site, name: str) -> Account:
    """The account that a uid, an address, an alias or a matricule means. Raises as `find_entry`."""
    return find_entry(reader, site, name).account


def find_entry(reader: Reader, site: Site, name: str) -> Entry:
    """The account that a uid, an address, an alias or a matricule means, with the values of its entry. It is
    protected where its entry is marked so or the policy names it.

    Raises AccountNotFound, and PiactlError where the entry cannot be understood or several are meant.
    """
    name = name.strip()
    if not name:
        raise AccountNotFound("no account is named; give a uid, an address or a matricule")
    if (numen := read_numen(name)) is not None:
        raise AccountNotFound(
            f"{numen}: this is a NUMEN, which is a secret and names no account; give a uid, an address or a "
            "matricule"
        )
    found = find_accounts(reader, site.settings.directory, site.encoding, site.keys, name)
    if not found:
        raise AccountNotFound(f"{name}: no account has this uid, address, alias or matricule")
    if len(found) > 1:
        exact = [one for one in found if isinstance(one, Entry) and one.account.uid == name]
        if len(exact) != 1:
            uids = ", ".join(sorted(o.account.uid if isinstance(o, Entry) else o.uid for o in found))
            raise PiactlError(f"{name}: several accounts answer to it ({uids}); name one by its uid")
        found = [*exact]
    one = found[0]
    if isinstance(one, Unreadable):
        raise PiactlError(one.why)
    if one.account.uid in site.policy.protected:
        return replace(one, account=replace(one.account, protected=True))
    return one


def all_accounts(reader: Reader, site: Site, report_unreadable: Any) -> Iterator[Account]:
    """Every account, in directory order; calls `report_unreadable` for each unreadable one."""
    for one in read_accounts(reader, site.settings.directory, site.encoding):
        if isinstance(one, Unreadable):
            report_unreadable(one.why)
        else:
            yield one.account


def account_on(account: Account, site: Site, as_of: date) -> tuple[Career, AccountStatus]:
    return career_and_status(account, site.policy, site.register, as_of)


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
    stand = account_status(
        path,
        as_of,
        lock=account.lock,
        exceptions=account.exceptions,
        closed_on=closed_on or as_of,
        overrides=account.overrides,
    )
    return path, stand


def account_view(account: Account, site: Site, as_of: date, *, otp_schema: bool) -> dict[str, Any]:
    """What `account show -o json` prints, as schemas/json/account.schema.json says. `otp_schema` as in
    `Encoding`."""
    if account.state is State.ARCHIVED:
        return {**_archived(account), "refused_by": ["dates", *(["link"] if otp_schema else [])]}
    path, stand = account_on(account, site, as_of)
    window = stand.login_from or as_of, stand.login_until or as_of
    refused_by = [] if window[0] <= as_of <= window[1] else ["dates"]
    if otp_schema and replace(account, state=stand.state, locked=stand.locked).shut:
        refused_by.append("link")
    profiles = {id(post.assignment): post.profile for post in path.posts}
    return {
        "uid": account.uid,
        "matricule": account.matricule,
        "address": account.address,
        "aliases": sorted(account.aliases),
        "display_name": account.display_name,
        "state": stand.state.value,
        "locked": stand.locked,
        "login_from": _iso(stand.login_from),
        "login_until": _iso(stand.login_until),
        "refused_by": refused_by,
        "next_due": _iso(stand.next_due),
        "profiles": list(stand.profiles),
        "assignments": [
            {
                "uai": a.uai,
                "function": a.function,
                "corps": a.corps or None,
                "position": a.position or None,
                "modality": a.modality or None,
                "start": a.start.isoformat(),
                "end": _iso(a.end),
                "profile": profiles.get(id(a)) or _profile(account, a, site),
            }
            for a in account.assignments
        ],
        "entitlements": _entitlements(path, as_of),
        "lock": _lock(account),
    }


def _profile(account: Account, assignment: Any, site: Site) -> str | None:
    profile = site.policy.profile(assignment, site.register)
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
