"""What a night made of the rows of a feed, counted; `ask.feed_score` judges the feed by it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

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
