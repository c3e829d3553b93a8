"""An account: an entry of the directory that piactl manages."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import Enum

from piactl.core.model.assignment import Assignment
from piactl.core.model.overrides import Override


class State(Enum):
    """What the assignments make of an account on a day; the value is the word of the command line."""

    ACTIVE = "active"
    ON_LEAVE = "on-leave"
    GRACE = "grace"
    ANTICIPATED = "anticipated"
    DEACTIVATED = "deactivated"
    ARCHIVED = "archived"


Right = tuple[str, str]
"""A service and, where the service has that scope, the UAI of an establishment, else ""."""


@dataclass(frozen=True, slots=True)
class Lock:
    """An administrator's suspension from `since`, to `until` included where it is known."""

    since: date
    until: date | None
    by: str
    reason: str

    def covers(self, day: date) -> bool:
        return self.since <= day and (self.until is None or day <= self.until)


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
    """One account, as the directory holds it (current) or as it should be (desired).

    `matricule` is None once archived, then only its keyed digest is left. `identifiers` are the uid and
    every address and alias it has or had, the ledger of its names; `aliases` the addresses that still lead to
    it, `other_mails` what another hand put beside its address. `entitlements`
    are pairs (service, uai), uai "" for person scope, of the day the account was computed for, and so are
    `profiles`, `establishments` (UAIs, the main one first) and `corps`.
    `assignments` are as HR and administrators said them; `overrides` lie over them (see
    `overrides.overridden`).
    `login_from` and `login_until` are the first and last day of the login window that the directory
    itself enforces, None where that side is open; a window in the past refuses.
    `device` names the one-time-code device in force, an entry below the account, "" without one.
    """

    uid: str
    matricule: str | None
    matricule_digest: str
    numen_digest: str | None = None
    civilite: str = ""
    family_name: str = ""
    given_name: str = ""
    usage_name: str = ""
    private_mail: str = ""
    address: str | None = None
    aliases: frozenset[str] = frozenset()
    other_mails: frozenset[str] = frozenset()
    identifiers: frozenset[str] = frozenset()
    state: State = State.ACTIVE
    state_from: date | None = None
    state_until: date | None = None
    locked: bool = False
    login_from: date | None = None
    login_until: date | None = None
    next_due: date | None = None
    profiles: tuple[str, ...] = ()
    establishments: tuple[str, ...] = ()
    corps: tuple[str, ...] = ()
    assignments: tuple[Assignment, ...] = ()
    entitlements: frozenset[Right] = frozenset()
    lock: Lock | None = None
    exceptions: tuple[ServiceException, ...] = ()
    overrides: tuple[Override, ...] = ()
    protected: bool = False
    device: str = ""

    @property
    def addresses(self) -> frozenset[str]:
        """Every address that stands on the entry."""
        own = frozenset((self.address,)) if self.address else frozenset()
        return own | self.aliases | self.other_mails

    @property
    def foreign_addresses(self) -> frozenset[str]:
        """Those of the entry that are not in its ledger of names: another hand put them there."""
        if self.addresses <= self.identifiers:
            return frozenset()
        known = {name.casefold() for name in self.identifiers}
        return frozenset(address for address in self.addresses if address.casefold() not in known)

    @property
    def names(self) -> frozenset[str]:
        """Every name that nobody else may get: the ledger, and what stands on the entry beside it."""
        return self.identifiers | self.addresses

    @property
    def shut(self) -> bool:
        """Whether it is closed or locked: nobody logs in until it is reopened or unlocked."""
        return self.locked or self.state in (State.DEACTIVATED, State.ARCHIVED)

    @property
    def surname(self) -> str:
        return self.usage_name or self.family_name

    @property
    def display_name(self) -> str:
        return f"{self.given_name} {self.surname}".strip()
