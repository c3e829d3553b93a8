"""Validates a feed line: it becomes the values of a row, or every fault of it (see `value_checks`)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from piactl.core.model.person import qualified
from piactl.core.model.settings import SourceSettings
from piactl.core.plan.check_feed_limits import COUNTED, MOST_DISTINCT
from piactl.feed.encoding import CODECS, undecodable
from piactl.feed.header import (
    BLANKS,
    COLUMNS,
    REQUIRED,
    SUSPECT,
    ColumnLayout,
    StrayQuote,
    UnclosedQuote,
    split_record,
    text_fault,
    unquote_cells,
)
from piactl.feed.value_checks import Check, Fault, check_matricule, column_checks
from piactl.phrase import Phrase

Row = list[Any]
"""The values of one row in the order of COLUMNS: text ("" means none), a date or None, a Numen or None."""

_MEMO = 50_000
_Pattern = tuple[tuple[int, ...], tuple[str, ...]]
"""What is counted of a row: 1 for each column with a value, and the values of the counted columns."""

_UNIQUE = frozenset({"matricule", "numen", "courriel_prive"})
NONE_WHEN_BLANK = frozenset({"numen", "date_naissance", "debut", "fin"})
_AT_MATRICULE, _AT_USAGE, _AT_FAMILY, _AT_BIRTH, _AT_UAI, _AT_START, _AT_END = (
    COLUMNS.index(c)
    for c in ("matricule", "nom_usage", "nom_famille", "date_naissance", "uai", "debut", "fin")
)
_COUNTED = tuple(COLUMNS.index(c) for c in COUNTED)
_LEAST_AGE = 14
"""The age on the first day of a post; apprentices can be 15."""
MOST_PLACES = 20_000
"""The establishments of a file are counted up to this number."""

PRUNE = 2048
"""The number of lines, a power of two, after which columns with many distinct values are dropped from
counting."""


_DIGITS, _LETTERS = re.compile("[0-9]+"), re.compile("[^\\W\\d_]+")


def form(text: str) -> str:
    """The form of a value: `9` for digits, `a` for letters, the rest as it is: `9/9/9` for 01/09/2026."""
    return _DIGITS.sub("9", _LETTERS.sub("a", text))


@dataclass(slots=True)
class BrokenRow:
    """A row that cannot be used. `faults` are (column, fault); `attributed`: the matricule is certain.

    An uncertain matricule (the fields of the row are shifted) still holds its person. `values` are those that
    could be read, None for those with a fault; empty if the row could not be split.
    """

    matricule: str | None
    attributed: bool
    faults: list[tuple[str, Fault]]
    values: Row = field(default_factory=list)


class FieldTooLong(Exception):
    """A field is longer than the source allows."""


@dataclass(slots=True)
class Column:
    """Converts the raw text of one column into a value. Results are cached, because most values repeat."""

    name: str
    place: int
    check: Check
    table: Mapping[str, str]
    constant: str = ""
    memo: dict[str, tuple[Any, Fault | None, int]] = field(default_factory=dict)

    def cell(self, raw: str) -> tuple[Any, Fault | None, int]:
        """(value, fault, 1 if it counts as a value). Blank and `X` mean no value, also after mapping."""
        text = raw.strip(BLANKS)
        text = self.table.get(text, text).strip(BLANKS)
        result: tuple[Any, Fault | None, int]
        if text not in ("", "X"):
            result = (*self.check(text), 1)
        elif self.name in REQUIRED:
            result = (None, ("missing-value", Phrase("{column} is blank", column=self.name)), 1)
        else:
            result = (None if self.name in NONE_WHEN_BLANK else "", None, 0)
        if self.name not in _UNIQUE and len(self.memo) < _MEMO:
            self.memo[raw] = result
        return result


@dataclass(slots=True)
class Faults:
    """What the rows that were read show of the whole file: the bad values of each column, and the rows that
    cannot be split, decoded, or were damaged by a wrong change of encoding."""

    bad: list[int] = field(default_factory=lambda: [0] * len(COLUMNS))
    misshapen: int = 0
    damaged: int = 0
    undecodable: int = 0


class RowValidator:
    """Validates the rows of one feed and counts their faults; counts the values of each column."""

    def __init__(self, layout: ColumnLayout, source: SourceSettings) -> None:
        self.layout = layout
        self.faults = Faults()
        self._codec = CODECS[source.encoding]
        self._undecodable = partial(undecodable, configured=source.encoding)
        self._longest = source.limits.max_field
        self._namespace = source.namespace
        checks = column_checks(source.date_formats, source.namespace)
        self.columns = [
            Column(
                name,
                layout.places.get(name, -1),
                checks[name],
                {} if name in source.constants else source.values.get(name, {}),
                source.constants.get(name, ""),
            )
            for name in COLUMNS
        ]
        self._plan = [(i, c.place, c.constant, c.memo, c.cell) for i, c in enumerate(self.columns)]
        self._used = set(layout.places.values())
        mattering = [c.place for i, c in enumerate(self.columns) if i in _COUNTED or c.table]
        self._mattering = [place for place in mattering if place >= 0]
        own = [(name, place) for name, place in layout.places.items() if name not in COUNTED]
        self._distinct: dict[str, set[str]] = {name: set() for name, _ in own}
        self._watched = [(self._distinct[name].add, name, place) for name, place in own]
        self._lines = 0
        self._patterns: Counter[_Pattern] = Counter()
        self._pattern_of: dict[tuple[tuple[bool, ...], tuple[str, ...]], _Pattern] = {}
        """By which fields are blank, and what is in those of which the value matters."""

    def read(self, raw: bytes) -> Row | BrokenRow:
        """Parses a line without its end. Raises UnclosedQuote or FieldTooLong, which refuse the feed."""
        if self.layout.is_rejects:
            raw = unquote_cells(raw, self.layout.delimiter)
        try:
            text = raw.decode(self._codec)
        except UnicodeDecodeError:
            return self._read_undecodable(raw)
        delimiter = self.layout.delimiter
        if raw.isascii():
            clean = (text.replace("\t", "") if delimiter == "\t" else text).isprintable()
        else:
            clean = SUSPECT.search(text) is None
        try:
            fields = text.split(delimiter) if '"' not in text else split_record(text, delimiter)
        except StrayQuote:
            return self._shapeless(text.split(delimiter), "bad-quoting", "")
        if len(text) > self._longest and any(len(f) > self._longest for f in fields):
            raise FieldTooLong
        if len(fields) != self.layout.width:
            return self._wrong_width(fields)
        if not any(field.strip(BLANKS) for field in fields):
            return self._shapeless(fields, "empty-row", "")
        return self._read_fields(fields, {} if clean else self._damage(fields))

    def count(self, raw: bytes) -> str:
        """Counts the values of a line, if it can be split. Returns the matricule that `read` finds in it, ""
        for none; raises nothing."""
        delimiter = self.layout.delimiter
        if self.layout.is_rejects:
            raw = unquote_cells(raw, delimiter)
        try:
            text = raw.decode(self._codec)
        except UnicodeDecodeError:
            text = raw.decode("latin-1")
        try:
            fields = text.split(delimiter) if '"' not in text else split_record(text, delimiter)
        except (StrayQuote, UnclosedQuote):
            return self._guess(text.split(delimiter)) or ""
        if len(fields) != self.layout.width:
            return self._guess(fields) or ""
        key = self.columns[_AT_MATRICULE]
        owner: str = key.cell(fields[key.place] if key.place >= 0 else key.constant)[0] or ""
        if not owner and not any(field.strip(BLANKS) for field in fields):
            return ""
        for add, _, place in self._watched:
            add(fields[place])
        self._lines += 1
        if not self._lines % PRUNE:
            self._watched = [column for column in self._watched if self._is_sampled(column[1])]
        blank = tuple([field.strip(BLANKS) in ("", "X") for field in fields])
        shape = blank, tuple([fields[place] for place in self._mattering])
        pattern = self._pattern_of.get(shape)
        if pattern is None:
            pattern = self._pattern_of[shape] = self._pattern(fields)
        self._patterns[pattern] += 1
        return owner

    def _is_sampled(self, column: str) -> bool:
        """Whether the values of a column are still sampled: it has few distinct ones so far."""
        return len(self._distinct[column]) < (MOST_PLACES if column == "uai" else MOST_DISTINCT) + 2

    def _pattern(self, fields: Sequence[str]) -> _Pattern:
        cells = [
            memo.get(raw) or cell(raw)
            for _, place, constant, memo, cell in self._plan
            for raw in [fields[place] if place >= 0 else constant]
        ]
        return tuple([counts for _, _, counts in cells]), tuple([cells[i][0] or "" for i in _COUNTED])

    def statistics(self) -> dict[str, Any]:
        """The fields of FeedFacts about the values of columns; `columns` without bad values."""
        filled = [0] * len(COLUMNS)
        counts: dict[str, Counter[str]] = {name: Counter() for name in COUNTED}
        for (having, counted), rows in self._patterns.items():
            for i, counts_as_one in enumerate(having):
                filled[i] += rows * counts_as_one
            for name, value in zip(COUNTED, counted, strict=True):
                counts[name][value] += rows
        seen = {name: values - {"", "X"} for name, values in self._distinct.items()}
        cell = self.columns[_AT_UAI].cell
        return {
            "columns": {name: (number, 0) for name, number in zip(COLUMNS, filled, strict=True)},
            "values": {name: dict(column) for name, column in counts.items()},
            "distinct": {name: min(len(values), MOST_DISTINCT) for name, values in seen.items()},
            "forms": {name: dict(Counter(map(form, values))) for name, values in seen.items()},
            "establishments": frozenset(uai for raw in seen.get("uai", ()) if (uai := cell(raw)[0])),
        }

    def _read_fields(self, fields: Sequence[str], damage: Mapping[int, Fault]) -> Row | BrokenRow:
        row: Row = []
        faults: list[tuple[str, Fault]] = []
        for i, place, constant, memo, cell in self._plan:
            raw = fields[place] if place >= 0 else constant
            value, fault, _ = memo.get(raw) or cell(raw)
            if damage and place in damage:
                fault, value = damage[place], None
            if fault is not None:
                faults.append((COLUMNS[i], fault))
                self.faults.bad[i] += 1
            row.append(value)
        if damage:
            unread = (place for place in damage if place not in self._used)
            faults += [(self.layout.names[place], damage[place]) for place in unread]
        faults += self._between(row)
        if row[_AT_USAGE] == row[_AT_FAMILY]:
            row[_AT_USAGE] = ""
        if faults:
            matricule = row[_AT_MATRICULE]
            return BrokenRow(matricule, matricule is not None, faults, row)
        return row

    def _between(self, row: Row) -> list[tuple[str, Fault]]:
        """Faults between values of a row: end before start, birth after start or just before it."""
        start, end, birth = row[_AT_START], row[_AT_END], row[_AT_BIRTH]
        if start is None:
            return []
        faults: list[tuple[str, Fault]] = []
        if end is not None and end < start:
            self.faults.bad[_AT_END] += 1
            detail = Phrase("fin {end} is before debut {start}", end=end, start=start)
            faults.append(("fin", ("end-before-start", detail)))
        if birth is not None and birth >= start:
            self.faults.bad[_AT_BIRTH] += 1
            detail = Phrase("date_naissance is not before debut")
            faults.append(("date_naissance", ("birth-after-start", detail)))
        elif birth is not None and (
            (age := start.year - birth.year - ((start.month, start.day) < (birth.month, birth.day)))
            < _LEAST_AGE
        ):
            self.faults.bad[_AT_BIRTH] += 1
            detail = Phrase(
                "date_naissance {birth} makes a person of {age} on debut {start}: expected at least {least}",
                birth=birth,
                age=age,
                start=start,
                least=_LEAST_AGE,
            )
            faults.append(("date_naissance", ("too-young", detail)))
        return faults

    def _damage(self, fields: Sequence[str]) -> dict[int, Fault]:
        """Damaged fields by index; in unused columns only control characters count."""
        faults = {}
        for place, text in enumerate(fields):
            fault = text_fault(text)
            if fault is not None and (place in self._used or fault[0] == "control-character"):
                faults[place] = fault
        self.faults.damaged += any(code == "damaged-text" for code, _ in faults.values())
        return faults

    def _read_undecodable(self, raw: bytes) -> BrokenRow:
        self.faults.undecodable += 1
        delimiter = self.layout.delimiter
        # ISO-8859-1 maps every byte to itself, so the line can be split before its fields are decoded.
        latin = raw.decode("latin-1")
        try:
            parts = split_record(latin, delimiter)
        except StrayQuote:
            return self._shapeless(latin.split(delimiter), "undecodable", self._undecodable(raw))
        if any(len(part) > self._longest for part in parts):
            raise FieldTooLong
        if len(parts) != self.layout.width:
            return self._shapeless(parts, "undecodable", self._undecodable(raw))
        fields, damage = [], {}
        for place, part in enumerate(parts):
            try:
                fields.append(part.encode("latin-1").decode(self._codec))
            except UnicodeDecodeError:
                fields.append("")
                damage[place] = ("undecodable", self._undecodable(part.encode("latin-1")))
        row = self._read_fields(fields, damage)
        if isinstance(row, BrokenRow):
            return row
        fault = ("undecodable", self._undecodable(raw))
        return BrokenRow(row[_AT_MATRICULE], attributed=True, faults=[("", fault)])

    def _wrong_width(self, fields: Sequence[str]) -> BrokenRow:
        if not any(field.strip(BLANKS) for field in fields):
            return self._shapeless(fields, "empty-row", "")
        code = "too-few-fields" if len(fields) < self.layout.width else "too-many-fields"
        detail = Phrase(
            "the row has {fields} fields, the header {width}", fields=len(fields), width=self.layout.width
        )
        return self._shapeless(fields, code, detail)

    def _shapeless(self, fields: Sequence[str], code: str, detail: str) -> BrokenRow:
        """A row whose fields may be shifted. It holds the person of the probable matricule."""
        self.faults.misshapen += 1
        return BrokenRow(self._guess(fields), attributed=False, faults=[("", (code, detail))])

    def _guess(self, fields: Sequence[str]) -> str | None:
        place = self.layout.places.get("matricule", -1)
        guess = fields[place].strip(BLANKS + '"') if 0 <= place < len(fields) else ""
        return (
            qualified(self._namespace, guess) if guess != "X" and check_matricule(guess)[1] is None else None
        )


def without_end(raw: bytes) -> bytes:
    """A line without its end."""
    return raw.removesuffix(b"\r\n").removesuffix(b"\n")
