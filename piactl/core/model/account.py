"""An account: an entry of the directory that piactl manages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from enum import Enum
from typing import Any, TypeVar

from piactl.core.model.keyed_digests import DigestKeys, digest_key_id
from piactl.core.model.overrides import Override
from piactl.core.model.person import Assignment
from piactl.core.text import from_to
from piactl.phrase import Phrase

_T = TypeVar("_T")


def amended(instance: _T, **values: Any) -> _T:
    """`instance` with these values of its fields. Nearly every account of a night has them already, and is
    returned as it is: copying so many fields takes ten times as long as comparing them."""
    if all(getattr(instance, name) == value for name, value in values.items()):
        return instance
    changed: _T = replace(instance, **values)  # type: ignore[type-var]
    return changed


class State(Enum):
    """The state of an account on a day, derived from its assignments. The values appear on the command
    line."""

    ACTIVE = "active"
    ON_LEAVE = "on-leave"
    GRACE = "grace"
    ANTICIPATED = "anticipated"
    DEACTIVATED = "deactivated"
    ARCHIVED = "archived"

    @property
    def words(self) -> Phrase:
        return STATES[self.value]


STATES: Mapping[str, Phrase] = {
    "active": Phrase("active"),
    "on-leave": Phrase("on-leave"),
    "grace": Phrase("grace"),
    "anticipated": Phrase("anticipated"),
    "deactivated": Phrase("deactivated"),
    "archived": Phrase("archived"),
}
"""The states as people read them."""

NO_DEVICE = "suspended"
"""The device name of an account whose device is suspended, and in the link of a closed or locked account. No
device has this name, so the server asks for a code that nobody has, and refuses the log in."""
NUMBER = "uidNumber="
"""The beginning of the uidNumber in the ledger of names."""
PLACEHOLDER = "archive"
"""The names of an archived account."""
ASSIGNED = (State.ACTIVE, State.ON_LEAVE)
"""The states of accounts with an assignment on the day."""
LIVE = frozenset({State.ACTIVE, State.ON_LEAVE, State.GRACE, State.ANTICIPATED})
"""The states of accounts that are not closed."""

NUMEN_PROOF, MAIL_PROOF = "numen", "private_mail"
PROOFS = (NUMEN_PROOF, MAIL_PROOF)
"""The proofs: what shows who a person is, or reaches them outside their account."""

ADOPTED = "adopted"
"""The name, in `proof_changes`, of the day on which an entry was adopted: it may have a password."""

Right = tuple[str, str]
"""A service, and the UAI of an establishment if the service has that scope, else ""."""


def right_text(right: Right) -> str:
    """`iprof`, or `siecle:0800009A`."""
    return ":".join(filter(None, right))


@dataclass(frozen=True, slots=True)
class Lock:
    """A suspension by an administrator from `since` to `until` (None: no known end), both included.

    `source` is the one whose position locked an account that is archived since, with `by` and `reason` in
    words; "" for an administrator's lock.
    """

    since: date
    until: date | None
    by: str
    reason: str
    source: str = ""

    def covers(self, day: date) -> bool:
        return self.since <= day and (self.until is None or day <= self.until)

    @property
    def known_since(self) -> date | None:
        return None if self.since == LOST_DAY else self.since

    @property
    def why(self) -> str:
        """Its reason, for people: that of a lock which HR has left is text in the directory."""
        return LISTED_NO_MORE if self.reason == LISTED_NO_MORE else self.reason

    @property
    def words(self) -> Phrase:
        if not self.known_since:
            return Phrase("locked by {by}: {reason}", by=self.by, reason=self.why)
        days = from_to(self.since, self.until)
        return Phrase("locked {days} by {by}: {reason}", days=days, by=self.by, reason=self.why)


LISTED_NO_MORE = Phrase("locked by its position in HR, which no longer lists it")
LOST_DAY = date(2000, 1, 1)
"""The first day of a lock of which nobody knows it any more. It is stored, and never shown."""


@dataclass(frozen=True, slots=True)
class ServiceException:
    """A dated grant (or denial, `grants` False) of one service to one account. `uai` "" is person scope."""

    grants: bool
    service: str
    uai: str
    start: date
    end: date
    by: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One account, current (as in the directory) or desired (as it should be).

    `matricule` is None for an archived account; the keyed digests of all matricules of the person remain.
    `further_matricules` are the others that HR uses for the person; if only the digest of one is known, it is
    that digest. `merged` is the mark of an account that was merged into another (see `merge_mark`).
    `identifiers` is the ledger of names: the uid, every address and alias that the account has or had, and
    its uidNumber behind NUMBER. `aliases` are the addresses that still deliver to it, `other_mails` and
    `other_uids` what another program added.
    `entitlements` are pairs (service, uai), uai "" for person scope. `entitlements`, `profiles`,
    `local_profiles` (each with its establishment, `0800009A_enseignant`), `affiliations` (of eduPerson),
    `establishments` (UAIs, the main one first), `corps` and `ends` (the last days of those posts that have
    one) apply to the day for which the account was computed.
    `posix` is what Unix hosts see of the account: uidNumber, gidNumber, homeDirectory, loginShell; empty for
    none. `unique_id` is the identifier for federations, "" until the account has one; it is made of
    `entry_id`, the entryUUID without hyphens, from the day after `made_on` on.
    `assignments` are as HR and administrators set them; `overrides` apply on top (`overrides.overridden`).
    `login_from` and `login_until` are the first and last day of the login window that the directory enforces,
    None for an open side; a window in the past refuses the login. `device` is the name of the active
    one-time-code device, an entry below the account, or "". `identity_digest` and `birth_digest` are made
    from the birth date, which is not stored (see `core.rules.matching`). `proof_changes` are the last days on
    which proofs of who the person is changed (see `PROOFS`).
    """

    uid: str
    matricule: str | None
    matricule_digests: tuple[str, ...]
    further_matricules: tuple[str, ...] = ()
    merged: str = ""
    numen_digest: str | None = None
    numen_verifier: str | None = None
    identity_digest: str | None = None
    birth_digest: str | None = None
    civilite: str = ""
    family_name: str = ""
    given_name: str = ""
    usage_name: str = ""
    private_mail: str = ""
    address: str | None = None
    aliases: frozenset[str] = frozenset()
    other_mails: frozenset[str] = frozenset()
    other_uids: frozenset[str] = frozenset()
    identifiers: frozenset[str] = frozenset()
    state: State = State.ACTIVE
    state_from: date | None = None
    state_until: date | None = None
    locked: bool = False
    login_from: date | None = None
    login_until: date | None = None
    next_due: date | None = None
    profiles: tuple[str, ...] = ()
    local_profiles: tuple[str, ...] = ()
    affiliations: tuple[str, ...] = ()
    establishments: tuple[str, ...] = ()
    corps: tuple[str, ...] = ()
    ends: tuple[date, ...] = ()
    unique_id: str = ""
    posix: tuple[str, ...] = ()
    entry_id: str = field(default="", compare=False)
    made_on: date | None = field(default=None, compare=False)
    assignments: tuple[Assignment, ...] = ()
    entitlements: frozenset[Right] = frozenset()
    lock: Lock | None = None
    exceptions: tuple[ServiceException, ...] = ()
    overrides: tuple[Override, ...] = ()
    protected: bool = False
    device: str = ""
    proof_changes: tuple[tuple[str, date], ...] = ()

    @property
    def matricules(self) -> tuple[str, ...]:
        """Every matricule of the person that is known in clear."""
        further = (matricule for matricule in self.further_matricules if not digest_key_id(matricule))
        return (*filter(None, [self.matricule]), *further)

    def proof_changed(self, proof: str) -> date | None:
        """The last day on which one of PROOFS changed; None if it never did. Of several days, which another
        program wrote, the latest counts."""
        return max((day for name, day in self.proof_changes if name == proof), default=None)

    @property
    def addresses(self) -> frozenset[str]:
        """Every address on the entry, and every uid that another program added."""
        own = frozenset((self.address,)) if self.address else frozenset()
        return own | self.aliases | self.other_mails | self.other_uids

    @property
    def foreign_addresses(self) -> frozenset[str]:
        """Addresses on the entry that are not in its ledger of names: another tool wrote them."""
        if self.addresses <= self.identifiers:
            return frozenset()
        ledger = {name.casefold() for name in self.identifiers}
        return frozenset(address for address in self.addresses if address.casefold() not in ledger)

    @property
    def names(self) -> frozenset[str]:
        """Every name reserved for this account: those of the ledger and all addresses on the entry."""
        return frozenset(i for i in self.identifiers if not i.startswith(NUMBER)) | self.addresses

    @property
    def number(self) -> int | None:
        """The uidNumber in the ledger, permanent for the account; None if it has none yet."""
        texts = (i.removeprefix(NUMBER) for i in self.identifiers if i.startswith(NUMBER))
        return min((int(text) for text in texts if text.isdecimal()), default=None)

    @property
    def shut(self) -> bool:
        """Whether it is closed or locked: login is refused until it is reopened or unlocked."""
        return is_shut(self.state, locked=self.locked)

    @property
    def surname(self) -> str:
        return self.usage_name or self.family_name

    @property
    def display_name(self) -> str:
        return f"{self.given_name} {self.surname}".strip()


def is_shut(state: State, *, locked: bool) -> bool:
    """Whether an account in this state is closed or locked."""
    return locked or state in (State.DEACTIVATED, State.ARCHIVED)


_MERGE = "merge"


def merge_mark(keys: DigestKeys, uid: str, into: str) -> str:
    """The mark of an account that is merged into another: a keyed digest, which no other program makes."""
    return f"{keys.digest(_MERGE, f'{uid} {into}')} {into}"


def merged_into(account: Account, keys: DigestKeys) -> str | None:
    """The uid of the account that this one was merged into; None if piactl did not merge it."""
    digest, _, into = account.merged.partition(" ")
    return into if into and keys.matches(digest, _MERGE, f"{account.uid} {into}") else None


def masked_mail(address: str) -> str | None:
    """A private address as plans show it: its first letter and its domain."""
    local, sign, domain = address.partition("@")
    return f"{local[:1]}***{sign}{domain}" if address else None


def held_off_until(account: Account, proof: str, days: int, today: date) -> date | None:
    """The first day on which a proof (one of PROOFS) counts again; None if it counts today."""
    changed = account.proof_changed(proof)
    if changed is None:
        return None
    until = changed + timedelta(days=days)
    return until if today < until else None


def numen_proves(account: Account, holdoff_days: int, today: date) -> bool:
    """Whether the person can prove by the NUMEN who they are: HR knows it, and it did not change lately."""
    return (
        account.numen_digest is not None and held_off_until(account, NUMEN_PROOF, holdoff_days, today) is None
    )
