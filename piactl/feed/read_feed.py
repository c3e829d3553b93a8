"""Reads a feed file in one pass, line by line.

`read_feed` makes people of all its rows. `scan_feed` puts the rows into a table, as a night does: of most
people it needs no more than the digest of their rows.
"""

from __future__ import annotations

import gc
import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import NoReturn, TypeVar

from piactl.core.model.person import Person
from piactl.core.model.settings import SourceSettings
from piactl.core.plan.check_feed_limits import ROW, FeedFacts
from piactl.errors import FeedRefused
from piactl.feed.csv_row_validator import BrokenRow, Faults, FieldTooLong, Row, RowValidator, without_end
from piactl.feed.encoding import CODECS, likely_encoding
from piactl.feed.error_codes import Refusal, refusal, refused
from piactl.feed.feed_result import (
    Feed,
    file_remarks,
    names_not_read,
    row_remarks,
    set_remarks,
)
from piactl.feed.feed_rows_in_memory import RowTable
from piactl.feed.formats.canonical_rows import OpenFeed, file_order
from piactl.feed.header import (
    COLUMNS,
    HEAD,
    ColumnLayout,
    UnclosedQuote,
    is_wholesale,
    other_header,
    other_kind,
    read_layout,
)
from piactl.feed.open_feed import digest_of_feed, open_feed
from piactl.feed.people_builder import PeopleBuilder
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
    shapes = {"rows": _COUNT, "date": _DAY, "sha256": _SHA256}
    if any(name not in shapes or not shapes[name].fullmatch(value) for name, value in values.items()):
        return None
    try:
        day = date.fromisoformat(values["date"])
    except ValueError:
        return None
    return Trailer(int(values["rows"]), day, values.get("sha256", "").lower())


def is_trailer(raw: bytes) -> bool:
    """Whether a line is a trailer, valid or not."""
    return raw[:4].upper() == b"#FIN"


_BOM = b"\xef\xbb\xbf"
_WIDE_BOMS = (b"\xff\xfe", b"\xfe\xff")
_WIDE = 3
"""A line of which one byte in so many is zero is UTF-16: every second is, in text of ASCII letters."""
_SAMPLE = 65_536
_MOSTLY = 50_000
_LEAST = 65_536
"""The longest line that every source may have, in bytes."""


class FeedReader:
    """Reads one feed from an open file. Call `feed()` once; or `scan()` once, and then `read_wanted` and
    `of_batch`, which need the file no more.

    `facts` are complete once `read_wanted` is done, but for the faults that only people show.
    """

    number: int
    facts: FeedFacts
    rows: RowValidator

    def __init__(self, path: Path, source: SourceSettings, opened: OpenFeed) -> None:
        self.path, self.source = path, source
        self._source = opened.source  # with the layout of the rows, which is another one for a set of files
        self.written, self._stream, self._digest_of_set = opened.written, opened.stream, opened.digest
        self._refusals: list[Refusal] = []
        self._of_scan: list[Refusal] = []
        self._digest = hashlib.sha256()
        self._header = b""
        self._layout: ColumnLayout | None = None
        self._trailer: Trailer | None = None
        self._trailer_line = 0
        self._lines = 1
        self._ended = True
        self._count = 0
        self._broken = 0
        self._not_ascii = 0
        self._damaged_text, self._first_damaged = b"", 0
        self._longest = max(_LEAST, self._source.limits.max_field * 4 * 32)
        self._named = file_order(path.name, self._source.date_pattern)[0]
        if self.written is not None:
            self._named = self.written.day

    @property
    def is_rejects(self) -> bool:
        """Whether it is a file of corrected rejects."""
        return self._layout is not None and self._layout.is_rejects

    def feed(self) -> Feed:
        """The feed. Raises FeedRefused with every reason found, or OSError."""
        self._read_header()
        builder = self._new_builder()
        for line, raw in self._raw_rows():
            if self._layout is not None:
                self.rows.count(without_end(raw))
                builder.add(self._read_row(raw, line), line)
        self._check_complete()
        lines = {*builder.finish()}
        self._stream.seek(0)
        raw_lines = {n: raw for n, raw in enumerate(self._stream, 1) if n in lines} if lines else {}
        people = len(builder.people) + len(builder.held)
        facts = self._facts_of_rows(self._facts_of_file(), people, builder.unattributed)
        feed = self._feed_of(builder, facts, raw_lines)
        return replace(feed, remarks=self.remarks(feed.duplicates, feed.unusual_numens))

    def scan(self, table: RowTable, number: int) -> None:
        """Puts the rows into the table, as feed `number` of it. Raises FeedRefused if the file cannot be read
        to its end, or if its header is refused."""
        self._table, self.number = table, number
        self._read_header()
        start = hashlib.blake2b(self._header + self._source.name.encode(), key=table.key, digest_size=6)
        table.add(self._scanned(start))
        if self._layout is None:
            self._check_complete()
        self._of_scan = [*self._refusals]
        self.facts = self._facts_of_file()

    def _scanned(self, start: hashlib.blake2b) -> Iterator[tuple[int, int, str, int, bytes]]:
        for line, raw in self._raw_rows():
            if self._layout is None:
                continue
            bare = without_end(raw)
            digest = start.copy()
            digest.update(bare)
            yield self.number, line, self.rows.count(bare), int.from_bytes(digest.digest(), "little"), raw

    def read_wanted(self) -> Iterator[tuple[str, Person]]:
        """Reads the rows of the wanted people and those without an owner, and makes the checks of the whole
        file. Yields the person of each row with the key of its owner. Raises FeedRefused with every reason
        found."""
        self._refusals, self._broken, self._damaged_text = [*self._of_scan], 0, b""
        self.rows.faults = Faults()
        builder, unattributed = self._new_builder(), 0
        for line, key, raw in self._table.of_wanted(self.number):
            row = self._read_row(raw, line)
            if isinstance(row, BrokenRow):
                unattributed += not row.attributed
            person = builder.person(row, line)
            if person is not None:
                yield key, person
        self._check_complete()
        self.facts = self._facts_of_rows(self.facts, len(self._table.owners(self.number)), unattributed)

    def of_batch(self) -> tuple[Feed, dict[int, bytes]]:
        """The feed with the rows of the people in the batch alone, and the bytes of these rows by line."""
        builder, raw_rows = self._new_builder(), dict(self._table.of_batch(self.number))
        for line, raw in raw_rows.items():
            builder.add(self.rows.read(without_end(raw)), line)
        lines = builder.finish()
        return self._feed_of(builder, self.facts, {line: raw_rows[line] for line in lines}), raw_rows

    def _new_builder(self) -> PeopleBuilder:
        place = self.written.place if self.written else None
        return PeopleBuilder(self.path.name, self._source.name, place, supplement=self._source.supplement)

    def _feed_of(self, builder: PeopleBuilder, facts: FeedFacts, raw_lines: Mapping[int, bytes]) -> Feed:
        """The feed with what a finished builder has made of some or all of its rows."""
        layout = self.rows.layout
        return Feed(
            facts=facts,
            people=builder.people,
            rejections=tuple(builder.rejections),
            held=builder.held,
            unread=builder.unread,
            unusable=builder.unusable,
            layout=layout,
            encoding=self._source.encoding,
            header=self._header,
            raw_lines=raw_lines,
            written=self.written,
            duplicates=builder.duplicates,
            unusual_numens=builder.unusual_numens,
            remarked=frozenset(builder.remarked),
            columns=frozenset(layout.places) | frozenset(self._source.constants),
        )

    def _refuse(self, code: str, detail: str = "") -> None:
        self._refusals.append(refusal(code, detail))

    def _stop(self, code: str, detail: str = "") -> NoReturn:
        self._stop_with(refusal(code, detail))

    def _stop_with(self, reason: Refusal) -> NoReturn:
        raise FeedRefused(str(self.path), [*self._refusals, reason], self._source.name, self._count)

    def _read_header(self) -> None:
        head = self._stream.peek(HEAD)[:HEAD]
        raw = self._stream.readline(self._longest + 1)
        self._digest.update(raw)
        self._header = raw
        if not raw:
            self._stop("empty")
        kind = other_kind(head)
        if kind is not None:
            self._stop_with(kind)
        if raw.startswith(_WIDE_BOMS) or _WIDE * raw.count(b"\0") > len(raw):
            detail = Phrase("{encoding} is expected, but the file is UTF-16", encoding=self._source.encoding)
            self._stop_with(refusal("wrong-encoding", detail, Phrase("HR: export the file again, in UTF-8")))
        if b"\r" in without_end(raw):
            self._stop("cr-only")
        has_bom = raw.startswith(_BOM)
        bare = raw[3:] if has_bom else raw
        if has_bom and not bare and not self._stream.peek(1):
            self._stop("bom-only")
        self._check_end(raw, 1)
        if has_bom and self._source.encoding != "utf-8":
            encoding = self._source.encoding
            detail = Phrase("{encoding} is expected, but the file starts like UTF-8", encoding=encoding)
            self._refuse("wrong-encoding", detail)
        if not bare.strip() or is_trailer(bare):
            self._stop("empty", Phrase("the file has no header: the first line is blank or a #FIN line"))
        try:
            header = without_end(bare).decode(CODECS[self._source.encoding])
        except UnicodeDecodeError:
            detail = Phrase(
                "{encoding} is expected, but the header looks like {instead}",
                encoding=self._source.encoding,
                instead=likely_encoding(bare, self._source.encoding),
            )
            self._stop("wrong-encoding", detail)
        self._layout, refusals = read_layout(header, self._source)
        if any(code == "missing-column" for code, _ in refusals):
            explanation = other_header(head, header, self._source)
            if explanation is not None:
                self._stop_with(explanation)
        self._refusals += refusals
        if self._layout is not None:
            self.rows = RowValidator(self._layout, self._source)
            for column in self.rows.columns:
                fault = column.cell(column.constant)[1] if column.name in self._source.constants else None
                if fault is not None:
                    detail = Phrase("constant {column}: {fault}", column=column.name, fault=fault[1])
                    self._refuse("bad-constant", detail)

    def _check_end(self, raw: bytes, line: int) -> None:
        self._ended = raw.endswith(b"\n")
        if not self._ended and len(raw) > self._longest:
            detail = Phrase("line {line} is longer than {most} bytes", line=line, most=self._longest)
            self._stop("line-too-long", detail)

    def _raw_rows(self) -> Iterator[tuple[int, bytes]]:
        """The number and the bytes of each line after the header and before the #FIN line."""
        readline, digest, longest = self._stream.readline, self._digest.update, self._longest + 1
        most = self._source.limits.max_rows
        while raw := readline(longest):
            self._lines += 1
            self._not_ascii += not raw.isascii()
            if not raw.endswith(b"\n"):
                self._check_end(raw, self._lines)
            if raw[:1] == b"#" and not self._trailer_line and is_trailer(raw):
                self._trailer_line, self._trailer = self._lines, read_trailer(raw)
                if self._trailer is None:
                    detail = Phrase("line {line}: the #FIN line is cut or wrong", line=self._lines)
                    self._refuse("bad-trailer", detail)
                elif self._trailer.sha256 not in ("", self._digest.hexdigest()):
                    self._refuse("wrong-digest")
            elif not self._trailer_line:
                self._count = self._lines - 1
                if self._count > most:
                    detail = Phrase("more than the {most} rows that the source allows", most=most)
                    self._stop("too-many-rows", detail)
                yield self._lines, raw
            digest(raw)
        self._count = (self._trailer_line - 1 if self._trailer_line else self._lines) - 1

    def _read_row(self, raw: bytes, line: int) -> Row | BrokenRow:
        try:
            row = self.rows.read(without_end(raw))
        except UnclosedQuote:
            detail = Phrase(
                "line {line}: a quote is not closed on its line, so rows would be lost", line=line
            )
            self._stop("unclosed-quote", detail)
        except FieldTooLong:
            most = self._source.limits.max_field
            detail = Phrase("line {line}: a field has more than {most} characters", line=line, most=most)
            self._stop("field-too-long", detail)
        if isinstance(row, BrokenRow):
            self._broken += 1
            self._check_whole_file(raw, line)
        return row

    def _check_whole_file(self, raw: bytes, line: int) -> None:
        """Checks whether a broken row shows a fault of the whole file."""
        if len(self._damaged_text) < _SAMPLE and not raw.isascii():
            self._damaged_text += raw
            self._first_damaged = self._first_damaged or line
        if self._broken > _MOSTLY and 2 * self._broken > line - 1:
            rows = line - 1
            detail = Phrase(
                "{broken} of the first {rows} rows cannot be read", broken=self._broken, rows=rows
            )
            self._stop("mostly-rejected", detail)
        layout = self.rows.layout
        if not any(code == "second-header" for code, _ in self._refusals):
            fields = without_end(raw).removeprefix(_BOM).decode("latin-1").split(layout.delimiter)
            if layout.is_header(fields):
                detail = Phrase("line {line} repeats the header: files were joined", line=line)
                self._refuse("second-header", detail)

    def _check_complete(self) -> None:
        """Makes the checks that need the whole file. Raises FeedRefused with every reason found."""
        if self._trailer_line and self._lines > self._trailer_line:
            detail = Phrase(
                "lines follow the #FIN line, which is line {line} of {lines}",
                line=self._trailer_line,
                lines=self._lines,
            )
            self._refuse("after-trailer", detail)
        if self._trailer is not None and self._trailer.rows != self._count:
            detail = Phrase(
                "the file has {rows} rows, but the #FIN line says {stated}",
                rows=self._count,
                stated=self._trailer.rows,
            )
            self._refuse("wrong-count", detail)
        if not self._trailer_line and not self._ended:
            self._refuse("cut", Phrase("line {line} has no line end: the file was cut", line=self._lines))
        if self._source.trailer and not self._trailer_line and not self.is_rejects:
            self._refuse("no-trailer")
        if not self._count:
            self._refuse("header-only")
        if self._layout is not None and all(code != "wrong-encoding" for code, _ in self._refusals):
            self._check_encoding(self.rows.faults)
        if self._refusals:
            raise FeedRefused(str(self.path), self._refusals, self._source.name, self._count)

    def _check_encoding(self, faults: Faults) -> None:
        damaged, configured = faults.undecodable + faults.damaged, self._source.encoding
        if is_wholesale(damaged, self._count, self._not_ascii, self._source.limits):
            detail = Phrase(
                "{encoding} is expected, but {damaged} of {rows} rows {fault}, the first is line {line}; "
                "they look like {instead}",
                line=self._first_damaged,
                encoding=configured,
                damaged=damaged,
                rows=self._count,
                fault=Phrase("are not {encoding}", encoding=configured)
                if faults.undecodable
                else Phrase("contain damaged text"),
                instead=likely_encoding(self._damaged_text, configured),
            )
            self._refuse("wrong-encoding", detail)

    def _facts_of_file(self) -> FeedFacts:
        """The feed as a whole, without what only the reading of its rows shows."""
        part = self.written is not None and self.written.uais is not None
        return FeedFacts(
            source=self._source.name,
            file=self.path.name,
            digest=self.file_digest,
            date=self._trailer.date if self._trailer else self._named,
            full=self._source.full and not self.is_rejects,
            complete=self._trailer is not None or not self._source.trailer,
            rows=self._count,
            people=0,
            basis=self.written.basis if self.written else None,
            later=self.written.later if self.written else frozenset(),
            part=part,
            kind=self.written.kind if self.written and part else "",
            not_read=names_not_read(self.rows.layout),
            **self.rows.statistics(),
        )

    def _facts_of_rows(self, facts: FeedFacts, people: int, unattributed: int) -> FeedFacts:
        faults = self.rows.faults
        columns = {c: (facts.columns[c][0], bad) for c, bad in zip(COLUMNS, faults.bad, strict=True)}
        columns = {ROW: (self._count, faults.misshapen), **columns}
        return replace(facts, columns=columns, people=people, unattributed=unattributed)

    @property
    def file_digest(self) -> str:
        """The SHA-256 by which piactl identifies the feed."""
        return self._digest_of_set or self._digest.hexdigest()

    def remarks(
        self, duplicates: Sequence[tuple[int, int]], unusual_numens: Sequence[int]
    ) -> tuple[str, ...]:
        """The remarks about the feed, with those about these rows."""
        rows = row_remarks(duplicates, unusual_numens)
        if self.written is not None:
            return *rows, *set_remarks(self.written)
        day = self._trailer.date if self._trailer else None
        return *rows, *file_remarks(self.rows.layout, day, self._named)


def read_feed(path: Path, source: SourceSettings) -> Feed:
    """The feed in a file, in the layout of its source.

    Raises FeedRefused with every reason found if the file as a whole cannot be trusted. The caller checks the
    limits against the last feed applied (`core.plan.check_feed_limits.feed_refusals`).
    """
    return _read(path, source, FeedReader.feed)


def scan_feed(path: Path, source: SourceSettings, table: RowTable, number: int) -> FeedReader:
    """Puts the rows of a feed into a table, as feed `number` of it.

    Raises FeedRefused with every reason found if the file cannot be read to its end, or if its header is
    refused. What else refuses the file is found by `FeedReader.read_wanted`.
    """

    def scan(reader: FeedReader) -> FeedReader:
        reader.scan(table, number)
        return reader

    return _read(path, source, scan)


def _read(path: Path, source: SourceSettings, read: Callable[[FeedReader], T]) -> T:
    try:
        with open_feed(path, source) as opened:
            before = opened.state()
            reader = FeedReader(path, source, opened)
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
