"""A plan: the changes of one run, bound to its inputs, with what it made of the rows of each feed, by which
`feed score` judges it; and a plan with its writes, ready to run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Any, Protocol, TypeVar

from piactl.core.plan.change import Change
from piactl.core.plan.check_feed_limits import FeedFacts
from piactl.core.plan.check_guards import Impact, Refusal, Totals
from piactl.core.plan.drift import Drift
from piactl.core.plan.state_between_runs import LastRun
from piactl.core.plan.write import Write
from piactl.core.rules.desired_account import Rules

EXPECTED = ("numen", "civilite", "date_naissance", "courriel_prive", "corps")
"""The columns that should have a value in every row; a blank in any other column may mean something."""

FATES = ("applied", "unchanged", "rejected", "held", "ignored")
"""The outcome of a row; the numbers of all five add up to the rows of the feed."""

FAULTS = ("rejected", "held", "late", "back", "missing")
"""The outcomes that count against an establishment."""

PLACES = 20
"""The most establishments that one night keeps."""

Place = tuple[str, Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class FeedCounts:
    """What a run made of one feed; it names no person.

    `applied` are the rows of people whose account the run writes, `ignored` those that count twice and those
    of people who have no account today. `blanks` are the rows without a value, by column of EXPECTED that the
    feed has. `doubled` are rows that repeat or contradict another one. `posts` are those that the account did
    not have before, `late` counts those of them that had begun before, by how many days. `back` are posts
    that an earlier feed lacked. `establishments` are those of the feed, 0 if they are not known, `missing`
    those that only the last feed of the source had. `places` are the establishments with most FAULTS.
    `warned` are the columns that differ from the last feeds.
    """

    source: str
    file: str
    digest: str
    rows: int
    applied: int = 0
    unchanged: int = 0
    rejected: int = 0
    held: int = 0
    ignored: int = 0
    blanks: Mapping[str, int] = field(default_factory=dict)
    doubled: int = 0
    posts: int = 0
    late: Mapping[str, int] = field(default_factory=dict)
    back: int = 0
    establishments: int = 0
    missing: int = 0
    places: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    warned: Sequence[str] = ()


def worst(places: Iterable[Place], most: int) -> dict[str, dict[str, int]]:
    """The establishments with most faults, the worst first."""
    sums: dict[str, Counter[str]] = {}
    for uai, faults in places:
        sums.setdefault(uai, Counter()).update(faults)
    order = sorted(sums.items(), key=lambda item: (-item[1].total(), item[0]))
    return {uai: {name: faults[name] for name in FAULTS if faults[name]} for uai, faults in order[:most]}


@dataclass(frozen=True, slots=True)
class Rejection:
    """One reason why one row of a feed cannot be used. `line` counts from 1; `column` is canonical."""

    file: str
    line: int
    column: str
    code: str
    message: str
    matricule: str | None = None


class HoldCode(StrEnum):
    """The reason of a hold in one word, for metrics and programs."""

    REJECTED = "rejected"
    CONTRADICTION = "contradiction"
    CASE = "case"
    ACCOUNTS = "accounts"
    ENTRY = "entry"
    VANISHED = "vanished"
    UNMANAGED = "unmanaged"
    MERGE = "merge"
    ASSIGNMENT = "assignment"
    NAME = "name"
    NUMBER = "number"
    ABSENCE = "absence"
    DRIFT = "drift"
    PROTECTED = "protected"
    UNDO = "undo"
    ADOPTION = "adoption"
    OTHER = "other"
    """In a plan of an older version, which has no code."""


@dataclass(frozen=True, slots=True)
class Hold:
    """An account, or a person without one, that this run leaves unchanged; `name` is that of a person without
    an account, as far as the feed has it."""

    matricule: str | None
    uid: str | None
    why: str
    code: HoldCode = HoldCode.OTHER
    name: str = ""


T = TypeVar("T", covariant=True)


class Rows(Protocol[T]):
    """The changes or the writes of a plan, in the order of writing. They can be read repeatedly; most may be
    on disk."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[T]: ...


@dataclass(frozen=True, slots=True)
class AbsentAssignment:
    """An assignment that is absent from `seen` feeds of its source since a day; `needed` feeds confirm it."""

    matricule: str
    uid: str | None
    source: str
    uai: str
    function: str
    start: date
    since: date
    seen: int
    needed: int


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A person whom two sources describe differently in these columns, which stay unchanged on the account;
    without an account (`uid` None) one of the sources counts."""

    matricule: str | None
    uid: str | None
    columns: tuple[str, ...]
    why: str


@dataclass(frozen=True, slots=True)
class Contradiction:
    """A change by hand in force (`what`) that HR contradicts: `why` has the row of HR."""

    matricule: str | None
    uid: str
    what: str
    why: str


@dataclass(frozen=True, slots=True)
class DueArchival:
    """An account that should be archived since the day `due`, noted on the day `noted`: a run on a later day
    archives it."""

    uid: str
    due: date
    noted: date


@dataclass(frozen=True, slots=True)
class FeedBasis:
    source: str
    file: str
    digest: str
    date: date | None
    rows: int
    full: bool


@dataclass(frozen=True, slots=True)
class Basis:
    """The inputs of a plan. `directory` is the base of the accounts, `after` the run it follows."""

    feeds: tuple[FeedBasis, ...]
    policy: str
    register: str
    directory: str
    after: str
    as_of: date

    @classmethod
    def of(cls, rules: Rules, directory: str, last: LastRun | None, feeds: Iterable[FeedFacts] = ()) -> Basis:
        return cls(
            feeds=tuple(FeedBasis(f.source, f.file, f.digest, f.date, f.rows, f.full) for f in feeds),
            policy=rules.policy.digest,
            register=rules.register_digest,
            directory=directory,
            after=last.run if last else "",
            as_of=rules.as_of,
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """The changes of one run in order, their inputs, and what was left out and why."""

    basis: Basis
    summary: Mapping[str, int] = field(default_factory=dict)
    """Accounts by kind of change."""
    totals: Totals = field(default_factory=dict)
    impact: tuple[Impact, ...] = ()
    changes: Rows[Change] = ()
    """Grouped by account."""
    rejections: tuple[Rejection, ...] = ()
    holds: tuple[Hold, ...] = ()
    absents: tuple[AbsentAssignment, ...] = ()
    disagreements: tuple[Disagreement, ...] = ()
    contradictions: tuple[Contradiction, ...] = ()
    drift: tuple[Drift, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    remarks: tuple[str, ...] = ()
    cases: Mapping[str, int] = field(default_factory=dict)
    """The numbers of open cases after the run (see `case.case_counts`)."""
    quality: tuple[FeedCounts, ...] = ()
    """What the run makes of each of its feeds."""
    archivals: tuple[DueArchival, ...] = ()
    counted: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """The accounts that each kind of guard counts, and the number of all accounts; not in the JSON."""


@dataclass(frozen=True, slots=True)
class ReadyPlan:
    """A plan with its writes, just made or read from a file.

    `writes` are those of accounts, `records` those of piactl's own entries, which follow. `last` is the
    record of the run that carries the plan out. `undo` describes the run that the plan undoes. `fingerprint`
    and `signature` are "" until `signed_plan_file.sealed`. `made_by` are the people behind the plan, as the
    kernel and sudo name them.
    """

    plan: Plan
    writes: Rows[Write]
    records: tuple[Write, ...]
    last: LastRun | None
    undo: Mapping[str, Any] | None = None
    fingerprint: str = ""
    made_by: tuple[str, ...] = ()
    signature: str = ""

    @property
    def undoes(self) -> str:
        """The run that this plan undoes, "" for any other plan."""
        return str(self.undo["run"]) if self.undo else ""
