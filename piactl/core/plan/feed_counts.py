"""The quality of a feed: what a night made of its rows, and the components of a score."""

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

COMPONENTS = ("validity", "completeness", "uniqueness", "timeliness", "stability", "coverage")

Place = tuple[str, Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class FeedQuality:
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


def components(nights: Sequence[FeedQuality]) -> dict[str, float | None]:
    """The components of the score of some nights of one source, 0 to 1; None if nothing could be counted.
    Each is the share of what is right: rows that are valid, values that are there, rows that no other one
    repeats or contradicts, new posts known by their start, rows of posts that did not go and come back,
    establishments that stayed."""
    rows = sum(night.rows for night in nights)
    cells = sum(night.rows * len(night.blanks) for night in nights)
    posts = sum(night.posts for night in nights)
    places = sum(night.establishments + night.missing for night in nights if night.establishments)
    return {
        "validity": _right(sum(night.rejected for night in nights), rows),
        "completeness": _right(sum(sum(night.blanks.values()) for night in nights), cells),
        "uniqueness": _right(sum(night.doubled for night in nights), rows),
        "timeliness": _right(sum(sum(night.late.values()) for night in nights), posts),
        "stability": _right(sum(night.back for night in nights), rows),
        "coverage": _right(sum(night.missing for night in nights), places),
    }


def score(parts: Mapping[str, float | None]) -> float | None:
    """The mean of the components that could be counted, in percent."""
    values = [part for part in parts.values() if part is not None]
    return round(100 * sum(values) / len(values), 1) if values else None


def median_days(nights: Iterable[FeedQuality]) -> int | None:
    """The median of the days that late posts were late; None if none was."""
    days: Counter[int] = Counter()
    for night in nights:
        days.update({int(late): number for late, number in night.late.items()})
    half = (days.total() + 1) // 2
    for late in sorted(days):
        half -= days[late]
        if half <= 0:
            return late
    return None


def _right(wrong: int, of: int) -> float | None:
    return round(1 - min(wrong, of) / of, 4) if of else None
