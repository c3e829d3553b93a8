"""What is known of one feed as a whole, and what is remembered of the last one applied."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

ROW = "row"
"""The key of `FeedFacts.columns` that counts rows, not values: bad are those that could not be split."""

CODED = ("corps", "position", "fonction")
"""The columns that decide what a person may reach, with few values each: how they vary is counted."""


@dataclass(frozen=True, slots=True)
class FeedFacts:
    """One feed as a whole.

    `file` is the base name, `digest` the SHA-256 of all its bytes in hexadecimal. `full`: it lists
    everyone (a file of corrected rejects of a full source does not). `complete`: nothing of it is
    missing as far as the file itself can tell. `rows` counts the lines between header and trailer,
    `people` the matricules seen, held ones included. `columns`: canonical column -> (values, bad ones),
    where blanks do not count unless the column is required. `unattributed` counts the rows whose person
    could not be told for sure: while there are any, no absence from this feed means anything.
    `uncommon`: of each coded column, how many rows hold another value than its commonest (blank is a value).
    """

    source: str
    file: str
    digest: str
    date: date | None
    full: bool
    complete: bool
    rows: int
    people: int
    columns: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    unattributed: int = 0
    uncommon: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """What is remembered of the last feed of a source that was applied, of what `FeedFacts` tells. 0 rows:
    their number is unknown."""

    source: str
    digest: str
    date: date | None
    rows: int
    people: int
    columns: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    uncommon: Mapping[str, int] = field(default_factory=dict)


def record_of(facts: FeedFacts, day: date | None) -> SourceRecord:
    """What to remember of a feed, as one of `day`."""
    return SourceRecord(
        facts.source, facts.digest, day, facts.rows, facts.people, facts.columns, facts.uncommon
    )
