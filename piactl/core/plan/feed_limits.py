"""When a whole feed is refused although every line of it can be read: the limits of its source.

| code | refused because |
|---|---|
| `older` | its date is before that of the last feed applied |
| `bad-column` | too many values of one column (or too many rows) are wrong: columns swapped, another layout |
| `few-known` | too few of the matricules known of this source are in it: another académie's, a test file |
| `size` | the number of rows is too far from that of the last feed applied |
| `changed-column` | a column is filled in many more or fewer rows than in the last one, or all alike |
| `held` | too many of its people are held: matricules moved against the other columns |
| `undone` | the run that applied it was undone |
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import date

from piactl.core.model.settings import SourceLimits, SourceSettings

# What is known of one feed as a whole, and what is remembered of the last one applied.

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


LIMIT_CODES = ("older", "bad-column", "few-known", "size", "changed-column", "held", "undone")

VARIED = 3
"""A coded column varied in a feed where so many rows held another value than its commonest."""

LEFT = 0.1
"""It no longer does where less than this part of them, in proportion to the rows, is left."""

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
    """Columns filled in many more or fewer rows than in the last feed, and those that lost their variety."""
    if last is None or not last.rows or not facts.rows:
        return []
    found: dict[str, str] = {}
    for column, (values, _) in facts.columns.items():
        before = last.columns.get(column, (0, 0))[0] / last.rows
        apart = abs(values - before * facts.rows)
        if column == ROW or column not in last.columns or apart < max(limits.column_floor, 1):
            continue
        if apart > limits.column_share * facts.rows:
            allowed = _percent(limits.column_share)
            found[column] = (
                f"column {column} has a value in {values} of {facts.rows} rows ({values / facts.rows:.0%}), "
                f"in the last one in {before:.0%} (limit: {allowed} of the rows, from {limits.column_floor})"
            )
    for column in CODED:
        varied, now = last.uncommon.get(column, 0), facts.uncommon.get(column, 0)
        # in a feed of a few rows chance alone makes them all alike
        if last.rows < limits.column_floor or varied < VARIED:
            continue
        if now < LEFT * varied * facts.rows / last.rows:
            message = (
                f"column {column} has the same value in {facts.rows - now} of {facts.rows} rows; in the last "
                f"one {varied} of {last.rows} rows had another (limit: {_percent(LEFT)} of them must be left)"
            )
            found.setdefault(column, message)
    return [("changed-column", message) for message in found.values()]


def _percent(share: float) -> str:
    return f"{share * 100:g} %"
