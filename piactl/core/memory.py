"""What outlives a run besides the accounts: the last run, sources, absences and people in waiting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from piactl.core.absences import Absence, Key
from piactl.core.feedfacts import SourceRecord
from piactl.core.guards import Census
from piactl.core.waiting import Waiting


@dataclass(frozen=True, slots=True)
class LastRun:
    """The last run that wrote: `clean` means that every change it planned was made.

    `policy` and `register` are the digests of the files it used, `plan` the fingerprint of its plan.
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


Deviation = Mapping[str, str]
"""Keyed digests of what a source says of somebody otherwise than the account, by field of the person."""


@dataclass(frozen=True, slots=True)
class SourceMemory:
    """The last feed of a source that was applied, and the absences that wait for confirmation.

    `applied` are the digests of the last hundred feeds, the latest last: one of them again is older than
    the last one, whatever its date says. `undone` are the digests of those whose run was undone: they would
    do the same once more. `deviations` are by matricule (see flows.disagreement).
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
    """The addresses that another hand put on accounts and about which nobody has decided: uid -> address ->
    the day since when they are known. Once in the ledger, nothing on the entry tells them from its own."""
