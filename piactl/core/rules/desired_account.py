"""Computes the desired account of a person on a day, from the rules alone; and what is taken from an account
that gains nothing, because nobody knows what another program changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any
from zlib import crc32

from piactl.core.credentials.proofs import changed_proofs, numen_verifier, with_proof_changes
from piactl.core.model.account import (
    ASSIGNED,
    LISTED_NO_MORE,
    NO_DEVICE,
    NUMEN_PROOF,
    PLACEHOLDER,
    Account,
    Lock,
    State,
    amended,
)
from piactl.core.model.establishment import Register
from piactl.core.model.keyed_digests import NUMEN, DigestKeys
from piactl.core.model.overrides import (
    Override,
    closings,
    next_end,
    overridden,
    overridden_name,
    running,
    with_hr_name,
)
from piactl.core.model.periods import OPEN, civil
from piactl.core.model.person import Assignment, Person
from piactl.core.model.policy import Policy, PosixSettings
from piactl.core.model.settings import MatchingSettings, Settings
from piactl.core.naming.implausible_values import names_problem
from piactl.core.naming.names import UnusableName, has_base, local_part, shown_name
from piactl.core.rules.career import NEVER, AccountStatus, Career, account_status, career_of, login_window
from piactl.core.rules.confirmed_by_hr import confirmed
from piactl.core.rules.lifecycle import BEGINNING
from piactl.core.rules.matching import Births, birth_digests, births_of, with_births, with_matricule
from piactl.core.rules.source_ranks import Ranks, Supplements
from piactl.phrase import Phrase

OPENING = frozenset({State.ACTIVE, State.ON_LEAVE, State.ANTICIPATED})
"""The states in which an account is created, or restored from the archive."""

_HR_FIELDS = ("family_name", "given_name", "usage_name", "civilite", "private_mail")
MATRICULE = "matricule"
VERIFIER_DAYS = 30
"""Nights over which missing verifiers are spread: each takes some hundredths of a second."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The inputs of the rules besides the person: policy, establishments, day, digest keys.

    `register_digest` names the register in plans and records; the rules do not use it.
    """

    policy: Policy
    register: Register
    as_of: date
    keys: DigestKeys
    register_digest: str = ""
    matching: MatchingSettings = field(default_factory=MatchingSettings)
    ranks: Ranks = field(default_factory=Ranks)
    supplements: Supplements = field(default_factory=Supplements)


def rules_of(
    settings: Settings, policy: Policy, register: Register, keys: DigestKeys, as_of: date, digest: str = ""
) -> Rules:
    """The inputs of the rules on a day; `digest` is that of the register."""
    adding = [source for source in settings.sources.values() if source.supplement]
    supplements = Supplements(
        frozenset(source.name for source in adding),
        frozenset(source.name for source in adding if source.creates),
        frozenset(
            (source.name, source.values.get("fonction", {}).get(code, code))
            for source in adding
            for code in source.drop_functions
        ),
    )
    ranks = Ranks(tuple(settings.sources), settings.ranks)
    return Rules(policy, register, as_of, keys, digest, settings.matching, ranks, supplements)


@dataclass(frozen=True, slots=True)
class Subject:
    """One person in one run: the current account, the new HR data (None: nothing new), all assignments.

    `numen_digest` and `births` are the digests of what `person` does not contain (a person in waiting).
    `note` explains changes of assignments that come from no feed row: a confirmed absence.
    """

    matricule: str | None
    current: Account | None
    person: Person | None
    assignments: tuple[Assignment, ...]
    numen_digest: str | None = None
    births: Births = (None, None)
    note: str = ""
    joining: tuple[str, ...] = ()
    """Matricules that join the account in this run."""
    overrides: tuple[Override, ...] = ()
    """Overrides of a new account; an existing account has its own."""


@dataclass(frozen=True, slots=True)
class Desired:
    """The desired account. `base` is the local part for a new address, None if it needs no address."""

    subject: Subject
    account: Account
    career: Career
    base: str | None = None


def desired_account(subject: Subject, rules: Rules, *, archives: bool = True) -> Desired | None:
    """The account that this person should have, or None if no account should be created. Without `archives`,
    an account that is due for archival stays deactivated.

    Raises UnusableName if the account needs an address and the name gives none.
    """
    current = subject.current
    subject = amended(subject, assignments=rules.policy.without_codes(subject.assignments))
    if current is None:
        return _new(subject, rules)
    if current.lock is not None and _is_over(current.lock, subject.assignments, rules.as_of):
        current = replace(current, lock=None)
    if current.state is State.ARCHIVED:
        return _returning(subject, current, rules)
    closed_on = rules.as_of  # found without assignments; the retention starts on this day
    if current.state is State.DEACTIVATED and current.state_from is not None:
        closed_on = current.state_from
    lock = current.lock
    exceptions = tuple(e for e in current.exceptions if e.end >= rules.as_of)
    overrides = running(current.overrides, rules.as_of)
    if subject.person is not None or subject.assignments != current.assignments:
        assignments, overrides = confirmed(
            subject.assignments, overrides, rules.policy, rules.register, rules.as_of
        )
        subject = amended(subject, assignments=assignments)
    career = career_of(
        overridden(subject.assignments, overrides, rules.as_of),
        rules.policy,
        rules.register,
        exceptions=exceptions,
        closed_on=closed_on,
        closings=closings(overrides, rules.as_of),
    )
    status = account_status(
        career, rules.as_of, lock=lock, exceptions=exceptions, closed_on=closed_on, overrides=overrides
    )
    if status.state is State.ARCHIVED and is_retained(current, career, rules):
        status = kept_status(status, closed_on, overrides, rules)
    elif status.state is State.ARCHIVED:
        if archives:
            return Desired(subject, archived(current, status), career)
        status = _due_for_archival(current, status, career, rules)
    account = amended(
        current,
        lock=lock,
        exceptions=exceptions,
        overrides=overrides,
        assignments=subject.assignments,
        **_of_status(status, rules.policy),
    )
    account = with_posix(_with_unique_id(account, rules, current), rules.policy.posix)
    account = with_matricules(account, rules.keys)
    if subject.numen_digest is not None:
        # from the HR data of a person in waiting; the account does not have it yet
        account = replace(account, numen_digest=subject.numen_digest)
    if not rules.matching.identity_digests:
        account = with_births(account, (None, None))
    elif subject.births[0] is not None:
        account = with_births(account, subject.births)
    if subject.person is not None:
        account = amended(account, **_of_hr(subject.person, rules, account.numen_digest, births_of(account)))
    account = with_proof_changes(account, current, subject.person, rules.keys, rules.as_of)
    account = _with_verifier(account, subject, rules)
    account = _with_overridden_name(account, current, rules.as_of, subject.person)
    return Desired(subject, account, career, renamed_base(current, account))


def _is_over(lock: Lock, assignments: Iterable[Assignment], as_of: date) -> bool:
    """Whether a lock has ended, by its date or, if it is of HR, because HR lists the person again: its rows
    then say if a position locks."""
    if lock.until is not None and lock.until < as_of:
        return True
    return any(row.source == lock.source and not row.is_over(as_of) for row in assignments if lock.source)


def with_ledger(current: Account, owners: Mapping[str, str]) -> Account:
    """The account with a complete ledger of names, even if another tool changed its addresses.

    An address that is not in the ledger is added, so that no other account gets it. The address itself stays
    on the entry until an administrator decides, because it may be in use. `owners` maps such addresses, in
    lower case, to the uid of the account whose ledger has them; they are not added to a second ledger.

    A missing main address is restored from the ledger: no other account can have it. Addresses that are not
    aliases come first, then those that match the name. A missing alias is not restored, because the ledger
    does not distinguish it from an address that an undo removed.
    """
    foreign = (a for a in current.foreign_addresses if owners.get(a.casefold(), current.uid) == current.uid)
    current = amended(current, identifiers=current.identifiers.union(foreign))
    past = [name for name in current.identifiers if "@" in name]
    if current.address is not None or not past:
        return current
    try:
        base = _base(current)
    except UnusableName:  # an entry may have any name
        base = ""
    address = min(
        past, key=lambda address: (address in current.aliases, not has_base(local_of(address), base), address)
    )
    return replace(current, address=address, aliases=current.aliases - {address})


def is_retained(current: Account, career: Career, rules: Rules) -> bool:
    """Whether an account stays although its first retention is over: archiving is final. It stays while it
    has overrides, which expire, and for a whole retention if HR moved its end into the past, or if it was
    reopened for a start that was cancelled."""
    if running(current.overrides, rules.as_of):
        return True
    if current.state not in (State.DEACTIVATED, State.ANTICIPATED):
        known = career_of(current.assignments, rules.policy, rules.register)
        return account_status(known, rules.as_of).state is not State.ARCHIVED
    if current.state_from is None:
        return False
    if current.state is State.ANTICIPATED:
        since = current.state_from.toordinal()
        return not any(post.first >= since for post in career.posts)
    return current.state is State.DEACTIVATED and rules.as_of < current.state_from + timedelta(
        days=rules.policy.retention
    )


def kept_status(
    status: AccountStatus, closed_on: date, overrides: Iterable[Override], rules: Rules
) -> AccountStatus:
    """The status of an account that stays although its first retention is over: deactivated from `closed_on`
    to the end of another one."""
    end = closed_on + timedelta(days=rules.policy.retention)
    return status._replace(
        state=State.DEACTIVATED,
        state_from=closed_on,
        state_until=end - timedelta(days=1),
        next_due=max(filter(None, (end, next_end(overrides, rules.as_of)))),
    )


def archival_day(current: Account, career: Career, rules: Rules) -> date:
    """The first day on which an account that is due for archival should be archived."""
    day = civil(career.segment_on(rules.as_of).first) or rules.as_of
    if current.state is State.DEACTIVATED and current.state_from is not None:
        day = max(day, current.state_from + timedelta(days=rules.policy.retention))
    return min(day, rules.as_of)


def _due_for_archival(current: Account, status: AccountStatus, career: Career, rules: Rules) -> AccountStatus:
    """Deactivated until the archival, as the night before it left or would have left the account."""
    due = archival_day(current, career, rules)
    eve = due - timedelta(days=1)
    since = current.state_from
    if current.state is not State.DEACTIVATED:
        before = career.segment_on(eve)
        since = civil(before.first) if before.state is State.DEACTIVATED else due
    elif current.next_due is not None and due <= current.next_due <= rules.as_of:
        due = current.next_due
    return status._replace(state=State.DEACTIVATED, state_from=since, state_until=eve, next_due=due)


def _new(subject: Subject, rules: Rules) -> Desired | None:
    person = subject.person
    if person is None or subject.matricule is None:
        return None
    career = career_of(subject.assignments, rules.policy, rules.register)
    status = account_status(career, rules.as_of, overrides=subject.overrides)
    if status.state not in OPENING:
        return None
    account = Account(
        uid="",
        matricule=subject.matricule,
        matricule_digests=(rules.keys.digest(MATRICULE, subject.matricule),),
        assignments=subject.assignments,
        overrides=subject.overrides,
        **_of_status(status, rules.policy),
        **_of_hr(person, rules, subject.numen_digest, subject.births),
    )
    further = {*subject.joining, *(a.matricule for a in subject.assignments)} - {"", subject.matricule}
    for matricule in sorted(further):
        account = with_matricule(account, matricule, rules.keys)
    account = _with_unique_id(account, rules, None)
    return Desired(subject, account, career, _base(account))


def _returning(subject: Subject, current: Account, rules: Rules) -> Desired | None:
    """The account restored from the archive, with the uid and the addresses reserved for this person."""
    if subject.person is None:
        return None
    career = career_of(subject.assignments, rules.policy, rules.register)
    status = account_status(career, rules.as_of, lock=current.lock, overrides=subject.overrides)
    if status.state not in OPENING:
        return None
    back = replace(
        current,
        matricule=subject.matricule,
        assignments=subject.assignments,
        overrides=subject.overrides,
        **_of_status(status, rules.policy),
    )
    account = with_matricules(back, rules.keys)
    account = with_posix(_with_unique_id(account, rules, current), rules.policy.posix)
    account = amended(account, **_of_hr(subject.person, rules, account.numen_digest, births_of(account)))
    account = with_proof_changes(account, current, subject.person, rules.keys, rules.as_of)
    return Desired(subject, account, career, _base(account))


def with_matricules(account: Account, keys: DigestKeys) -> Account:
    """The account with the digests of its matricules under the current key, and with the matricules in clear
    that its assignments name. A matricule known only by its digest stays that digest."""
    if account.matricule is None:
        return account
    alone = len(account.matricule_digests) == 1 and not account.further_matricules
    if alone and not keys.is_older(account.matricule_digests[0]):
        return account
    stored = set(account.matricule_digests)
    named = {*account.matricules, *(a.matricule for a in account.assignments)} - {""}
    digests = {matricule: keys.candidates(MATRICULE, matricule) for matricule in named}
    known = {m for m in named if m in account.matricules or not stored.isdisjoint(digests[m])}
    unnamed = stored.difference(*(digests[matricule] for matricule in known))
    further = tuple(sorted({*known, *unnamed} - {account.matricule}))
    renewed = tuple(sorted({*unnamed, *(digests[matricule][0] for matricule in known)}))
    return replace(account, matricule_digests=renewed, further_matricules=further)


def _of_status(status: AccountStatus, policy: Policy) -> dict[str, Any]:
    """The fields of an account that its status gives. Its affiliations are in post those of the profiles; in
    grace, when the post is over, `affiliate`; else none."""
    names: set[str] = set()
    if status.state is State.GRACE:
        names = {"affiliate"}
    elif status.state in ASSIGNED:
        profiles = (profile for profile in policy.profiles if profile.name in status.profiles)
        names = {name for profile in profiles for name in profile.affiliations}
    return {**status._asdict(), "affiliations": tuple(sorted(names))}


def _with_unique_id(account: Account, rules: Rules, current: Account | None) -> Account:
    """The account with its identifier for federations, which never changes.

    It is made of the entryUUID, which the server gives an entry when it is added. So it needs another write,
    for which the account is due the day after. If the same feed is applied twice on a day, the second run
    writes nothing.
    """
    made_on = account.made_on
    if not rules.policy.unique_id or account.unique_id:
        return account
    if made_on is not None and made_on < rules.as_of:
        return replace(account, unique_id=f"{account.entry_id}@{rules.policy.domain}")
    due = (made_on or rules.as_of) + timedelta(days=1)
    if made_on is None and current is not None and current.next_due is not None:
        due = min(due, current.next_due)  # a simulated entry gets no entryUUID, and stays due
    return amended(account, next_due=min(account.next_due or due, due))


def with_posix(account: Account, settings: PosixSettings | None) -> Account:
    """The account with what Unix hosts see of it, if its ledger has a number."""
    if settings is None or account.number is None:
        return account
    return amended(account, posix=settings.attributes(account.uid, account.number))


def _of_hr(person: Person, rules: Rules, numen: str | None, births: Births) -> dict[str, Any]:
    """The fields of an account that the HR data give. `numen` and `births` are the digests that it had
    before."""
    if person.numen is not None:
        numen = rules.keys.digest(NUMEN, person.numen.reveal())
    identity, birth = birth_digests(births, person, rules.keys, rules.matching)
    case = rules.policy.name_case
    return {
        "numen_digest": numen,
        "identity_digest": identity,
        "birth_digest": birth,
        **{
            name: shown_name(name, getattr(person, name), case)
            for name in _HR_FIELDS
            if name not in person.silent
        },
    }


def verifier_turn(matricule_digest: str) -> int:
    """The night, of VERIFIER_DAYS, in which an account gets a verifier that it lacks."""
    return crc32(matricule_digest.encode()) % VERIFIER_DAYS


def verifier_day(account: Account, keys: DigestKeys, as_of: date) -> date | None:
    """The next day, `as_of` included, on which an account without a verifier of its NUMEN under the current
    key gets one; None if it has one or needs none."""
    if not keys.matching or account.numen_digest is None or account.matricule is None:
        return None
    if account.numen_verifier is not None and not keys.is_older(account.numen_verifier):
        return None
    turn = verifier_turn(account.matricule_digests[0])
    return as_of + timedelta(days=(turn - as_of.toordinal()) % VERIFIER_DAYS)


def _with_verifier(account: Account, subject: Subject, rules: Rules) -> Account:
    """The account with a verifier of its NUMEN: at once if the NUMEN changed, else on its day. Without a
    matching key there is none, because the digest under the same key is faster to guess."""
    changed = NUMEN_PROOF in changed_proofs(account, subject.current, subject.person, rules.keys)
    if changed:
        account = replace(account, numen_verifier=None)
    numen = subject.person.numen if subject.person is not None else None
    due = verifier_day(account, rules.keys, rules.as_of)
    if numen is None or due is None or not (changed or due == rules.as_of):
        return account
    verifier = numen_verifier(rules.keys, numen.reveal(), account.matricule_digests[0])
    return replace(account, numen_verifier=verifier)


def _with_overridden_name(account: Account, current: Account, as_of: date, person: Person | None) -> Account:
    from_hr = person is not None and "usage_name" not in person.silent
    if from_hr:
        account = amended(account, overrides=with_hr_name(account.overrides, account.usage_name))
    name = overridden_name(current.overrides, account.usage_name, as_of, from_hr=from_hr)
    return account if name == account.usage_name else replace(account, usage_name=name)


def _base(account: Account) -> str:
    return local_part(account.given_name, account.usage_name, account.family_name)


def renamed_base(current: Account, account: Account) -> str | None:
    """The base of a new address if the name changed in more than accents, case or spelling; else None."""
    if (current.given_name, current.surname) == (account.given_name, account.surname):
        return None
    base = _base(account)
    if current.address is not None and has_base(local_of(current.address), base):
        return None
    return base


def archived(current: Account, status: AccountStatus | None = None) -> Account:
    """The archived form of an account. The uid, identifiers, digests, the lock of an administrator or of HR,
    and the mark of a lost device stay; an active device is removed."""
    lock = _lasting_lock(current)
    return Account(
        uid=current.uid,
        matricule=None,
        matricule_digests=current.matricule_digests,
        merged=current.merged,
        numen_digest=current.numen_digest,
        identity_digest=current.identity_digest,
        birth_digest=current.birth_digest,
        family_name=PLACEHOLDER,
        identifiers=current.identifiers,
        state=State.ARCHIVED,
        state_from=status.state_from if status else current.state_from,
        login_until=status.login_until if status else NEVER,
        lock=lock,
        locked=lock is not None,
        protected=current.protected,
        device=NO_DEVICE if current.device == NO_DEVICE else "",
    )


def _lasting_lock(current: Account) -> Lock | None:
    """The lock of an archived account. If an administrator and HR have locked it, it is the administrator's,
    to the later end."""
    lock, of_hr = current.lock, _lock_of_hr(current.assignments)
    if lock is None or of_hr is None:
        return lock or of_hr
    ends = [end for end in (lock.until, of_hr.until) if end is not None]
    return replace(lock, until=max(ends) if len(ends) == 2 else None)


def _lock_of_hr(assignments: Iterable[Assignment]) -> Lock | None:
    """The lock that absences left, without what it says about the post. Of several, the one that lasts
    longest."""
    rows = [row for row in assignments if row.locks_until is not None and row.end is not None]
    if not rows:
        return None
    row = max(rows, key=lambda row: row.locks_until or date.min)
    since = (row.end or row.start) + timedelta(days=1)
    until = None if row.locks_until == date.max else row.locks_until
    return Lock(since, until, row.source, LISTED_NO_MORE, row.source)


def local_of(address: str) -> str:
    return address.partition("@")[0].lower()


def assignment_problems(
    assignments: Iterable[Assignment], policy: Policy, register: Register
) -> list[tuple[Assignment, str, str, str]]:
    """Assignments that the policy does not cover: (assignment, column, code, message)."""
    problems: list[tuple[Assignment, str, str, str]] = []
    for assignment in assignments:
        position = policy.position(assignment.position)
        if position is None:
            message = _not_covered(
                Phrase("position {position!r} is not in the policy", position=assignment.position),
                [*policy.positions, *(c for p in policy.positions.values() for c in p.codes)],
            )
            problems.append((assignment, "position", "position-unknown", message))
        if not (position and position.ends) and policy.given_by(assignment, register)[0] is None:
            message = _not_covered(
                Phrase("fonction {function!r} fits no profile of the policy", function=assignment.function),
                {f for p in policy.profiles for f in p.when.conditions.get("fonction", ())},
            )
            problems.append((assignment, "fonction", "profile-none", message))
        if policy.unknown_establishment == "rejection" and assignment.uai not in register:
            message = Phrase(
                "{problem}; {advice}",
                problem=Phrase("UAI {uai} is not in the establishment register", uai=assignment.uai),
                advice=Phrase("correct it; administrator: or add it there"),
            )
            problems.append((assignment, "uai", "uai-unregistered", message))
    return problems


def _not_covered(problem: Phrase, known: Iterable[str]) -> Phrase:
    """Why a row is rejected of which the policy does not know a code, with those that it `known`s."""
    codes = ", ".join(sorted({*known} - {"default", "-"}))
    advice = Phrase("write one of {codes}; administrator: or add it to the policy", codes=codes)
    return Phrase("{problem}; {advice}", problem=problem, advice=advice)


def name_problem(person: Person, policy: Policy) -> UnusableName | None:
    """The error if HR's name of a person is no name, says more than the name, or gives no address."""
    names = {"nom_famille": person.family_name, "nom_usage": person.usage_name, "prenom": person.given_name}
    return names_problem(names, policy.real_names) or address_problem(person)


def address_problem(person: Person) -> UnusableName | None:
    """The error if the name of a person gives no address, else None."""
    try:
        local_part(person.given_name, person.usage_name, person.family_name)
    except UnusableName as unusable:
        return unusable
    return None


# ---- what is taken from an account that gains nothing


_RIGHTS = (
    "entitlements", "profiles", "local_profiles", "affiliations", "establishments", "exceptions", "overrides",
)  # fmt: skip
_CLOSED = {State.GRACE: 1, State.DEACTIVATED: 2, State.ARCHIVED: 3}


def reduced(present: Account, relied_on: Account, wanted: Account) -> Account:
    """The account as `present`, without what the account that piactl `relied_on` has more than the `wanted`
    one: rights, days of log in, an open state. The assignments are facts of HR: it gets those, too. Every
    night evaluates such an account, so its next due day may stay."""
    fields: dict[str, Any] = {}
    for name in _RIGHTS:
        lost = {*getattr(relied_on, name)} - {*getattr(wanted, name)}
        values = getattr(present, name)
        fields[name] = type(values)(value for value in values if value not in lost)
    remaining = [a for a in present.assignments if a in wanted.assignments or a not in relied_on.assignments]
    new = [a for a in wanted.assignments if a not in relied_on.assignments and a not in remaining]
    first, last = wanted.login_from or date.min, wanted.login_until or date.max
    if first > (relied_on.login_from or date.min) and first > (present.login_from or date.min):
        fields["login_from"] = first
    if last < (relied_on.login_until or date.max) and last < (present.login_until or date.max):
        fields["login_until"] = last
    state = _CLOSED.get(wanted.state, 0)
    if state > _CLOSED.get(relied_on.state, 0) and state > _CLOSED.get(present.state, 0):
        fields |= {name: getattr(wanted, name) for name in ("state", "state_from", "state_until")}
    if wanted.lock != relied_on.lock:
        fields["lock"] = present.lock or wanted.lock
    return replace(
        present,
        **fields,
        locked=present.locked or (wanted.locked and not relied_on.locked),
        assignments=tuple(sorted([*remaining, *new], key=lambda a: (a.start, a.uai, a.function, a.source))),
    )


def with_lock(account: Account, lock: Lock | None, career: Career, as_of: date) -> Account:
    """The account with this lock, and with the days of its log in that are left on a day: the rest follows
    once it is known again."""
    first, last = account.login_from, account.login_until
    period = (first.toordinal() if first else BEGINNING, last.toordinal() if last else OPEN)
    window = login_window(replace(career, login=(period,)), as_of, lock)
    locked = lock is not None and lock.covers(as_of)
    return replace(account, lock=lock, locked=locked, login_from=window[0], login_until=window[1])
