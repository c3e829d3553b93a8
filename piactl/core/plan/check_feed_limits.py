"""The limits of a source, which refuse a whole feed although each of its lines can be read.

| code | refused because |
|---|---|
| `older` | its date is before that of the last feed applied |
| `bad-column` | too many values of one column (or too many rows) are wrong: columns swapped, another layout |
| `few-known` | it has too few of the matricules known from this source: another académie, a test file |
| `size` | its number of rows differs too much from the last feed applied |
| `changed-column` | the blanks or the values of a column differ too much from the last feeds |
| `leading-zeros` | matricules differ from known ones only by leading zeros: a spreadsheet saved the file |
| `held` | too many of its people are held: matricules shifted against the other columns |
| `undone` | the run that applied it was undone |
| `missing-delta` | it changes a set that was not applied, or a delta between them is missing |
| `doubled-delta` | another set of its day, or a later one, was applied |
| `order-unknown` | another file of its establishment and year is in the run, and neither has a date |
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from types import MappingProxyType

from piactl.core.model.periods import in_period
from piactl.core.model.settings import WEEKDAYS, SourceLimits, SourceSettings
from piactl.core.text import percent
from piactl.phrase import Phrase, joined

Refusal = tuple[str, str]
"""The code of a limit, and a message."""

ROW = "row"
"""The key of `FeedFacts.columns` that counts rows; bad rows are those that could not be split."""

CODED = ("corps", "position", "fonction")
"""The columns with few values that decide what a person may use."""

COUNTED = (*CODED, "civilite", "discipline", "modalite", "quotite")
"""The columns with few values, none of them personal. Each of their values is counted; of other columns only
blanks and distinct values."""

MOST_DISTINCT = 1_000
"""Distinct values of a column are counted up to this number."""

PAST = 10
"""The number of full feeds remembered per source."""

PARTS = 8
"""The number of sets remembered of each kind."""

_FREQUENT, _FREQUENT_ROWS = 8, 5
"""The number of values remembered of a counted column, and the rows that each must have."""


@dataclass(frozen=True, slots=True)
class DeltaBasis:
    """The set that a delta of a national feed changes: digest, date, and the days from then to the delta."""

    digest: str
    day: date
    days: int


@dataclass(frozen=True, slots=True)
class FeedFacts:
    """One feed as a whole.

    `file` is the base name, `digest` the SHA-256 of all its bytes in hexadecimal. `full`: it lists everyone
    (a file of corrected rejects of a full source does not). `complete`: the file itself shows no missing
    part. `rows` counts the lines between header and trailer, `people` the matricules, held ones included.
    `columns`: canonical column -> (values, bad values); blanks count only in required columns. `unattributed`
    counts the rows whose person is uncertain: if there are any, absences from this feed do not count.
    `values`: per counted column, the rows with each value (blank is a value). `distinct`: per column of the
    file, the number of its distinct values without blank, at most MOST_DISTINCT; `forms`: of the first of
    these, how many have each form (`9/9/9` of 01/09/2026). `establishments`: the valid UAIs. `basis` is the
    set that a delta changes, `later` are the digests of sets of its kind that are of its day or later.
    `wrong`: per column, the first rejections, each with its line. `month_first`: the month is before the day
    in one of its dates. `not_read`: the first names of its header
    that are no column of the source.
    `part`: it lists only some establishments of its source; `kind` is then the name that the sets of the same
    establishments share.
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
    forms: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    establishments: frozenset[str] = frozenset()
    basis: DeltaBasis | None = None
    later: frozenset[str] = frozenset()
    part: bool = False
    kind: str = ""
    not_read: str = ""
    wrong: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    month_first: bool = False


@dataclass(frozen=True, slots=True)
class PartRecord:
    """What is remembered of the applied sets of one kind of a source that gets its establishments in parts:
    the date of the last dated one, and the digests of the last PARTS, the latest last."""

    day: date | None = None
    digests: tuple[str, ...] = ()

    def after(self, digest: str, day: date | None) -> PartRecord:
        """The record once a set with this date was applied."""
        others = (other for other in self.digests if other != digest)
        return PartRecord(day or self.day, (*others, digest)[-PARTS:])


@dataclass(frozen=True, slots=True)
class PastFeed:
    """The remembered columns of one applied full feed, as in FeedFacts: the rows with a value, the distinct
    values, the most frequent values of counted columns, and of other ones the most frequent forms, in
    thousandths of the distinct values seen. `accepted`: it was accepted
    by hand, so later feeds are not compared with feeds before it."""

    digest: str
    rows: int
    filled: Mapping[str, int]
    distinct: Mapping[str, int] = field(default_factory=dict)
    values: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    accepted: bool = False
    forms: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """What is remembered of the last applied feed of a source (see `FeedFacts`), and of the columns of its
    last PAST full feeds, the latest last. 0 rows: their number is unknown. `establishments` are those of
    the last full feed, none if they are not known."""

    source: str
    digest: str
    date: date | None
    rows: int
    people: int
    past: tuple[PastFeed, ...] = ()
    establishments: frozenset[str] = frozenset()


def record_of(
    facts: FeedFacts, day: date | None, last: SourceRecord | None = None, *, accepted: bool = False
) -> SourceRecord:
    """The record of a feed dated `day`, with the columns of earlier feeds from `last`."""
    past = last.past if last else ()
    if facts.part:  # the size of one part says nothing about another
        if last is None:
            return SourceRecord(facts.source, facts.digest, day, 0, 0)
        return replace(last, digest=facts.digest, date=day)
    if facts.full and (not past or past[-1].digest != facts.digest):
        past = (*past, _past(facts, accepted=accepted))[-PAST:]
    places = facts.establishments if facts.full else last.establishments if last else frozenset()
    return SourceRecord(facts.source, facts.digest, day, facts.rows, facts.people, past, places)


def _past(facts: FeedFacts, *, accepted: bool) -> PastFeed:
    filled = {name: values for name, (values, _) in facts.columns.items() if name != ROW}
    values = {column: _frequent(counts) for column, counts in facts.values.items()}
    forms = {
        column: {
            form: round(1000 * number / sum(counts.values())) for form, number in _frequent(counts).items()
        }
        for column, counts in facts.forms.items()
        if sum(counts.values()) >= MANY
    }
    return PastFeed(facts.digest, facts.rows, filled, facts.distinct, values, accepted, forms)


def _frequent(counts: Mapping[str, int]) -> dict[str, int]:
    order = sorted(counts.items(), key=lambda count: (-count[1], count[0]))
    return {value: number for value, number in order[:_FREQUENT] if number >= _FREQUENT_ROWS}


def comparable(past: Sequence[PastFeed], undone: Collection[str]) -> tuple[PastFeed, ...]:
    """The feeds to compare the next one with: not those whose run was undone, nor those before the last one
    accepted by hand."""
    usable = [feed for feed in past if feed.digest not in undone and feed.rows]
    first = max((index for index, feed in enumerate(usable) if feed.accepted), default=0)
    return tuple(usable[first:])


LEADING_ZEROS = "leading-zeros"
"""The code of a row whose matricule differs from a known one only by leading zeros, and of a feed with such
rows, from MOST_ZEROS rows or a share of ZEROS_SHARE on."""
MOST_ZEROS, ZEROS_SHARE = 3, 0.01

LIMIT_CODES: Mapping[str, Phrase] = {
    "older": Phrase("older than the last file"),
    LEADING_ZEROS: Phrase("matricules without their zeros"),
    "bad-column": Phrase("too many wrong values in a column"),
    "few-known": Phrase("too few known people"),
    "size": Phrase("far larger or smaller than the last file"),
    "changed-column": Phrase("a column unlike that of the last files"),
    "held": Phrase("too many people held"),
    "undone": Phrase("undone before"),
    "missing-delta": Phrase("a delta before it is missing"),
    "doubled-delta": Phrase("another set of its day was applied"),
    "order-unknown": Phrase("undated, like another one of its establishment"),
}
"""The code of each limit, and what it says of a file that it refuses."""

VARIED = 3
"""A coded column varies in a feed if this many rows have another value than its most common one."""

DISTINCT = 10
"""Any other column varies if it has this many distinct values."""

MANY = 20
"""The forms of a column are compared if this many distinct values were seen."""

WARNING, WARNING_PAST = 0.25, 3
"""A column that differs by this share of the limit gets a warning, once there are WARNING_PAST feeds."""

LEFT = 0.1
"""A column no longer varies if less than this share of those rows or values is left."""

SAMPLE = 3
"""How many examples of what is wrong a message has."""
BACK = Phrase("HR: send the file of today; administrator: or accept it, to go back to its data")
_EXPORT = Phrase("HR: export the file again")
_ASK = Phrase("HR: send a correct file; administrator: or, if this one is correct, accept it")


def limits_on(source: SourceSettings, day: date) -> SourceLimits:
    """The limits of the first period of the year that covers `day`, else the ordinary ones."""
    covering = (p.limits for p in source.periods if in_period(day, p.first, p.last))
    return next(covering, source.limits)


def feed_refusals(
    facts: FeedFacts,
    last: SourceRecord | None,
    known: int,
    still: int,
    source: SourceSettings,
    as_of: date,
    gone: Sequence[str] = (),
) -> list[Refusal]:
    """Every limit of the source that the feed exceeds on `as_of`, as (code, message).

    `known` is the number of matricules that the directory has from this source, `still` of those of them
    that the feed names, `gone` some that it does not. The feed that was applied last is never refused, and a
    feed without a date is never too old. Callers skip feeds accepted by hand."""
    if last is not None and facts.digest == last.digest:
        return []
    limits = limits_on(source, as_of)
    refusals = [*_older(facts, last), *_bad_columns(facts, limits)]
    if facts.full:
        refusals += _few_known(known, still, gone, limits)
        if not facts.part:  # the last one may be of other establishments
            refusals += _size(facts, last, limits)
            limit = Phrase(
                " (limit: {share} of the rows apart, from {floor})",
                share=_percent(limits.column_share),
                floor=limits.column_floor,
            )
            changed = _changed_columns(facts, last.past if last else (), limits, limit)
            refusals += [
                ("changed-column", Phrase("column {column}: {message}", column=name, message=message))
                for name, message in changed.items()
            ]
            if changed and facts.not_read:  # one of them may have got another name
                code, message = refusals[-1]
                names = Phrase("columns not read: {names}", names=facts.not_read)
                refusals[-1] = code, joined([message, names], "{first};\n  {second}")
    return [
        (code, joined([message, _step(code, facts)], "{first};\n  {second}"))
        if code != "older"
        else (code, message)
        for code, message in refusals
    ]


def _step(code: str, facts: FeedFacts) -> str:
    """What to do about a feed that a limit refuses; one with the month first is never correct."""
    return _EXPORT if code == "bad-column" and facts.month_first else _ASK


def zeros_refusal(facts: FeedFacts, last: SourceRecord | None, messages: Mapping[int, str]) -> Refusal | None:
    """(code, message) if a spreadsheet took or added leading zeros in too many rows of a feed; `messages` are
    by line. The feed that was applied last is not refused."""
    rows = len(messages)
    if not rows or (last is not None and facts.digest == last.digest):
        return None
    if rows < MOST_ZEROS and rows < ZEROS_SHARE * facts.rows:
        return None
    message = Phrase(
        "{rows} of its {all} rows have a matricule that differs from a known one only by leading zeros "
        "(limit: {most}, or {share} of the rows)",
        rows=rows,
        all=facts.rows,
        most=MOST_ZEROS,
        share=_percent(ZEROS_SHARE),
    )
    samples = {line: problem_and_step(messages[line]) for line in sorted(messages)[:SAMPLE]}
    wrong = (Phrase("line {line}: {problem}", line=line, problem=what) for line, (what, _) in samples.items())
    _, ask = next(iter(samples.values()))
    then = Phrase("administrator: or accept it, to hold these people and apply the other rows")
    return LEADING_ZEROS, joined(
        [joined([message, *wrong], "{first}\n  {second}"), ask, then], "{first};\n  {second}"
    )


def problem_and_step(message: str) -> tuple[str, str]:
    """What is wrong, and the next step, of the message of a rejection; "" if it is in one with the first."""
    values = message.values if isinstance(message, Phrase) else {}
    return str(values.get("problem", message)), str(values.get("advice", ""))


def order_refusals(
    facts: FeedFacts, applied: Collection[str], days: int, weekdays: Collection[str] = WEEKDAYS
) -> list[Refusal]:
    """Why a delta does not follow the sets of its kind whose digests were `applied`. It may come at most
    `days` after one of them; only `weekdays` count."""
    basis = facts.basis
    if basis is None:
        return []
    if facts.later.intersection(applied):
        message = Phrase(
            "a set of its day, or a later one, has been applied: remove it, or feed the next complete set.\n"
            "If it has to count, accept it"
        )
        return [("doubled-delta", message)]
    if basis.digest not in applied:
        message = Phrase("it changes the set of {day}, which has not been applied", day=basis.day)
    elif (late := _days_of(basis, weekdays)) > days:
        message = Phrase(
            "it comes {late} days after the set of {day} (limit: {days}, `delta_days`)",
            late=late,
            day=basis.day,
            days=days,
        )
    else:
        return []
    message = Phrase(
        "{problem}; feed the deltas after the set of {day} first, or the next complete set.\n"
        "If none is missing, accept it",
        problem=message,
        day=basis.day,
    )
    return [("missing-delta", message)]


def _days_of(basis: DeltaBasis, weekdays: Collection[str]) -> int:
    first = basis.day.toordinal() + 1
    days = range(first, first + basis.days)
    return sum(WEEKDAYS[date.fromordinal(day).weekday()] in weekdays for day in days)


def part_refusals(
    facts: FeedFacts, last: PartRecord, others: Mapping[str, str] = MappingProxyType({})
) -> list[Refusal]:
    """Why a complete set of some establishments is not later than the `last` one of its kind. `others` are
    the undated sets of that kind in this run that were not applied before, file by digest."""
    if facts.basis is not None:
        return []
    newest = last.digests[-1] if last.digests else ""
    new = sorted({file for digest, file in others.items() if digest != facts.digest})
    if facts.date and last.day and facts.date != last.day:
        if facts.date > last.day:
            return []
        message = Phrase(
            "it is dated {day}, but one dated {last} of the same establishments has been applied",
            day=facts.date,
            last=last.day,
        )
        return [("older", joined([message, BACK], "{first};\n  {second}"))]
    if facts.digest in last.digests:
        if facts.digest == newest and not new:
            return []
        newer = new[0] if new else Phrase("a later one of its establishments")
        message = Phrase("this file was applied before, and {newer} is newer", newer=newer)
        return [("older", joined([message, BACK], "{first};\n  {second}"))]
    if facts.digest in others and new:
        message = Phrase(
            "{file} is of the same establishment and year, and neither has a date in its name;\n"
            "  remove the older one, or add the date of the export to both names (..._AAAAMMJJ.xml).\n"
            "If it has to count, accept it",
            file=new[0],
        )
        return [("order-unknown", message)]
    return []


def held_refusal(
    facts: FeedFacts, holds: Mapping[str, str], source: SourceSettings, as_of: date
) -> Refusal | None:
    """(code, message) if too many people of a feed are held, by its rows or by their accounts; else None.
    `holds` says why, by matricule."""
    limits = limits_on(source, as_of)
    if not _exceeds(len(holds), limits.held_share * facts.people, limits.held_floor):
        return None
    sample = (joined(hold, "{first}: {second}") for hold in list(holds.items())[:SAMPLE])
    message = Phrase(
        "{held} of its {people} people are held {limit}; often a column, such as matricule, is a row too far "
        "down",
        held=len(holds),
        people=facts.people,
        limit=_limit(limits.held_share, limits.held_floor),
    )
    return "held", joined([joined([message, *sample], "{first}\n  {second}"), _ASK], "{first};\n  {second}")


def _older(facts: FeedFacts, last: SourceRecord | None) -> Iterator[Refusal]:
    if not facts.part and last and last.date and facts.date and facts.date < last.date:
        message = Phrase(
            "it is dated {day}, but one dated {last} has been applied",
            day=facts.date,
            last=last.date,
        )
        yield "older", joined([message, BACK], "{first};\n  {second}")


def _bad_columns(facts: FeedFacts, limits: SourceLimits) -> Iterator[Refusal]:
    limit = _limit(limits.bad_share, limits.bad_floor)
    for column, (values, bad) in facts.columns.items():
        if _exceeds(bad, limits.bad_share * values, limits.bad_floor):
            of = {"bad": bad, "all": values, "limit": limit}
            message = Phrase(
                "{bad} of {all} values of column {column} are wrong {limit}", **of, column=column
            )
            if column == ROW:
                message = Phrase("{bad} of {all} rows cannot be split {limit}", **of)
            yield "bad-column", joined([message, *facts.wrong.get(column, ())], "{first}\n  {second}")


def _few_known(total: int, still: int, gone: Sequence[str], limits: SourceLimits) -> Iterator[Refusal]:
    if total >= max(limits.known_floor, 1) and still < limits.known_share * total:
        message = Phrase(
            "it has only {still} of the {total} matricules known from this source (limit: {share}), "
            "not {gone}",
            still=still,
            total=total,
            share=_percent(limits.known_share),
            gone=", ".join(gone[:SAMPLE]),
        )
        yield "few-known", message


def _size(facts: FeedFacts, last: SourceRecord | None, limits: SourceLimits) -> Iterator[Refusal]:
    if last is None or not last.rows:  # no empty feed is ever applied: 0 means unknown
        return
    apart = abs(facts.rows - last.rows)
    if _exceeds(apart, limits.size_share * last.rows, limits.size_floor):
        limit = _limit(limits.size_share, limits.size_floor)
        values = {"rows": facts.rows, "apart": apart, "before": last.rows, "limit": limit}
        message = Phrase("{rows} rows, {apart} fewer than the {before} of the last one {limit}", **values)
        if facts.rows > last.rows:
            message = Phrase("{rows} rows, {apart} more than the {before} of the last one {limit}", **values)
        yield "size", message


def column_warnings(
    facts: FeedFacts, last: SourceRecord | None, source: SourceSettings, as_of: date
) -> dict[str, str]:
    """How columns of a full feed differ from the last feeds, by column: in blanks, values or forms, by more
    than WARNING of the limit that refuses the feed."""
    if last is None or len(last.past) < WARNING_PAST or not facts.full or facts.digest == last.digest:
        return {}
    limits = limits_on(source, as_of)
    share, floor = WARNING * limits.column_share, max(1, limits.column_floor // 2)
    narrow = replace(limits, column_share=share, column_floor=floor)
    differing = {**_other_forms(facts, last.past, share), **_changed_columns(facts, last.past, narrow)}
    return {
        column: Phrase("{difference}; HR: if nobody meant it, send a correct file", difference=difference)
        for column, difference in differing.items()
    }


def _other_forms(facts: FeedFacts, past: Sequence[PastFeed], share: float) -> dict[str, str]:
    messages: dict[str, str] = {}
    for column, counts in facts.forms.items():
        seen, comparable = sum(counts.values()), [feed for feed in past if column in feed.forms]
        if seen < MANY or not comparable:
            continue
        remembered = [
            (feed.forms[column], 1000, 1000 / (feed.distinct.get(column) or MOST_DISTINCT))
            for feed in comparable
        ]
        apart = []
        for form in sorted({*counts, *(name for feed in comparable for name in feed.forms[column])}):
            now = counts.get(form, 0) / seen
            before, known = _share_before(form, remembered, now)
            if abs(now - before) > share:
                apart.append((now - before, form, now, before, known))
        if apart:
            _, form, now, before, known = max(apart)
            messages[column] = Phrase(
                "form {form} in {share} of its values, {before}",
                form=form,
                share=percent(now),
                before=_before(before, comparable, known=known),
            )
    return messages


_Remembered = tuple[Mapping[str, int], int, float]
"""What a past feed had of each value that it remembers, of how many, and how many of these one row is."""


def _share_before(value: str, remembered: Sequence[_Remembered], now: float) -> tuple[float, bool]:
    """The share that a value had in past feeds, and whether all of them remember it. One that does not had
    fewer rows with it than _FREQUENT_ROWS, or than any value that it remembers: it counts with the share
    nearest to `now` that it may have had, so that a value that stays is no difference."""
    number = 0.0
    for counts, of, row in remembered:
        most = min(counts.values()) if len(counts) == _FREQUENT else (_FREQUENT_ROWS - 1) * row
        number += counts[value] if value in counts else min(now * of, most)
    return number / max(sum(of for _, of, _ in remembered), 1), all(value in c for c, _, _ in remembered)


def _before(share: float, past: Sequence[PastFeed], *, known: bool) -> Phrase:
    values = {"share": percent(share), "feeds": _feeds(past)}
    return Phrase("{share} {feeds}", **values) if known else Phrase("at most {share} {feeds}", **values)


def _changed_columns(
    facts: FeedFacts, past: Sequence[PastFeed], limits: SourceLimits, limit: str = ""
) -> dict[str, str]:
    """Columns that differ from the last feeds: filled in many more or fewer rows, with other values, or no
    longer varied. `limit` states what refuses the feed; without it these are warnings. A value
    that past feeds do not remember is none in a refusal, whose floor is far above it."""
    if not past or not facts.rows:
        return {}
    messages: dict[str, str] = {}
    for column, (filled, _) in facts.columns.items():
        comparable = [feed for feed in past if column in feed.filled]
        before = _share(comparable, [feed.filled[column] for feed in comparable])
        if comparable and _apart(filled, before, facts.rows, limits):
            absent = not filled and column not in facts.distinct and column not in COUNTED
            messages[column] = Phrase(
                "{value} in {now}, {before}{limit}",
                value=Phrase("a value"),
                now=Phrase("no row, for the column is missing") if absent else _of(filled, facts.rows),
                before=_before(before, comparable, known=True),
                limit=limit,
            )
    for column, counts in facts.values.items():
        comparable = [feed for feed in past if column in feed.values]
        frequent = {value for feed in comparable for value in feed.values[column]}
        remembered = [(feed.values[column], feed.rows, 1.0) for feed in comparable]
        apart = []
        for value in sorted({*counts, *frequent}) if comparable else ():
            share = counts.get(value, 0) / facts.rows
            before, known = _share_before(value, remembered, 0 if limit else share)
            if _apart(counts.get(value, 0), before, facts.rows, limits):
                apart.append((share - before, value, before, known or bool(limit)))
        if apart:  # name the value that grew most, it says more than one that is missing
            _, value, before, known = max(apart)
            grown = Phrase(
                "{value} in {now}, {before}{limit}",
                value=value or Phrase("blank"),
                now=_of(counts.get(value, 0), facts.rows),
                before=_before(before, comparable, known=known),
                limit=limit,
            )
            messages.setdefault(column, grown)
    for column, message in _unvaried(facts, past, limits):
        messages.setdefault(column, message)
    return messages


def _unvaried(facts: FeedFacts, past: Sequence[PastFeed], limits: SourceLimits) -> Iterator[tuple[str, str]]:
    """The columns that varied and now have nearly one value. Small feeds are skipped, because there it may be
    chance."""
    if past[-1].rows < limits.column_floor:
        return
    for column, counts in facts.values.items():
        comparable = [feed for feed in past if column in feed.values]
        varying = [feed.rows - max(feed.values[column].values(), default=0) for feed in comparable]
        least = VARIED if column in CODED else limits.column_floor
        if not comparable or sum(varying) < least * len(comparable):
            continue
        rows = sum(feed.rows for feed in comparable)
        common = max(counts, key=lambda value: counts[value])
        now = facts.rows - counts[common]
        if now < LEFT * sum(varying) * facts.rows / rows:
            message = Phrase(
                "{value} in {now}, another value in {share} {feeds}",
                value=common or Phrase("blank"),
                now=_of(counts[common], facts.rows),
                share=percent(sum(varying) / rows),
                feeds=_feeds(comparable),
            )
            yield column, message
    for column, values in facts.distinct.items():
        comparable = [feed for feed in past if column in feed.distinct and column not in feed.values]
        before = sum(feed.distinct[column] for feed in comparable) / max(len(comparable), 1)
        if before >= DISTINCT and values <= LEFT * before:
            message = Phrase(
                "{values} distinct values, {before} {feeds}",
                values=values,
                before=f"{before:.0f}",
                feeds=_feeds(comparable),
            )
            yield column, message


def _share(past: Sequence[PastFeed], rows: Sequence[int]) -> float:
    return sum(rows) / max(sum(feed.rows for feed in past), 1)


def _apart(now: int, before: float, rows: int, limits: SourceLimits) -> bool:
    return _exceeds(abs(now - before * rows), limits.column_share * rows, limits.column_floor)


def _exceeds(number: float, most: float, floor: int) -> bool:
    return number >= max(floor, 1) and number > most


def _limit(share: float, floor: int) -> Phrase:
    return Phrase("(limit: {share}, from {floor})", share=_percent(share), floor=floor)


def _of(some: int, rows: int) -> Phrase:
    return Phrase("{some} of {rows} rows ({share})", some=some, rows=rows, share=percent(some / rows))


def _feeds(past: Sequence[PastFeed]) -> Phrase:
    if len(past) == 1:
        return Phrase("in the last feed")
    return Phrase("in the last {number} feeds", number=len(past))


def _percent(share: float) -> str:
    return f"{share * 100:g} %"
