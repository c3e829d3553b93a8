"""Who gets which address: in the order of first start, then matricule, whatever the order of the feed."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from piactl.core.model.account import Account
from piactl.core.model.policy import Policy
from piactl.core.naming.local_part import TakenNames, has_base, initial_uid
from piactl.core.rules.desired import Desired, local_of


class Claim(NamedTuple):
    """A claim to a name; claims are granted in their order.

    `first` is the ordinal of the first day of any assignment; `base` the local part without a homonym's
    digits, "" where an address of old is taken back; `uid` the base of a uid of another form, "" where there
    is none to be given.
    """

    first: int
    matricule: str
    base: str
    uid: str = ""


def claim_of(desired: Desired, policy: Policy) -> Claim | None:
    """What an account that should be claims; None where it needs no name."""
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
    """The local part and the uid that a claim gets, now taken; "" for what it does not claim."""
    local = taken.take(claim.base) if claim.base else ""
    return local, taken.take(claim.uid) if claim.uid else local


def addressed(desired: Desired, local: str, uid: str, policy: Policy) -> Desired:
    """The account with the names that its claim got."""
    account, base = desired.account, desired.base or ""
    address = f"{local}@{policy.domain}" if local else _of_old(account, base)[0]
    uid = account.uid or uid or local_of(address)
    past = {name for name in account.names if "@" in name}
    account = replace(
        account,
        uid=uid,
        address=address,
        aliases=frozenset(past - {address} - account.other_mails),
        other_mails=account.other_mails - {address},
        identifiers=account.identifiers | account.foreign_addresses | {uid, address},
    )
    return replace(desired, account=account, base=None)


def named(desired: Sequence[Desired], taken: TakenNames, policy: Policy) -> list[Desired]:
    """Gives addresses to those that need one, in the order of their claims; same order out."""
    return all_named(desired, (), taken, policy, lambda *_: None)


def all_named(
    desired: Sequence[Desired],
    others: Iterable[tuple[Claim, int]],
    taken: TakenNames,
    policy: Policy,
    give: Callable[[str, str, int], None],
) -> list[Desired]:
    """The same where `others` claim names too, in the order of their claims and each with a number: `give`
    is told the local part, the uid and the number of each of them."""
    own = sorted(
        (claim, index) for index, one in enumerate(desired) if (claim := claim_of(one, policy)) is not None
    )
    result = list(desired)
    tagged = heapq.merge(((claim, True, at) for claim, at in own), ((c, False, n) for c, n in others))
    for claim, is_own, number in tagged:
        local, uid = take(claim, taken)
        if is_own:
            result[number] = addressed(desired[number], local, uid, policy)
        else:
            give(local, uid, number)
    return result


def _of_old(account: Account, base: str) -> list[str]:
    """The account's own addresses of that base, which no other account may have."""
    return sorted(i for i in account.identifiers if "@" in i and has_base(local_of(i), base))
