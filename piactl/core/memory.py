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

    `policy` and `register` are the digests of the files it used, `plan` the fingerprint of its plan. `lost`:
    its record cannot be read; of it only the day is known, the first day of the calendar where not even that.
    """

    run: str
    as_of: date
    policy: str
    register: str
    plan: str
    clean: bool
    census: Census = field(default_factory=Census)
    lost: bool = False


@dataclass(frozen=True, slots=True)
class SourceMemory:
    """The last feed of a source that was applied, and the absences that wait for confirmation.

    `applied` are the digests of the last hundred feeds, the latest last: one of them again is older than
    the last one, whatever its date says. `undone` are the digests of those whose run was undone: they would
    do the same once more.
    """

    record: SourceRecord
    absences: Mapping[Key, Absence] = field(default_factory=dict)
    applied: tuple[str, ...] = ()
    undone: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Memory:
    last: LastRun | None = None
    sources: Mapping[str, SourceMemory] = field(default_factory=dict)
    waiting: Mapping[str, Waiting] = field(default_factory=dict)
    """People in waiting by matricule."""
