"""The state that runs keep besides the accounts: the status of a run, the last run, sources, absences and
people in waiting.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from itertools import chain

from piactl.core.model.person import Assignment, Person
from piactl.core.model.policy import Policy
from piactl.core.plan.case import Case
from piactl.core.plan.check_feed_limits import PartRecord, SourceRecord, comparable
from piactl.core.plan.check_guards import Census
from piactl.core.plan.recent_losses import NOTHING_TAKEN, Losses, Taken
from piactl.core.rules.feed_absences import Absence, Key
from piactl.core.rules.matching import Births
from piactl.core.text import utc_instant
from piactl.phrase import Phrase


class RunStatus(StrEnum):
    """The state of a run, or how it ended. INTERRUPTED: it was killed, and a later run found its record
    unfinished."""

    RUNNING = "running"
    DONE = "done"
    PARTLY = "partly"
    STOPPED = "stopped"
    FAILED = "failed"
    REFUSED = "refused"
    INTERRUPTED = "interrupted"


def began_at(run: str) -> datetime | None:
    """The instant at which a run began, by its id; None for an id of another form."""
    try:
        return utc_instant(run.partition("-")[0])
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Waiting:
    """A person in the HR data whose account is not due yet. A night without a feed creates it from this
    record.

    `person` has neither NUMEN, birth date nor assignments; `numen_digest`, `births` and `assignments` replace
    them.
    """

    person: Person
    numen_digest: str | None
    assignments: tuple[Assignment, ...]
    due: date
    births: Births = (None, None)

    @property
    def whole(self) -> Person:
        """The person with the assignments."""
        return replace(self.person, assignments=self.assignments)


def waiting_for(
    person: Person,
    numen_digest: str | None,
    births: Births,
    assignments: Sequence[Assignment],
    policy: Policy,
    as_of: date,
) -> Waiting | None:
    """The record of a person without an account; None if no assignment starts in the future."""
    starts = [a.start for a in assignments if a.start > as_of]
    if not starts:
        return None
    due = min(starts) - timedelta(days=policy.open_before)
    return Waiting(bare(person), numen_digest, tuple(assignments), due, births)


def bare(person: Person) -> Person:
    """The person without secrets and without the fields that the record stores elsewhere."""
    return replace(person, numen=None, assignments=(), lines=(), birth_date=None)


@dataclass(frozen=True, slots=True)
class ServerIdentity:
    """What a server is, whatever its address: its serverID, as the entryCSN of a write has it (three
    hexadecimal digits), and the entryUUID of piactl's tree. Each is "" if it is unknown; a server without
    serverID has none."""

    number: str = ""
    tree: str = ""

    @classmethod
    def of(cls, csn: str, tree: str) -> ServerIdentity:
        """The server that made a write with this entryCSN."""
        number = csn.split("#")[2] if csn.count("#") == 3 else ""
        return cls("" if number == "000" else number, tree)

    @classmethod
    def read(cls, text: str) -> ServerIdentity:
        """Reads what `str` gives; unknown for the URI in records of earlier versions."""
        number, _, tree = text.partition(" ")
        return cls(number, tree) if re.fullmatch("([0-9a-f]{3})?", number) else cls()

    def __str__(self) -> str:
        return f"{self.number} {self.tree}" if self.number or self.tree else ""

    def other_than(self, known: ServerIdentity) -> str:
        """How this server differs from a known one, "" if nothing shows a difference."""
        if self.number and known.number and self.number != known.number:
            number, other = int(self.number, 16), int(known.number, 16)
            return Phrase("it has serverID {number}, not {other}", number=number, other=other)
        if self.tree and known.tree and self.tree != known.tree:
            return Phrase("its entry of piactl is another one (entryUUID): the directory was made anew")
        return ""


@dataclass(frozen=True, slots=True)
class LastRun:
    """The last run that wrote. `clean`: it made every planned change.

    `policy` and `register` are the digests of the files it used, `plan` the fingerprint of its plan. `losses`
    are the losses of the last days, including its own; `unfinished` are the further planned losses of a later
    run that began to write and has not recorded its end. `taken` is what the runs of the last days took from
    accounts, and none has given back. `layout`: the form that every account has since it, and so has a
    sealed base; it rises with a run that ended well. `lost`: its record cannot be read; only its day is
    known, or nothing (then the first day of the calendar). `server` is the server that it wrote to, `csns`
    the contextCSN there when it began, by serverID.
    """

    run: str
    as_of: date
    policy: str
    register: str
    plan: str
    clean: bool
    census: Census = field(default_factory=Census)
    layout: int = 0
    lost: bool = False
    losses: Losses = field(default_factory=dict)
    unfinished: Losses = field(default_factory=dict)
    taken: Taken = field(default_factory=lambda: NOTHING_TAKEN)
    server: ServerIdentity = ServerIdentity()
    csns: Mapping[str, str] = field(default_factory=dict)

    @property
    def began(self) -> datetime | None:
        """The instant at which it began, from its id, minus what the clocks of host and server may differ
        by."""
        begun = began_at(self.run)
        return begun - timedelta(minutes=10) if begun is not None else None

    def week_began(self, day: date) -> datetime | None:
        """The same if it was in the week of a day, else None: the first run of a week lists every account."""
        return self.began if self.as_of.isocalendar()[:2] == day.isocalendar()[:2] else None


@dataclass(frozen=True, slots=True)
class Vanished:
    """An account whose entry another program deleted, or, if `unmanaged`, removed from piactl's management.
    `matricule` is "" if it was archived, `since` is the day of the run that noted it."""

    matricule: str
    since: date
    unmanaged: bool = False


Deviation = Mapping[str, str]
"""Keyed digests of the values of a source that differ from the account, by field of the person."""


@dataclass(frozen=True, slots=True)
class SourceMemory:
    """The last applied feed of a source, and the absences that wait for confirmation.

    `applied` are the digests of the last hundred feeds, the latest last: such a feed is older than the last
    one, whatever its date. `undone` are the digests of feeds whose run was undone: they would repeat it.
    `deviations` are by matricule (see planning.resolve_disagreements). `again` are the digests of feeds
    whose runs the directory lost: they may be applied once more, whatever their date. `parts` are by kind
    (see FeedFacts), the one that was applied last at the end. `rejected` are the matricules of people without
    an account whose rows the last full feed had, and a night rejected.
    """

    record: SourceRecord
    absences: Mapping[Key, Absence] = field(default_factory=dict)
    applied: tuple[str, ...] = ()
    undone: tuple[str, ...] = ()
    deviations: Mapping[str, Deviation] = field(default_factory=dict)
    again: tuple[str, ...] = ()
    parts: Mapping[str, PartRecord] = field(default_factory=dict)
    rejected: tuple[str, ...] = ()

    @property
    def comparable(self) -> SourceRecord:
        """The record with those past feeds that the next one is compared with."""
        return replace(self.record, past=comparable(self.record.past, self.undone))

    def without_undone(self, as_of: date) -> SourceMemory:
        """The memory on a day, without the absences that only undone feeds confirm. An absence whose first
        feed was undone is known from this day on, because only the day of the first one is recorded."""
        if not self.undone or not self.absences:
            return self
        absences = {}
        for key, absence in self.absences.items():
            feeds = tuple(digest for digest in absence.feeds if digest not in self.undone)
            if feeds:
                since = absence.since if feeds[0] == absence.feeds[0] else as_of
                absences[key] = replace(absence, feeds=feeds, since=since)
        return replace(self, absences=absences)

    @property
    def every_applied(self) -> set[str]:
        """The digests of all sets that are known to be applied, and not undone."""
        return {*self.applied, *chain.from_iterable(p.digests for p in self.parts.values())} - {*self.undone}


@dataclass(frozen=True, slots=True)
class Memory:
    last: LastRun | None = None
    sources: Mapping[str, SourceMemory] = field(default_factory=dict)
    waiting: Mapping[str, Waiting] = field(default_factory=dict)
    """People in waiting by matricule."""
    drift: Mapping[str, Mapping[str, date]] = field(default_factory=dict)
    """Changes by other programs that piactl left in place: uid -> attribute -> the first day."""
    archivals: Mapping[str, date] = field(default_factory=dict)
    """The accounts that are due for archival: uid -> the day of the run that noted it first."""
    cases: Mapping[str, Case] = field(default_factory=dict)
    """The cases by id, decided ones too."""
    vanished: Mapping[str, Vanished] = field(default_factory=dict)
    """The accounts whose entry is gone, by uid."""
    unwitnessed: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """What somebody changed of devices without a line in a journal: uid -> name of the device, "" for the
    link to one -> who and when, in words; uid and name in normal spelling. No record has it: each night reads
    it from the access log."""

    def pending(self) -> set[str]:
        """The matricules that every run evaluates: people in waiting, with an absence to confirm,
        described differently by a source, with a case, or whose entry vanished."""
        absent = {key[0] for source in self.sources.values() for key in source.absences}
        deviating = {matricule for source in self.sources.values() for matricule in source.deviations}
        cases = (m for case in self.cases.values() if case.listed for m in (case.matricule, *case.people))
        vanished = (account.matricule for account in self.vanished.values() if account.matricule)
        return {*self.waiting, *absent, *deviating, *cases, *vanished}
