"""Reads a feed file in one pass, line by line.

`read_feed` makes people of all its rows. `scan_feed` puts the rows into a table, as a night does: of most
people it needs no more than the digest of their rows.
"""

from __future__ import annotations

import gc
import hashlib
import os
import re
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import NoReturn, TypeVar

from piactl.core.model.person import Person
from piactl.core.model.settings import SourceSettings
from piactl.core.plan.feed_limits import ROW, FeedFacts
from piactl.errors import FeedRefused
from piactl.feed.csv_row_validator import BrokenRow, FieldTooLong, Row, RowValidator, Sample, without_end
from piactl.feed.error_codes import Refusal, refusal, refused
from piactl.feed.feed import (
    Feed,
    Remark,
    date_remarks,
    first_faults,
    layout_remarks,
    row_remarks,
    set_remarks,
)
from piactl.feed.feed_file import OpenFeed, digest_of_feed, is_trailer, longest_line, open_feed
from piactl.feed.file_date import file_date
from piactl.feed.header import (
    CODECS,
    COLUMNS,
    ColumnLayout,
    UnclosedQuote,
    is_wholesale,
    likely_encoding,
    read_layout,
)
from piactl.feed.other_files import HEAD, other_header, other_kind
from piactl.feed.people_builder import PeopleBuilder
from piactl.feed.row_table import RowTable
from piactl.phrase import Phrase

T = TypeVar("T")

_TAIL = 4_096
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_COUNT = re.compile(r"[0-9]{1,12}")
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


@dataclass(frozen=True, slots=True)
class Trailer:
    """The last line of a feed, `#FIN;rows=N;date=AAAA-MM-JJ` with an optional `;sha256=HEX`.

    `sha256` is the digest of all bytes before the line, in lower case, or "".
    """

    rows: int
    date: date
    sha256: str = ""


def last_line(path: Path) -> bytes:
    """The last line of a file, b"" if it cannot be read."""
    try:
        with path.open("rb") as stream:
            end = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, end - _TAIL))
            return (stream.read().rstrip().splitlines() or [b""])[-1]
    except OSError:
        return b""


def read_trailer(raw: bytes) -> Trailer | None:
    """The trailer in a line, or None if it is cut or wrong.

    `rows` and `date` are both required, so that a cut trailer is never read as one with another count. Empty
    parts at its end are ignored, because spreadsheets pad rows.
    """
    try:
        parts = raw.decode("ascii").strip().split(";")
    except UnicodeDecodeError:
        return None
    while parts and not parts[-1].strip():
        parts.pop()
    values: dict[str, str] = {}
    for part in parts[1:]:
        name, sign, value = part.partition("=")
        name = name.strip().lower()
        if not sign or name in values:
            return None
        values[name] = value.strip()
    if not parts or parts[0].strip().upper() != "#FIN" or not {"rows", "date"} <= values.keys():
        return None
    if not values.keys() <= {"rows", "date", "sha256"}:
        return None
    return _trailer(values["rows"], values["date"], values.get("sha256"))


def _trailer(rows: str, day: str, sha256: str | None) -> Trailer | None:
    if not _COUNT.fullmatch(rows) or not _DAY.fullmatch(day):
        return None
    if sha256 is not None and not _SHA256.fullmatch(sha256):
        return None
    try:
        return Trailer(int(rows), date.fromisoformat(day), (sha256 or "").lower())
    except ValueError:
        return None


_BOM = b"\xef\xbb\xbf"
_WIDE_BOMS = (b"\xff\xfe", b"\xfe\xff")
_WIDE = 3
"""A line of which one byte in so many is zero is UTF-16: every second is, in text of ASCII letters."""
_SAMPLE = 65_536
_MOSTLY = 50_000


class FeedReader:
    """Reads one feed from an open file. Call `feed()` or `scan()` once."""

    def __init__(self, path: Path, opened: OpenFeed) -> None:
        self.path, self.source, self.stream = path, opened.source, opened.stream
        self.written, self._digest_of_set = opened.written, opened.digest
        self.refusals: list[tuple[str, str]] = []
        self.builder = self.new_builder()
        self.digest = hashlib.sha256()
        self.header = b""
        self.layout: ColumnLayout | None = None
        self.rows: RowValidator | None = None
        self.trailer: Trailer | None = None
        self.trailer_line = 0
        self.lines = 1
        self.second_header = 0
        self.ended = True
        self.count = 0
        self.broken = 0
        self.not_ascii = 0
        self.damaged_text = b""
        self.longest = longest_line(self.source)

    def new_builder(self) -> PeopleBuilder:
        """What makes people of rows of this feed."""
        place = self.written.place if self.written else None
        return PeopleBuilder(self.path.name, self.source.name, place, supplement=self.source.supplement)

    def feed(self) -> Feed:
        """The feed. Raises FeedRefused with every reason found, or OSError."""
        self.read_header()
        for line, raw in self._raw_rows():
            row = self.read_row(raw, line)
            if row is None:
                continue
            if isinstance(row, BrokenRow):
                self.builder.add_broken(row, line)
            else:
                self.builder.add(row, line)
        self.check_complete()
        builder, rows = self.builder, self.rows
        sample = rows.sample() if rows else Sample()
        lines = builder.finish()
        people = len(builder.people) + len(builder.held)
        facts = self.facts(people, builder.unattributed, sample, first_faults(builder.rejections))
        return self.feed_of(builder, facts, self._raw_lines({*lines}))

    def _raw_lines(self, lines: Container[int]) -> dict[int, bytes]:
        if not lines:
            return {}
        self.stream.seek(0)
        return {line: raw for line, raw in enumerate(self.stream, 1) if line in lines}

    def feed_of(self, builder: PeopleBuilder, facts: FeedFacts, raw_lines: Mapping[int, bytes]) -> Feed:
        """The feed with what a finished builder has made of some or all of its rows."""
        return Feed(
            facts=facts,
            people=builder.people,
            rejections=tuple(builder.rejections),
            held=builder.held,
            unread=builder.unread,
            unusable=builder.unusable,
            remarks=tuple(self.remarks(builder.duplicates, builder.unusual_numens)),
            delimiter=self.layout.delimiter if self.layout else "",
            encoding=self.source.encoding,
            is_rejects=self.layout is not None and self.layout.is_rejects,
            header=self.header,
            raw_lines=raw_lines,
            written=self.written,
            duplicates=builder.duplicates,
            unusual_numens=builder.unusual_numens,
            remarked=frozenset(builder.remarked),
            columns=frozenset(self.layout.places if self.layout else ()) | frozenset(self.source.constants),
        )

    def scan(self, start: hashlib.blake2b) -> Iterator[tuple[int, str, int, int, bytes]]:
        """Line, owner ("" for none), digest, number of the pattern and bytes of each row. Digests begin as
        `start`. Raises FeedRefused if the file cannot be read to its end."""
        rows = self.rows
        for line, raw in self._raw_rows():
            if rows is None:  # the header is refused
                continue
            bare = without_end(raw)
            owner, pattern, fields = rows.owner(bare)
            if fields:
                rows.watch(fields)
            digest = start.copy()
            digest.update(bare)
            yield line, owner, int.from_bytes(digest.digest(), "little"), pattern, raw

    def _refuse(self, code: str, detail: str = "") -> None:
        self.refusals.append(refusal(code, detail))

    def _stop(self, code: str, detail: str = "") -> NoReturn:
        """Raises FeedRefused with this reason and all found so far."""
        self._stop_with(refusal(code, detail))

    def _stop_with(self, reason: Refusal) -> NoReturn:
        self.refusals.append(reason)
        raise FeedRefused(str(self.path), self.refusals, self.source.name, self.count)

    def read_header(self) -> None:
        head = self.stream.peek(HEAD)[:HEAD]
        raw = self.stream.readline(self.longest + 1)
        self.digest.update(raw)
        self.header = raw
        if not raw:
            self._stop("empty")
        kind = other_kind(head)
        if kind is not None:
            self._stop_with(kind)
        if raw.startswith(_WIDE_BOMS) or _WIDE * raw.count(b"\0") > len(raw):
            detail = Phrase("{encoding} is expected, but the file is UTF-16", encoding=self.source.encoding)
            self._stop_with(refusal("wrong-encoding", detail, Phrase("save it as CSV UTF-8")))
        if b"\r" in without_end(raw):
            self._stop("cr-only")
        has_bom = raw.startswith(_BOM)
        bare = raw[3:] if has_bom else raw
        if has_bom and not bare and not self.stream.peek(1):
            self._stop("bom-only")
        self._check_end(raw, 1)
        if has_bom and self.source.encoding != "utf-8":
            encoding = self.source.encoding
            detail = Phrase("{encoding} is expected, but the file starts like UTF-8", encoding=encoding)
            self._refuse("wrong-encoding", detail)
        if not bare.strip() or is_trailer(bare):
            self._stop("empty", Phrase("the file has no header: the first line is blank or a #FIN line"))
        try:
            header = without_end(bare).decode(CODECS[self.source.encoding])
        except UnicodeDecodeError:
            detail = Phrase(
                "{encoding} is expected, but the header looks like {instead}",
                encoding=self.source.encoding,
                instead=likely_encoding(bare, self.source.encoding),
            )
            self._stop("wrong-encoding", detail)
        self.layout, refusals = read_layout(header, self.source)
        if any(code == "missing-column" for code, _ in refusals):
            explanation = other_header(head, header, self.source)
            if explanation is not None:
                self._stop_with(explanation)
        self.refusals += refusals
        if self.layout is not None:
            self.rows = RowValidator(self.layout, self.source)
            for column in self.rows.columns:
                fault = column.cell(column.constant)[1] if column.name in self.source.constants else None
                if fault is not None:
                    detail = Phrase("constant {column}: {fault}", column=column.name, fault=fault[1])
                    self._refuse("bad-constant", detail)

    def _check_end(self, raw: bytes, line: int) -> None:
        self.ended = raw.endswith(b"\n")
        if not self.ended and len(raw) > self.longest:
            detail = Phrase("line {line} is longer than {most} bytes", line=line, most=self.longest)
            self._stop("line-too-long", detail)

    def _raw_rows(self) -> Iterator[tuple[int, bytes]]:
        """The number and the bytes of each line after the header and before the #FIN line."""
        readline, digest, longest = self.stream.readline, self.digest.update, self.longest + 1
        while raw := readline(longest):
            self.lines += 1
            self.not_ascii += not raw.isascii()
            if not raw.endswith(b"\n"):
                self._check_end(raw, self.lines)
            if raw[:1] == b"#" and not self.trailer_line and is_trailer(raw):
                self._read_trailer(raw, self.lines)
            elif not self.trailer_line:
                self.count = self.lines - 1
                self._check_count()
                yield self.lines, raw
            digest(raw)
        self.count = (self.trailer_line - 1 if self.trailer_line else self.lines) - 1

    def read_row(self, raw: bytes, line: int) -> Row | BrokenRow | None:
        """What is in a row; None if the header is refused. Raises FeedRefused for a row that refuses the
        feed."""
        if self.rows is None:
            return None
        try:
            row = self.rows.read(without_end(raw))
        except UnclosedQuote:
            detail = Phrase(
                "line {line}: a quote is not closed on its line, so rows would be lost", line=line
            )
            self._stop("unclosed-quote", detail)
        except FieldTooLong:
            most = self.source.limits.max_field
            detail = Phrase("line {line}: a field has more than {most} characters", line=line, most=most)
            self._stop("field-too-long", detail)
        if isinstance(row, BrokenRow):
            self.broken += 1
            self._check_whole_file(raw, line)
        return row

    def _check_count(self) -> None:
        most = self.source.limits.max_rows
        if self.count > most:
            self._stop("too-many-rows", Phrase("more than the {most} rows that the source allows", most=most))

    def _read_trailer(self, raw: bytes, line: int) -> None:
        self.trailer_line = line
        self.trailer = read_trailer(raw)
        if self.trailer is None:
            self._refuse("bad-trailer", Phrase("line {line}: the #FIN line is cut or wrong", line=line))
        if self.trailer is not None and self.trailer.sha256 not in ("", self.digest.hexdigest()):
            self._refuse("wrong-digest")

    def _check_whole_file(self, raw: bytes, line: int) -> None:
        """Checks whether a broken row shows a fault of the whole file."""
        if len(self.damaged_text) < _SAMPLE and not raw.isascii():
            self.damaged_text += raw
        if self.broken > _MOSTLY and 2 * self.broken > line - 1:
            rows = line - 1
            detail = Phrase("{broken} of the first {rows} rows cannot be read", broken=self.broken, rows=rows)
            self._stop("mostly-rejected", detail)
        if self.layout is not None and not self.second_header:
            fields = without_end(raw).removeprefix(_BOM).decode("latin-1").split(self.layout.delimiter)
            if self.layout.is_header(fields):
                self.second_header = line
                detail = Phrase("line {line} repeats the header: files were joined", line=line)
                self._refuse("second-header", detail)

    def check_complete(self) -> None:
        """Makes the checks that need the whole file. Raises FeedRefused with every reason found."""
        if self.trailer_line and self.lines > self.trailer_line:
            after = self.lines - self.trailer_line
            detail = Phrase(
                "{number} lines follow the #FIN line {line}", number=after, line=self.trailer_line
            )
            self._refuse("after-trailer", detail)
        if self.trailer is not None and self.trailer.rows != self.count:
            detail = Phrase(
                "the file has {rows} rows, but the #FIN line says {stated}",
                rows=self.count,
                stated=self.trailer.rows,
            )
            self._refuse("wrong-count", detail)
        if not self.trailer_line and not self.ended:
            self._refuse("cut", Phrase("line {line} has no line end: the file was cut", line=self.lines))
        if self.source.trailer and not self.trailer_line and not (self.layout and self.layout.is_rejects):
            self._refuse("no-trailer")
        if not self.count:
            self._refuse("header-only")
        self._check_encoding()
        self._raise_refused()

    def _raise_refused(self) -> None:
        if self.refusals:
            raise FeedRefused(str(self.path), self.refusals, self.source.name, self.count)

    def _check_encoding(self) -> None:
        rows, configured = self.rows, self.source.encoding
        if rows is None or any(code == "wrong-encoding" for code, _ in self.refusals):
            return
        damaged = rows.undecodable + rows.damaged
        if is_wholesale(damaged, self.count, self.not_ascii, self.source.limits):
            detail = Phrase(
                "{encoding} is expected, but {damaged} of {rows} rows {fault}; they look like {instead}",
                encoding=configured,
                damaged=damaged,
                rows=self.count,
                fault=Phrase("are not {encoding}", encoding=configured)
                if rows.undecodable
                else Phrase("contain damaged text"),
                instead=likely_encoding(self.damaged_text, configured),
            )
            self._refuse("wrong-encoding", detail)

    def facts(
        self, people: int, unattributed: int, sample: Sample, wrong: Mapping[str, tuple[str, ...]]
    ) -> FeedFacts:
        """The feed as a whole."""
        rows, layout = self.rows, self.layout
        columns = {ROW: (self.count, rows.misshapen if rows else 0)}
        if rows is not None:
            columns |= {c: (rows.values[i], rows.bad[i]) for i, c in enumerate(COLUMNS)}
        is_rejects = layout is not None and layout.is_rejects
        part = self.written is not None and self.written.uais is not None
        return FeedFacts(
            source=self.source.name,
            file=self.path.name,
            digest=self.file_digest,
            date=self.trailer.date if self.trailer else self._named(),
            full=self.source.full and not is_rejects,
            complete=self.trailer is not None or not self.source.trailer,
            rows=self.count,
            people=people,
            columns=columns,
            unattributed=unattributed,
            values=rows.counts() if rows is not None else {},
            distinct=sample.distinct,
            forms=sample.forms,
            establishments=sample.establishments,
            basis=self.written.basis if self.written else None,
            later=self.written.later if self.written else frozenset(),
            part=part,
            kind=self.written.kind if self.written and part else "",
            wrong=wrong,
        )

    @property
    def file_digest(self) -> str:
        """The SHA-256 by which piactl identifies the feed."""
        return self._digest_of_set or self.digest.hexdigest()

    def remarks(self, duplicates: Sequence[int], unusual_numens: Sequence[int]) -> list[Remark]:
        """The remarks about the feed, with those about these rows."""
        rows = row_remarks(duplicates, unusual_numens)
        if self.written is not None:
            return [*rows, *set_remarks(self.written)]
        layout = layout_remarks(self.layout) if self.layout else []
        return [*rows, *layout, *date_remarks(self.trailer.date if self.trailer else None, self._named())]

    def _named(self) -> date | None:
        if self.written is not None:
            return self.written.day
        return file_date(self.path.name, self.source.date_pattern)


class ScannedFeed:
    """A feed whose rows are in a table, as feed `number` of it. The file itself is not read again. `source`
    is as configured; the reader has the layout of the rows, which is another one for a set of files."""

    def __init__(self, reader: FeedReader, source: SourceSettings, table: RowTable, number: int) -> None:
        self._scan, self._table, self.number = reader, table, number
        self.path, self.source = reader.path, source
        self._sample = reader.rows.sample() if reader.rows else Sample()
        self._validator = self._new_validator()
        self.facts = self._with_rows_of(reader).facts(0, 0, self._sample, {})

    @property
    def is_rejects(self) -> bool:
        """Whether it is a file of corrected rejects."""
        return self._scan.layout is not None and self._scan.layout.is_rejects

    @property
    def local(self) -> frozenset[str]:
        """The matricules of people whom the head of a school made."""
        return self._scan.written.local if self._scan.written else frozenset()

    def _new_validator(self) -> RowValidator:
        if self._scan.layout is None:
            raise AssertionError("a feed without a layout is refused when it is scanned")
        return RowValidator(self._scan.layout, self._scan.source)

    def _with_rows_of(self, reader: FeedReader) -> FeedReader:
        """The reader at the end of the file, with nothing counted yet."""
        again = copy(reader)
        again.refusals, again.rows = [*reader.refusals], self._new_validator()
        return again

    def read_wanted(self) -> Iterator[tuple[str, Person]]:
        """Reads the rows of the wanted people and those without an owner, and makes the checks of the whole
        file; then its `facts` are complete, but for the faults that only people show. Yields the person of
        each row with the key of its owner. Raises FeedRefused with every reason found."""
        reader, unattributed = self._with_rows_of(self._scan), 0
        builder = reader.new_builder()
        for line, key, raw in self._table.of_wanted(self.number):
            row = reader.read_row(raw, line)
            if isinstance(row, BrokenRow):
                unattributed += not row.attributed
            person = builder.person(row, line) if row is not None else None
            if person is not None:
                yield key, person
        if reader.rows is not None and self._scan.rows is not None:
            patterns = self._scan.rows.patterns
            unread = self._table.unread_patterns(self.number)
            reader.rows.count((patterns[pattern], count) for pattern, count in unread)
        reader.check_complete()
        self.facts = reader.facts(self._table.people(self.number), unattributed, self._sample, {})

    def of_batch(self) -> tuple[Feed, dict[int, bytes]]:
        """The feed with the rows of the people in the batch alone, and the bytes of these rows by line."""
        builder, raw_rows = self._scan.new_builder(), dict[int, bytes]()
        for line, raw in self._table.of_batch(self.number):
            row = self._validator.read(without_end(raw))
            if isinstance(row, BrokenRow):
                builder.add_broken(row, line)
            else:
                builder.add(row, line)
            raw_rows[line] = raw
        lines = builder.finish()
        feed = self._scan.feed_of(builder, self.facts, {line: raw_rows[line] for line in lines})
        return feed, raw_rows

    def remarks(self, duplicates: Sequence[int], unusual_numens: Sequence[int]) -> tuple[Remark, ...]:
        """The remarks about the feed, with those about these rows."""
        return tuple(self._scan.remarks(duplicates, unusual_numens))


def read_feed(path: Path, source: SourceSettings) -> Feed:
    """The feed in a file, in the layout of its source.

    Raises FeedRefused with every reason found if the file as a whole cannot be trusted. The caller checks the
    limits against the last feed applied (`core.plan.feed_limits.feed_refusals`).
    """
    return _read(path, source, FeedReader.feed)


def scan_feed(path: Path, source: SourceSettings, table: RowTable, number: int) -> ScannedFeed:
    """Puts the rows of a feed into a table, as feed `number` of it.

    Raises FeedRefused with every reason found if the file cannot be read to its end, or if its header is
    refused. What else refuses the file is found by `ScannedFeed.read_wanted`.
    """

    def scan(reader: FeedReader) -> ScannedFeed:
        reader.read_header()
        start = hashlib.blake2b(reader.header + source.name.encode(), key=table.key, digest_size=6)
        table.add(number, reader.scan(start))
        if reader.layout is None:
            reader.check_complete()
        return ScannedFeed(reader, source, table, number)

    return _read(path, source, scan)


def _read(path: Path, source: SourceSettings, read: Callable[[FeedReader], T]) -> T:
    try:
        with open_feed(path, source) as opened:
            before = opened.state()
            reader = FeedReader(path, opened)
            result = read(reader)
            if before != opened.state() and digest_of_feed(path) != reader.file_digest:
                raise refused(path, "changed", source=source.name)
        return result
    except MemoryError:
        pass
    gc.collect()  # what was read may be in cycles, and commands collect nothing by themselves
    why = refusal(
        "too-many-bytes", Phrase("there is too little memory to read it"), Phrase("check it, then add memory")
    )
    raise FeedRefused(str(path), [why], source.name)
