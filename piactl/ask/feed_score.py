"""How good the feeds of the last nights were, from the records of runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import date
from typing import Any

from piactl.core.model.establishment import Register
from piactl.core.plan.plan import FATES, FAULTS, FeedCounts, worst
from piactl.core.plan.state_between_runs import RunStatus
from piactl.directory.interfaces import Reader
from piactl.directory.store.record_entries import UnreadableRecords
from piactl.directory.store.run_records import is_undone, qualities_of, read_runs

WORST = 10

COMPONENTS = ("validity", "completeness", "uniqueness", "timeliness", "stability", "coverage")

_COUNTS = (
    "rows",
    *FATES,
    "doubled",
    "posts",
    "late",
    "median_days_late",
    "back",
    "establishments",
    "missing",
)
_SCORED = ("score", *COMPONENTS)
BY_SOURCE = ("source", "nights", "undone", "refused", *_SCORED, *_COUNTS[:-2])
BY_NIGHT = ("source", "date", "file", "undone", *_SCORED, *_COUNTS, "warned")
BY_REFUSED = ("source", "date", "file", "rows", "why")
BY_UAI = ("uai", "name", "faults", *FAULTS)

Night = tuple[date, FeedCounts, bool]
"""The day of a run, one of its feeds, and whether the run was undone."""
Refused = Mapping[str, Any]
"""A feed that a night refused, see BY_REFUSED: `rows` are those that were read, None if that is unknown;
`why` are codes of feeds, guards that its plan broke, or `approval`."""


def rehearsed_feeds(nights: Iterable[Mapping[str, Any]]) -> tuple[list[Night], list[Refused]]:
    """The feeds that the nights of a rehearsal applied, and those that they refused."""
    applied: list[Night] = []
    refused: list[Refused] = []
    for night in nights:
        qualities = qualities_of(night)
        refused += _refused(night["date"], night.get("refused_feeds", ()))
        if night["status"] == RunStatus.REFUSED:
            why = sorted({guard["kind"] for guard in night["guards"]})
            refused += _refused(night["date"], ({**asdict(quality), "why": why} for quality in qualities))
        elif night["status"] in (RunStatus.DONE, RunStatus.PARTLY):
            applied += [(date.fromisoformat(night["date"]), quality, False) for quality in qualities]
    return applied, refused


def feeds_of_runs(
    reader: Reader, state: str, unreadable: UnreadableRecords, first: date, last: date
) -> tuple[list[Night], list[Refused]]:
    """The feeds that the runs from `first` to `last` applied, and those that they refused, the oldest
    first."""
    records = read_runs(reader, state, unreadable)
    by_id = {record["run"]: record for record in records}
    applied: list[Night] = []
    refused: list[Refused] = []
    for record in reversed(records):
        day = date.fromisoformat(record["as_of"]) if "as_of" in record else date.min
        if not first <= day <= last:
            continue
        refused += _refused(record["as_of"], record.get("refused_feeds", ()))
        if record["status"] == RunStatus.REFUSED and "broken" in record:
            why = record["broken"] or [_APPROVAL]
            refused += _refused(record["as_of"], ({**feed, "why": why} for feed in record.get("feeds", ())))
        elif record["status"] in (RunStatus.DONE, RunStatus.PARTLY):
            undone = is_undone(record, by_id)
            applied += [(day, quality, undone) for quality in qualities_of(record)]
    return applied, refused


_APPROVAL = "approval"
"""Another person had to approve the plan of the night."""


def _refused(day: str, feeds: Iterable[Mapping[str, Any]]) -> Iterator[Refused]:
    for feed in feeds:
        yield {
            "source": str(feed["source"]),
            "date": day,
            "file": str(feed["file"]),
            "rows": feed.get("rows"),
            "why": list(map(str, feed["why"])),
        }


def feed_score(
    feeds: Iterable[Night], refused: Iterable[Refused], register: Register, source: str = ""
) -> dict[str, Any]:
    """`sources`, `nights` and the WORST `establishments` of applied feeds (of one `source`), and those that
    were `refused`; see BY_SOURCE, BY_NIGHT, BY_UAI, BY_REFUSED."""
    nights = [night for night in feeds if source in ("", night[1].source)]
    stopped = [feed for feed in refused if source in ("", feed["source"])]
    sources = dict.fromkeys(
        [*(quality.source for _, quality, _ in nights), *(feed["source"] for feed in stopped)]
    )
    return {
        "sources": [_of_source(name, nights, stopped) for name in sources],
        "nights": [_of_night(*night) for night in nights],
        "refused": stopped,
        "establishments": [*_establishments((quality for _, quality, _ in nights), register)],
    }


def _of_source(name: str, nights: Iterable[Night], refused: Iterable[Refused]) -> dict[str, Any]:
    of_source = [(quality, undone) for _, quality, undone in nights if quality.source == name]
    qualities = [quality for quality, _ in of_source]
    numbers = {
        "nights": len(of_source),
        "undone": sum(undone for _, undone in of_source),
        "refused": sum(feed["source"] == name for feed in refused),
    }
    return {"source": name, **numbers, **_scored(qualities), **_counts(qualities)}


def _of_night(day: date, quality: FeedCounts, undone: bool) -> dict[str, Any]:
    return {
        "source": quality.source,
        "date": day.isoformat(),
        "file": quality.file,
        "digest": quality.digest,
        "undone": undone,
        **_scored([quality]),
        **_counts([quality]),
        "establishments": quality.establishments,
        "missing": quality.missing,
        "blanks": dict(quality.blanks),
        "warned": list(quality.warned),
    }


def _scored(nights: Sequence[FeedCounts]) -> dict[str, float | None]:
    parts = components(nights)
    return {"score": score(parts), **parts}


def _counts(nights: Sequence[FeedCounts]) -> dict[str, int | None]:
    counts: dict[str, int | None] = {
        name: sum(getattr(quality, name) for quality in nights)
        for name in ("rows", *FATES, "doubled", "posts", "back", "missing")
    }
    late = sum(sum(quality.late.values()) for quality in nights)
    return {**counts, "late": late, "median_days_late": median_days(nights)}


def _establishments(nights: Iterable[FeedCounts], register: Register) -> Iterable[Mapping[str, Any]]:
    places = worst((place for quality in nights for place in quality.places.items()), WORST)
    for uai, faults in places.items():
        name = register[uai].name if uai in register else ""
        yield {"uai": uai, "name": name, "faults": sum(faults.values()), **dict.fromkeys(FAULTS, 0), **faults}


def components(nights: Sequence[FeedCounts]) -> dict[str, float | None]:
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


def median_days(nights: Iterable[FeedCounts]) -> int | None:
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
