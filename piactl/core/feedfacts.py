"""What is known of one feed as a whole, and what is remembered of the last one applied."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

ROW = "row"
"""The key of `FeedFacts.columns` that counts rows, not values: bad are those that could not be split."""


@dataclass(frozen=True, slots=True)
class FeedFacts:
    """One feed as a whole.

    `file` is the base name, `digest` the SHA-256 of all its bytes in hexadecimal. `full`: it lists
    everyone (a file of corrected rejects of a full source does not). `complete`: nothing of it is
    missing as far as the file itself can tell. `rows` counts the lines between header and trailer,
    `people` the matricules seen, held ones included. `columns`: canonical column -> (values, bad ones),
    where blanks do not count unless the column is required. `unattributed` counts the rows whose person
    could not be told for sure: while there are any, no absence from this feed means anything.
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


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """What is remembered of the last feed of a source that was applied. 0 rows: their number is unknown."""

    source: str
    digest: str
    date: date | None
    rows: int
    people: int
    columns: Mapping[str, tuple[int, int]] = field(default_factory=dict)
