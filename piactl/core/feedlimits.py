"""When a whole feed is refused although every line of it can be read: the limits of its source.

| code | refused because |
|---|---|
| `older` | its date is before that of the last feed applied |
| `bad-column` | too many values of one column (or too many rows) are wrong: columns swapped, another layout |
| `few-known` | too few of the matricules known of this source are in it: another académie's, a test file |
| `size` | the number of rows is too far from that of the last feed applied |
| `undone` | the run that applied it was undone |
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from datetime import date

from piactl.core.feedfacts import ROW, FeedFacts, SourceRecord
from piactl.core.settings import SourceLimits, SourceSettings

LIMIT_CODES = ("older", "bad-column", "few-known", "size", "undone")


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
    advice = "ask HR for a right one; if it is right after all, let it through with"
    return [
        (code, f"{message};\n  {advice} --accept-feed {facts.digest} --reason TEXT")
        if code != "older"
        else (code, message)
        for code, message in found
    ]


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


def _percent(share: float) -> str:
    return f"{share * 100:g} %"
