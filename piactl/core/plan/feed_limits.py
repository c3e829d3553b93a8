"""When a whole feed is refused although every line of it can be read: the limits of its source.

| code | refused because |
|---|---|
| `older` | its date is before that of the last feed applied |
| `bad-column` | too many values of one column (or too many rows) are wrong: columns swapped, another layout |
| `few-known` | too few of the matricules known of this source are in it: another académie's, a test file |
| `size` | the number of rows is too far from that of the last feed applied |
| `changed-column` | the blanks or the values of a column are not those of the last feeds |
| `held` | too many of its people are held: matricules moved against the other columns |
| `undone` | the run that applied it was undone |
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import date

from piactl.core.model.settings import SourceLimits, SourceSettings

# What is known of one feed as a whole, and what is remembered of the last one applied.

ROW = "row"
"""The key of `FeedFacts.columns` that counts rows, not values: bad are those that could not be split."""

CODED = ("corps", "position", "fonction")
"""The columns that decide what a person may reach, with few values each."""

COUNTED = (*CODED, "civilite", "discipline", "modalite", "quotite")
"""The columns with few values, none of them personal: how often each value occurs is counted. Of all others
only blanks and distinct values are."""

MOST_DISTINCT = 1_000
"""Distinct values of a column beyond which they are no longer counted."""

PAST = 10
"""Full feeds of a source that are remembered."""

_FREQUENT, _FREQUENT_ROWS = 8, 5
"""Of a counted column so many values are remembered, each of so many rows at least."""


@dataclass(frozen=True, slots=True)
class FeedFacts:
    """One feed as a whole.

    `file` is the base name, `digest` the SHA-256 of all its bytes in hexadecimal. `full`: it lists
    everyone (a file of corrected rejects of a full source does not). `complete`: nothing of it is
    missing as far as the file itself can tell. `rows` counts the lines between header and trailer,
    `people` the matricules seen, held ones included. `columns`: canonical column -> (values, bad ones),
    where blanks do not count unless the column is required. `unattributed` counts the rows whose person
    could not be told for sure: while there are any, no absence from this feed means anything.
    `values`: of each counted column, the rows with each value (blank is a value). `distinct`: of each column
    in the file, how many values other than blank it has, MOST_DISTINCT for more.
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
    values: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    distinct: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PastFeed:
    """What is remembered of the columns of one full feed that was applied, as in FeedFacts: the rows with a
    value, the distinct values, and the most frequent values of counted columns. `accepted`: somebody let it
    through, so that feeds before it say nothing of those after it."""

    digest: str
    rows: int
    filled: Mapping[str, int]
    distinct: Mapping[str, int] = field(default_factory=dict)
    values: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    accepted: bool = False


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """What is remembered of the last feed of a source that was applied, of what `FeedFacts` holds, and of the
    columns of the last PAST full ones, the latest last. 0 rows: their number is unknown."""

    source: str
    digest: str
    date: date | None
    rows: int
    people: int
    past: tuple[PastFeed, ...] = ()


def record_of(
    facts: FeedFacts, day: date | None, last: SourceRecord | None = None, *, accepted: bool = False
) -> SourceRecord:
    """What to remember of a feed, as one of `day`, after what is remembered already."""
    past = last.past if last else ()
    if facts.full and (not past or past[-1].digest != facts.digest):
        past = (*past, _past(facts, accepted=accepted))[-PAST:]
    return SourceRecord(facts.source, facts.digest, day, facts.rows, facts.people, past)


def _past(facts: FeedFacts, *, accepted: bool) -> PastFeed:
    filled = {name: values for name, (values, _) in facts.columns.items() if name != ROW}
    frequent = {
        column: {
            value: rows
            for value, rows in sorted(counts.items(), key=lambda one: (-one[1], one[0]))[:_FREQUENT]
            if rows >= _FREQUENT_ROWS
        }
        for column, counts in facts.values.items()
    }
    return PastFeed(facts.digest, facts.rows, filled, facts.distinct, frequent, accepted)


def comparable(past: Sequence[PastFeed], undone: Collection[str]) -> tuple[PastFeed, ...]:
    """The feeds with which the next one is compared: none whose run was undone, none before the last one that
    somebody let through."""
    left = [one for one in past if one.digest not in undone and one.rows]
    first = max((at for at, one in enumerate(left) if one.accepted), default=0)
    return tuple(left[first:])


LIMIT_CODES = ("older", "bad-column", "few-known", "size", "changed-column", "held", "undone")

VARIED = 3
"""A coded column varies in a feed where so many rows hold another value than its commonest."""

DISTINCT = 10
"""Another column varies where it has so many distinct values."""

LEFT = 0.1
"""A column no longer varies where less than this part of those rows or values is left."""

_SAMPLE = 5


def limits_on(source: SourceSettings, day: date) -> SourceLimits:
    """The limits of the first period of the year that covers `day`, else the ordinary ones.

    A period whose last day comes before its first one runs over New Year.
    """
    today = (day.month, day.day)
    for period in source.periods:
        if period.first <= period.last:
            covers = period.first <= today <= period.last
        else:
            covers = today >= period.first or today <= period.last
        if covers:
            return period.limits
    return source.limits


def feed_refusals(
    facts: FeedFacts,
    last: SourceRecord | None,
    known: AbstractSet[str],
    present: AbstractSet[str],
    source: SourceSettings,
    as_of: date,
    passed: int = 0,
) -> list[tuple[str, str]]:
    """Every limit of the source that the feed breaks on `as_of`, as (code, message); none where it is fit.

    `known` are the matricules that the directory has from this source, `present` those that the feed
    names, held ones included; `passed` more are both. The very feed that was applied last is never
    refused. A feed whose date is unknown cannot be told to be older. Whether a digest was accepted by hand
    is the caller's affair.
    """
    if last is not None and facts.digest == last.digest:
        return []
    limits = limits_on(source, as_of)
    found = [*_older(facts, last), *_bad_columns(facts, limits)]
    if facts.full:
        found += _few_known(known, present, passed, limits)
        found += _size(facts, last, limits)
        found += _changed_columns(facts, last, limits)
    return [
        (code, f"{message};\n  {_advice(facts)}") if code != "older" else (code, message)
        for code, message in found
    ]


def held_refusal(
    facts: FeedFacts, held: Mapping[str, str], source: SourceSettings, as_of: date
) -> tuple[str, str] | None:
    """The code and the message where too many people of a feed are `held` (matricule -> why), by its rows or
    by what the directory says of them; None where it is fit."""
    limits = limits_on(source, as_of)
    if len(held) < max(limits.held_floor, 1) or len(held) <= limits.held_share * facts.people:
        return None
    sample = "; ".join(f"{matricule}: {why}" for matricule, why in list(held.items())[:_SAMPLE])
    allowed = _percent(limits.held_share)
    return (
        "held",
        f"{len(held)} of its {facts.people} people are held (limit: {allowed}, from {limits.held_floor}), "
        f"such as {sample};\n  {_advice(facts)}",
    )


def _advice(facts: FeedFacts) -> str:
    advice = "ask HR for a right one; if it is right after all, let it through with"
    return f"{advice} --accept-feed {facts.digest} --reason TEXT"


def _older(facts: FeedFacts, last: SourceRecord | None) -> list[tuple[str, str]]:
    if last is None or last.date is None or facts.date is None or facts.date >= last.date:
        return []
    return [
        (
            "older",
            f"it is of {facts.date.isoformat()}, and one of {last.date.isoformat()} was applied already;\n"
            "  take it away. Only to go back to what it says: "
            f"--accept-feed {facts.digest} --reason TEXT",
        )
    ]


def _bad_columns(facts: FeedFacts, limits: SourceLimits) -> list[tuple[str, str]]:
    found = []
    for column, (values, bad) in facts.columns.items():
        if bad >= max(limits.bad_floor, 1) and bad > limits.bad_share * values:
            what = "rows cannot be split" if column == ROW else f"values of column {column} are wrong"
            allowed = _percent(limits.bad_share)
            found.append(
                ("bad-column", f"{bad} of {values} {what} (limit: {allowed}, from {limits.bad_floor})")
            )
    return found


def _few_known(
    known: AbstractSet[str], present: AbstractSet[str], passed: int, limits: SourceLimits
) -> list[tuple[str, str]]:
    total = len(known) + passed
    if not total or total < limits.known_floor:
        return []
    still = passed + sum(1 for matricule in known if matricule in present)
    if still >= limits.known_share * total:
        return []
    asked = _percent(limits.known_share)
    return [
        (
            "few-known",
            f"only {still} of the {total} matricules known of this source are in it (limit: {asked})",
        )
    ]


def _size(facts: FeedFacts, last: SourceRecord | None, limits: SourceLimits) -> list[tuple[str, str]]:
    if last is None or not last.rows:  # no feed of no rows was ever applied: their number is not known
        return []
    apart = abs(facts.rows - last.rows)
    if apart < max(limits.size_floor, 1) or apart <= limits.size_share * last.rows:
        return []
    word = "more" if facts.rows > last.rows else "fewer"
    allowed = _percent(limits.size_share)
    return [
        (
            "size",
            f"{facts.rows} rows, {apart} {word} than the {last.rows} of the last one "
            f"(limit: {allowed}, from {limits.size_floor})",
        )
    ]


def _changed_columns(
    facts: FeedFacts, last: SourceRecord | None, limits: SourceLimits
) -> list[tuple[str, str]]:
    """Columns that are not as in the last feeds: filled in many more or fewer rows, with other values, or no
    longer varied."""
    past = last.past if last else ()
    if not past or not facts.rows:
        return []
    found: dict[str, str] = {}
    for column, (filled, _) in facts.columns.items():
        known = [one for one in past if column in one.filled]
        before = _share(known, [one.filled[column] for one in known])
        if known and _apart(filled, before, facts.rows, limits):
            found[column] = f"a value in {_of(filled, facts.rows)}, {before:.1%} {_in(known, limits)}"
    for column, counts in facts.values.items():
        known = [one for one in past if column in one.values]
        frequent = {value for one in known for value in one.values[column]}
        apart = []
        for value in sorted({*counts, *frequent}) if known else ():
            before = _share(known, [one.values[column].get(value, 0) for one in known])
            if _apart(counts.get(value, 0), before, facts.rows, limits):
                apart.append((counts.get(value, 0) / facts.rows - before, value, before))
        if apart:  # what there is more of says more than what is missing
            _, value, before = max(apart)
            now = _of(counts.get(value, 0), facts.rows)
            found.setdefault(column, f"{value or 'blank'} in {now}, {before:.1%} {_in(known, limits)}")
    for column, message in _unvaried(facts, past, limits):
        found.setdefault(column, message)
    return [("changed-column", f"column {column}: {message}") for column, message in found.items()]


def _unvaried(facts: FeedFacts, past: Sequence[PastFeed], limits: SourceLimits) -> Iterator[tuple[str, str]]:
    """The columns that are nearly all alike and were not before. In a feed of a few rows chance does that."""
    if past[-1].rows < limits.column_floor:
        return
    for column, counts in facts.values.items():
        known = [one for one in past if column in one.values]
        other = [one.rows - max(one.values[column].values(), default=0) for one in known]
        least = VARIED if column in CODED else limits.column_floor
        if not known or sum(other) < least * len(known):
            continue
        rows = sum(one.rows for one in known)
        common = max(counts, key=lambda value: counts[value])
        now = facts.rows - counts[common]
        if now < LEFT * sum(other) * facts.rows / rows:
            share = f"{common or 'blank'} in {_of(counts[common], facts.rows)}"
            yield column, f"{share}, another value in {sum(other) / rows:.1%} {_feeds(known)}"
    for column, values in facts.distinct.items():
        known = [one for one in past if column in one.distinct and column not in one.values]
        before = sum(one.distinct[column] for one in known) / max(len(known), 1)
        if before >= DISTINCT and values <= LEFT * before:
            yield column, f"{values} distinct values, {before:.0f} {_feeds(known)}"


def _share(past: Sequence[PastFeed], rows: Sequence[int]) -> float:
    return sum(rows) / max(sum(one.rows for one in past), 1)


def _apart(now: int, before: float, rows: int, limits: SourceLimits) -> bool:
    apart = abs(now - before * rows)
    return apart >= max(limits.column_floor, 1) and apart > limits.column_share * rows


def _of(some: int, rows: int) -> str:
    return f"{some} of {rows} rows ({some / rows:.1%})"


def _in(past: Sequence[PastFeed], limits: SourceLimits) -> str:
    allowed = _percent(limits.column_share)
    return f"{_feeds(past)} (limit: {allowed} of the rows apart, from {limits.column_floor})"


def _feeds(past: Sequence[PastFeed]) -> str:
    return "in the last feed" if len(past) == 1 else f"in the last {len(past)} feeds"


def _percent(share: float) -> str:
    return f"{share * 100:g} %"
