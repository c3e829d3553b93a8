"""What runs remember besides the accounts: the last run, sources, absences and people in waiting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta

from piactl.core.model.person import Assignment, Person
from piactl.core.model.policy import Policy
from piactl.core.plan.feed_limits import SourceRecord
from piactl.core.plan.guards import Census, Losses
from piactl.core.rules.absences import Absence, Key

# People whom HR lists and whose account is not due yet.


@dataclass(frozen=True, slots=True)
class Waiting:
    """The record of such a person, with which a night without a feed can make the account.

    `person` carries neither NUMEN nor assignments; `numen_digest` and `assignments` stand for them.
    """

    person: Person
    numen_digest: str | None
    assignments: tuple[Assignment, ...]
    due: date


def waiting_for(
    person: Person, numen_digest: str | None, assignments: Sequence[Assignment], policy: Policy, as_of: date
) -> Waiting | None:
    """The record of a person without an account, None where no start lies ahead."""
    starts = [a.start for a in assignments if a.start > as_of]
    if not starts:
        return None
    return Waiting(
        bare(person), numen_digest, tuple(assignments), min(starts) - timedelta(days=policy.open_before)
    )


def bare(person: Person) -> Person:
    """The person without secrets, and without what the record keeps elsewhere."""
    return replace(person, numen=None, assignments=(), lines=(), birth_date=None)


@dataclass(frozen=True, slots=True)
class LastRun:
    """The last run that wrote: `clean` means that every change it planned was made.

    `policy` and `register` are the digests of the files it used, `plan` the fingerprint of its plan.
    `losses` are those of the last days, its own among them.
    `otp_schema`: it linked closed accounts to no device, which the server's schema must have. `lost`: its
    record cannot be read; of it only the day is known, the first day of the calendar where not even that.
    """

    run: str
    as_of: date
    policy: str
    register: str
    plan: str
    clean: bool
    census: Census = field(default_factory=Census)
    otp_schema: bool = False
    lost: bool = False
    losses: Losses = field(default_factory=dict)


Deviation = Mapping[str, str]
"""Keyed digests of what a source says of somebody otherwise than the account, by field of the person."""


@dataclass(frozen=True, slots=True)
class SourceMemory:
    """The last feed of a source that was applied, and the absences that wait for confirmation.

    `applied` are the digests of the last hundred feeds, the latest last: one of them again is older than
    the last one, whatever its date says. `undone` are the digests of those whose run was undone: they would
    do the same once more. `deviations` are by matricule (see flows.plan.inputs.disagreements).
    """

    record: SourceRecord
    absences: Mapping[Key, Absence] = field(default_factory=dict)
    applied: tuple[str, ...] = ()
    undone: tuple[str, ...] = ()
    deviations: Mapping[str, Deviation] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Memory:
    last: LastRun | None = None
    sources: Mapping[str, SourceMemory] = field(default_factory=dict)
    waiting: Mapping[str, Waiting] = field(default_factory=dict)
    """People in waiting by matricule."""
    foreign_addresses: Mapping[str, Mapping[str, date]] = field(default_factory=dict)
    """The addresses that other programs put on accounts, until an administrator decides: uid -> address ->
    the first day. On the entry itself, an address in the ledger does not show where it came from."""

    def pending(self) -> set[str]:
        """The people about whom more is remembered than their accounts hold, by matricule: those in waiting,
        those with an absence to confirm, those whom a source describes differently. Every run evaluates
        them."""
        absent = {key[0] for source in self.sources.values() for key in source.absences}
        deviating = {matricule for source in self.sources.values() for matricule in source.deviations}
        return {*self.waiting, *absent, *deviating}
