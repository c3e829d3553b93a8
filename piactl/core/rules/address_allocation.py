"""Allocates addresses by first start, then matricule, independent of the order of the feed."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from piactl.core.model.account import NUMBER, Account, State, amended
from piactl.core.model.policy import Policy, PosixSettings
from piactl.core.naming.names import TakenNames, has_base, initial_uid
from piactl.core.naming.posix_numbers import Numbers
from piactl.core.rules.desired_account import Desired, local_of, with_posix


class Claim(NamedTuple):
    """A claim to a name. Claims are granted in sort order.

    `first` is the ordinal of the first day of any assignment. `base` is the local part without the digits of
    a homonym, "" if the account reuses a former address. `uid` is the base of a uid of another form, or "".
    """

    first: int
    matricule: str
    base: str
    uid: str = ""


def claim_of(desired: Desired, policy: Policy) -> Claim | None:
    """The claim of a desired account; None if it needs no name."""
    if desired.base is None:
        return None
    account, subject = desired.account, desired.subject
    first = min(a.start for a in subject.assignments).toordinal()
    base = "" if _of_old(account, desired.base) else desired.base
    uid = ""
    if not account.uid and policy.uid_form == "initial":
        uid = initial_uid(account.given_name, account.usage_name, account.family_name)
    return Claim(first, subject.matricule or "", base, uid)


def take(claim: Claim, taken: TakenNames) -> tuple[str, str]:
    """Takes and returns the local part and the uid of a claim; "" for a name that it does not claim."""
    local = taken.take(claim.base, claim.matricule) if claim.base else ""
    return local, taken.take(claim.uid, claim.matricule) if claim.uid else local


def addressed(desired: Desired, local: str, uid: str, policy: Policy) -> Desired:
    """The desired account with the names of its claim."""
    account, base = desired.account, desired.base or ""
    address = f"{local}@{policy.domain}" if local else _of_old(account, base)[0]
    uid = account.uid or uid or local_of(address)
    past = {name for name in account.names if "@" in name}
    account = amended(
        account,
        uid=uid,
        address=address,
        aliases=frozenset(past - {address} - account.other_mails),
        other_mails=account.other_mails - {address},
        identifiers=account.identifiers | account.foreign_addresses | {uid, address},
    )
    return Desired(desired.subject, account, desired.career)


def numbered(desired: Desired, numbers: Numbers | None, dn: str = "") -> Desired | None:
    """The desired account with its uidNumber. If none is left, an existing account stays without one; None
    for an account that should be made or restored. `dn`: see `Numbers.number_for`."""
    account, current = desired.account, desired.subject.current
    if numbers is None or not account.uid or account.state is State.ARCHIVED or account.number is not None:
        return desired
    on_entry = account.posix[0] if account.posix else ""
    exists = current is not None and current.state is not State.ARCHIVED
    number = numbers.number_for(account.uid, on_entry, dn, there=exists)
    if number is None:
        return desired if exists or on_entry else None
    return replace(desired, account=with_number(account, number, numbers.settings))


def with_number(account: Account, number: int, settings: PosixSettings) -> Account:
    """The account with this uidNumber in its ledger."""
    return with_posix(amended(account, identifiers=account.identifiers | {f"{NUMBER}{number}"}), settings)


def _of_old(account: Account, base: str) -> list[str]:
    """The addresses of that base in the ledger of the account, which no other account may have."""
    return sorted(i for i in account.identifiers if "@" in i and has_base(local_of(i), base))
