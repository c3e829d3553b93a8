"""Which account a person should have on a day, from the rules and from nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta

from piactl.core.credentials.totp_devices import NO_DEVICE
from piactl.core.model.account import Account, State
from piactl.core.model.assignment import Assignment
from piactl.core.model.digests import DigestKeys
from piactl.core.model.overrides import (
    Override,
    closings,
    next_end,
    overridden,
    overridden_name,
    retold,
    running,
)
from piactl.core.model.person import Person, Register
from piactl.core.model.policy import Policy
from piactl.core.naming.local_part import UnusableName, has_base, local_part
from piactl.core.rules.career import Career, career
from piactl.core.rules.status import NEVER, Standing, standing

OPENING = frozenset({State.ACTIVE, State.ON_LEAVE, State.ANTICIPATED})
"""The states in which an account is made, or comes back from the archive."""

_TOLD = ("family_name", "given_name", "usage_name", "civilite", "private_mail")
MATRICULE = "matricule"
NUMEN = "numen"
PLACEHOLDER = "archive"


@dataclass(frozen=True, slots=True)
class Rules:
    """All that decides besides the person: policy, establishments, the day, the digest keys."""

    policy: Policy
    register: Register
    as_of: date
    keys: DigestKeys


@dataclass(frozen=True, slots=True)
class Subject:
    """One person in one run: the account there is, what HR says now (None: nothing new), all assignments.

    `numen_digest` is what is known of the NUMEN where `person` does not carry it (a person in waiting).
    `note` explains assignments that no feed row tells: an absence that was confirmed.
    """

    matricule: str | None
    current: Account | None
    person: Person | None
    assignments: tuple[Assignment, ...]
    numen_digest: str | None = None
    note: str = ""
    overrides: tuple[Override, ...] = ()
    """Changes by hand that come with a new account; those of an account that is there are its own."""


@dataclass(frozen=True, slots=True)
class Desired:
    """The account that should be. `base` is the local part it still has to be given an address for."""

    subject: Subject
    account: Account
    career: Career
    base: str | None = None


def desired_account(subject: Subject, rules: Rules) -> Desired | None:
    """The account this person should have; None where none is to be made.

    Raises UnusableName where an address is needed and the name gives none.
    """
    current = subject.current
    if current is None:
        return _new(subject, rules)
    if current.lock is not None and current.lock.until is not None and current.lock.until < rules.as_of:
        current = replace(current, lock=None)
    if current.state is State.ARCHIVED:
        return _returning(subject, current, rules)
    closed_on = _closed_on(current, rules.as_of)
    lock = current.lock
    exceptions = tuple(e for e in current.exceptions if e.end >= rules.as_of)
    overrides = running(current.overrides, rules.as_of)
    path = career(
        overridden(subject.assignments, overrides, rules.as_of),
        rules.policy,
        rules.register,
        exceptions=exceptions,
        closed_on=closed_on,
        closings=closings(overrides, rules.as_of),
    )
    stand = standing(
        path, rules.as_of, lock=lock, exceptions=exceptions, closed_on=closed_on, overrides=overrides
    )
    if stand.state is State.ARCHIVED and not _retained(current, path, rules):
        return Desired(subject, archived(current, stand), path)
    if stand.state is State.ARCHIVED:
        stand = _closed(stand, closed_on, rules)
        stand = replace(stand, next_due=max(filter(None, (stand.next_due, next_end(overrides, rules.as_of)))))
    account = _standing_as(
        replace(
            current, lock=lock, exceptions=exceptions, overrides=overrides, assignments=subject.assignments
        ),
        stand,
    )
    account = _under_current_key(account, rules.keys)
    if subject.numen_digest is not None:
        # what HR told of somebody who waits, and the account has not got yet
        account = replace(account, numen_digest=subject.numen_digest)
    if subject.person is not None:
        account = _told(account, subject.person, rules.keys)
    account = _with_overridden_name(account, current, rules.as_of, subject.person)
    return Desired(subject, account, path, renamed_base(current, account))


def with_ledger(current: Account, owners: Mapping[str, str]) -> Account:
    """The account as the rules of a night see it, whatever another hand did to its addresses.

    An address that is not in its ledger of names enters it, so that nobody else ever gets it. The address
    itself stays where it is until somebody decides, for it may be in use by now. `owners` are the uids of the
    accounts in whose ledgers such addresses stand, by address without case: those enter no second one.

    A missing address is put back, which loses nothing: it is in the ledger, and nobody else may have it. Of
    several it is one that is no alias, and rather one of the name. A missing alias stays away, for the ledger
    cannot tell it from an address that an undo took back.
    """
    foreign = (a for a in current.foreign_addresses if owners.get(a.casefold(), current.uid) == current.uid)
    current = replace(current, identifiers=current.identifiers.union(foreign))
    past = [name for name in current.identifiers if "@" in name]
    if current.address is not None or not past:
        return current
    try:
        base = _base(current)
    except UnusableName:  # on an entry anything may stand
        base = ""
    address = min(past, key=lambda one: (one in current.aliases, not has_base(local_of(one), base), one))
    return replace(current, address=address, aliases=current.aliases - {address})


def _retained(current: Account, path: Career, rules: Rules) -> bool:
    """Whether an account whose retention was over long ago, and that opened again since for a start that
    was then cancelled, has not been closed for the whole retention once more: an archival is for good."""
    if running(current.overrides, rules.as_of):
        # an archival is for good, and a change by hand has an end
        return True
    if current.state_from is None:
        return False
    if current.state is State.ANTICIPATED:
        since = current.state_from.toordinal()
        return not any(post.first >= since for post in path.posts)
    return current.state is State.DEACTIVATED and rules.as_of < current.state_from + timedelta(
        days=rules.policy.retention
    )


def _closed(stand: Standing, closed_on: date, rules: Rules) -> Standing:
    """Deactivated since `closed_on`, until the retention from there is over."""
    end = closed_on + timedelta(days=rules.policy.retention)
    return replace(
        stand,
        state=State.DEACTIVATED,
        state_from=closed_on,
        state_until=end - timedelta(days=1),
        next_due=end,
    )


def _closed_on(current: Account, as_of: date) -> date:
    """The day an account was found without any assignment; retention runs from it."""
    if current.state is State.DEACTIVATED and current.state_from is not None:
        return current.state_from
    return as_of


def _new(subject: Subject, rules: Rules) -> Desired | None:
    person = subject.person
    if person is None or subject.matricule is None:
        return None
    path = career(subject.assignments, rules.policy, rules.register)
    stand = standing(path, rules.as_of, overrides=subject.overrides)
    if stand.state not in OPENING:
        return None
    blank = Account(
        uid="",
        matricule=subject.matricule,
        matricule_digest=rules.keys.digest(MATRICULE, subject.matricule),
        numen_digest=subject.numen_digest,
        assignments=subject.assignments,
        overrides=subject.overrides,
    )
    account = _told(_standing_as(blank, stand), person, rules.keys)
    return Desired(subject, account, path, _base(account))


def _returning(subject: Subject, current: Account, rules: Rules) -> Desired | None:
    """Out of the archive, with the uid and the addresses that were kept for this person alone."""
    if subject.person is None:
        return None
    path = career(subject.assignments, rules.policy, rules.register)
    stand = standing(path, rules.as_of, lock=current.lock, overrides=subject.overrides)
    if stand.state not in OPENING:
        return None
    back = replace(
        current, matricule=subject.matricule, assignments=subject.assignments, overrides=subject.overrides
    )
    account = _under_current_key(_standing_as(back, stand), rules.keys)
    account = _told(account, subject.person, rules.keys)
    return Desired(subject, account, path, _base(account))


def _under_current_key(account: Account, keys: DigestKeys) -> Account:
    """The digest of a matricule that is known moves to a new key; that of an archived account never can."""
    if account.matricule is None or not keys.is_older(account.matricule_digest):
        return account
    return replace(account, matricule_digest=keys.digest(MATRICULE, account.matricule))


def _standing_as(account: Account, stand: Standing) -> Account:
    return replace(
        account,
        state=stand.state,
        state_from=stand.state_from,
        state_until=stand.state_until,
        locked=stand.locked,
        login_from=stand.login_from,
        login_until=stand.login_until,
        next_due=stand.next_due,
        profiles=stand.profiles,
        establishments=stand.establishments,
        corps=stand.corps,
        entitlements=stand.entitlements,
    )


def _told(account: Account, person: Person, keys: DigestKeys) -> Account:
    numen = account.numen_digest
    if person.numen is not None:
        numen = keys.keep_or_renew(numen, NUMEN, person.numen.reveal())
    told = {name: getattr(person, name) for name in _TOLD if name not in person.silent}
    return replace(account, numen_digest=numen, **told)


def _with_overridden_name(account: Account, current: Account, as_of: date, person: Person | None) -> Account:
    told = person is not None and "usage_name" not in person.silent
    if told:
        account = replace(account, overrides=retold(account.overrides, account.usage_name))
    name = overridden_name(current.overrides, account.usage_name, as_of, told=told)
    return account if name == account.usage_name else replace(account, usage_name=name)


def _base(account: Account) -> str:
    return local_part(account.given_name, account.usage_name, account.family_name)


def renamed_base(current: Account, account: Account) -> str | None:
    """The base of a new address where the name itself changed, not its accents, case or spelling."""
    if (current.given_name, current.surname) == (account.given_name, account.surname):
        return None
    base = _base(account)
    if current.address is not None and has_base(local_of(current.address), base):
        return None
    return base


def archived(current: Account, stand: Standing | None = None) -> Account:
    """The tombstone of an account: uid, identifiers, digests and an administrator's lock stay, and that its
    device was lost. A device in force goes."""
    return Account(
        uid=current.uid,
        matricule=None,
        matricule_digest=current.matricule_digest,
        numen_digest=current.numen_digest,
        family_name=PLACEHOLDER,
        identifiers=current.identifiers,
        state=State.ARCHIVED,
        state_from=stand.state_from if stand else current.state_from,
        login_until=stand.login_until if stand else NEVER,
        lock=current.lock,
        locked=current.lock is not None,
        protected=current.protected,
        device=NO_DEVICE if current.device == NO_DEVICE else "",
    )


def local_of(address: str) -> str:
    return address.partition("@")[0].lower()


def assignment_problems(
    assignments: Iterable[Assignment], policy: Policy, register: Register
) -> list[tuple[Assignment, str, str, str]]:
    """What the policy cannot make sense of: (assignment, column, code, message)."""
    problems = []
    for assignment in assignments:
        position = policy.position(assignment.position)
        if position is None:
            message = f"position {assignment.position!r} is not in the policy: add it under positions"
            problems.append((assignment, "position", "position-unknown", message))
        elif not position.ends and policy.profile(assignment, register) is None:
            message = f"fonction {assignment.function!r} fits no profile of the policy: add it to one"
            problems.append((assignment, "fonction", "profile-none", message))
        if policy.unknown_establishment == "rejection" and assignment.uai not in register:
            message = f"UAI {assignment.uai} is not in the establishment register: add it there"
            problems.append((assignment, "uai", "uai-unregistered", message))
    return problems


def address_problem(person: Person) -> UnusableName | None:
    """Why the name of a person gives no address, None where it does."""
    try:
        local_part(person.given_name, person.usage_name, person.family_name)
    except UnusableName as unusable:
        return unusable
    return None
