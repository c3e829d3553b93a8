"""Reads a feed file in one pass, line by line: memory grows with the people, not with the bytes."""

from __future__ import annotations

import gc
import hashlib
import os
import re
from array import array
from collections import Counter
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import NoReturn

from piactl.core.model.settings import SourceSettings
from piactl.core.plan.feed_limits import ROW, FeedFacts
from piactl.dataclass import dataclass
from piactl.errors import FeedRefused
from piactl.feed.csv_row_validator import BrokenRow, FieldTooLong, RowValidator, Sample, without_end
from piactl.feed.encoding_and_header import (
    CODECS,
    COLUMNS,
    ColumnLayout,
    UnclosedQuote,
    is_wholesale,
    likely_encoding,
    read_layout,
)
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
from piactl.feed.fingerprints import MASK, Skipped, line_digest
from piactl.feed.other_files import HEAD, other_header, other_kind
from piactl.feed.people_builder import PeopleBuilder

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
    """Reads one feed from an open file. Call `feed()` once."""

    def __init__(self, path: Path, opened: OpenFeed, skipped: Skipped | None = None) -> None:
        self.skipped = skipped
        self.passed = 0
        self.path, self.source, self.stream = path, opened.source, opened.stream
        self.opened, self.written = opened, opened.written
        self.refusals: list[tuple[str, str]] = []
        place = self.written.place if self.written else None
        self.builder = PeopleBuilder(path.name, self.source.name, place, supplement=self.source.supplement)
        self.digest = hashlib.sha256()
        self.offsets = array("Q", [0])
        """Where each line begins, and the last one ends."""
        self.header = b""
        self.layout: ColumnLayout | None = None
        self.rows: RowValidator | None = None
        self.trailer: Trailer | None = None
        self.trailer_line = 0
        self.lines = 1
        self.second_header = 0
        self.ended = True
        self.count = 0
        self.sample = b""
        self.longest = longest_line(self.source)

    def feed(self) -> Feed:
        """The feed. Raises FeedRefused with every reason found, or OSError."""
        self._read_header()
        if self.skipped is None:
            self._read_rows()
        else:
            self._read_needed_rows(self.skipped)
        self.count = (self.trailer_line - 1 if self.trailer_line else self.lines) - 1
        self._check_count()
        self._check_complete()
        lines = self.builder.finish()
        return Feed(
            facts=self._facts(),
            people=self.builder.people,
            rejections=tuple(self.builder.rejections),
            held=self.builder.held,
            unread=self.builder.unread,
            unusable=self.builder.unusable,
            remarks=tuple(self._remarks()),
            delimiter=self.layout.delimiter if self.layout else "",
            encoding=self.source.encoding,
            is_rejects=self.layout is not None and self.layout.is_rejects,
            header=self.header,
            raw_lines=self._raw_lines(lines),
            written=self.written,
            remarked=frozenset(self.builder.remarked),
            columns=frozenset(self.layout.places if self.layout else ()) | frozenset(self.source.constants),
        )

    def _refuse(self, code: str, detail: str = "") -> None:
        self.refusals.append(refusal(code, detail))

    def _stop(self, code: str, detail: str = "") -> NoReturn:
        """Raises FeedRefused with this reason and all found so far."""
        self._stop_with(refusal(code, detail))

    def _stop_with(self, reason: Refusal) -> NoReturn:
        self.refusals.append(reason)
        raise FeedRefused(str(self.path), self.refusals, self.source.name, self.count)

    def _read_header(self) -> None:
        head = self.stream.peek(HEAD)[:HEAD]
        raw = self.stream.readline(self.longest + 1)
        self.digest.update(raw)
        self.header = raw
        self.offsets.append(len(raw))
        if not raw:
            self._stop("empty")
        kind = other_kind(head)
        if kind is not None:
            self._stop_with(kind)
        if raw.startswith(_WIDE_BOMS) or _WIDE * raw.count(b"\0") > len(raw):
            detail = f"{self.source.encoding} is expected, but the file is UTF-16"
            self._stop_with(refusal("wrong-encoding", detail, "save it as CSV UTF-8"))
        if b"\r" in without_end(raw):
            self._stop("cr-only")
        has_bom = raw.startswith(_BOM)
        bare = raw[3:] if has_bom else raw
        if has_bom and not bare and not self.stream.peek(1):
            self._stop("bom-only")
        self._check_end(raw, 1)
        if has_bom and self.source.encoding != "utf-8":
            self._refuse(
                "wrong-encoding", f"{self.source.encoding} is expected, but the file starts like UTF-8"
            )
        if not bare.strip() or is_trailer(bare):
            self._stop("empty", "the file has no header: the first line is blank or a #FIN line")
        try:
            header = without_end(bare).decode(CODECS[self.source.encoding])
        except UnicodeDecodeError:
            instead = likely_encoding(bare, self.source.encoding)
            self._stop(
                "wrong-encoding", f"{self.source.encoding} is expected, but the header looks like {instead}"
            )
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
                    self._refuse("bad-constant", f"constant {column.name}: {fault[1]}")

    def _check_end(self, raw: bytes, line: int) -> None:
        self.ended = raw.endswith(b"\n")
        if not self.ended and len(raw) > self.longest:
            self._stop("line-too-long", f"line {line} is longer than {self.longest} bytes")

    def _read_rows(self) -> None:
        """Reads all rows."""
        readline, digest, longest = self.stream.readline, self.digest.update, self.longest + 1
        while raw := readline(longest):
            self.offsets.append(self.offsets[-1] + len(raw))
            self.lines += 1
            self._read_line(raw, self.lines)
            digest(raw)

    def _read_needed_rows(self, skipped: Skipped) -> None:
        """Reads the rows of the people who are not skipped, and those without an owner; the first reading
        counted the others. Raises FeedRefused if the rows read here have changed since then."""
        people, first, stream, again = skipped.people, skipped.lines, self.stream.fileno(), dict[str, int]()
        self.offsets, not_ascii, passed = first.offsets, first.not_ascii, Counter(first.numbers)
        for index, owner in enumerate(first.owners):
            if owner in people or not index:
                continue
            start, end = self.offsets[index], self.offsets[index + 1]
            raw = os.pread(stream, end - start, start)
            again[owner] = again.get(owner, 0) + line_digest(first.start, without_end(raw)) & MASK
            passed[first.numbers[index]] -= 1
            not_ascii -= not raw.isascii()
            self._read_line(raw, index + 1)
        self.lines = len(first.owners)
        if any(number != first.people.get(owner, first.others) for owner, number in again.items()):
            self._stop("changed")
        self.ended = os.pread(stream, 1, self.offsets[-1] - 1) == b"\n"
        if self.rows is not None:
            self.rows.not_ascii += not_ascii
            del passed[0]
            self.rows.count((first.patterns[number], count) for number, count in passed.items() if count)
        self.passed = sum(map(people.__contains__, first.people))

    def _read_line(self, raw: bytes, line: int) -> None:
        if not raw.endswith(b"\n"):
            self._check_end(raw, line)
        if self.trailer_line:
            return
        if raw[:1] == b"#" and is_trailer(raw):
            self._read_trailer(raw, line)
            return
        self.count = line - 1
        self._check_count()
        if self.rows is None:
            return
        try:
            row = self.rows.read(without_end(raw))
        except UnclosedQuote:
            self._stop(
                "unclosed-quote", f"line {line}: a quote is not closed on its line, so rows would be lost"
            )
        except FieldTooLong:
            most = self.source.limits.max_field
            self._stop("field-too-long", f"line {line}: a field has more than {most} characters")
        if isinstance(row, BrokenRow):
            self._check_whole_file(raw, line)
            self.builder.add_broken(row, line)
        else:
            self.builder.add(row, line)

    def _check_count(self) -> None:
        most = self.source.limits.max_rows
        if self.count > most:
            self._stop("too-many-rows", f"more than the {most} rows that the source allows")

    def _read_trailer(self, raw: bytes, line: int) -> None:
        self.trailer_line = line
        self.trailer = read_trailer(raw)
        if self.trailer is None:
            self._refuse("bad-trailer", f"line {line}: the #FIN line is cut or wrong")
        before = self.skipped.lines.before_trailer if self.skipped else self.digest.hexdigest()
        if self.trailer is not None and self.trailer.sha256 not in ("", before):
            self._refuse("wrong-digest")

    def _check_whole_file(self, raw: bytes, line: int) -> None:
        """Checks whether a broken row shows a fault of the whole file."""
        if len(self.sample) < _SAMPLE and not raw.isascii():
            self.sample += raw
        rejected = len(self.builder.rejected_lines)
        if rejected > _MOSTLY and 2 * rejected > self.count:
            self._stop("mostly-rejected", f"{rejected} of the first {self.count} rows cannot be read")
        if self.layout is not None and not self.second_header:
            fields = without_end(raw).removeprefix(_BOM).decode("latin-1").split(self.layout.delimiter)
            if self.layout.is_header(fields):
                self.second_header = line
                self._refuse("second-header", f"line {line} repeats the header: files were joined")

    def _check_complete(self) -> None:
        """Makes the checks that need the whole file."""
        if self.trailer_line and self.lines > self.trailer_line:
            after = self.lines - self.trailer_line
            self._refuse("after-trailer", f"{after} lines follow the #FIN line {self.trailer_line}")
        if self.trailer is not None and self.trailer.rows != self.count:
            self._refuse(
                "wrong-count", f"the file has {self.count} rows, but the #FIN line says {self.trailer.rows}"
            )
        if not self.trailer_line and not self.ended:
            self._refuse("cut", f"line {self.lines} has no line end: the file was cut")
        if self.source.trailer and not self.trailer_line and not (self.layout and self.layout.is_rejects):
            self._refuse("no-trailer")
        if not self.count:
            self._refuse("header-only")
        self._check_encoding()
        if self.refusals:
            raise FeedRefused(str(self.path), self.refusals, self.source.name, self.count)

    def _check_encoding(self) -> None:
        rows, configured = self.rows, self.source.encoding
        if rows is None or any(code == "wrong-encoding" for code, _ in self.refusals):
            return
        damaged = rows.undecodable + rows.damaged
        if is_wholesale(damaged, self.count, rows.not_ascii, self.source.limits):
            fault = f"are not {configured}" if rows.undecodable else "contain damaged text"
            instead = likely_encoding(self.sample, configured)
            finding = f"{configured} is expected, but {damaged} of {self.count} rows {fault}"
            self._refuse("wrong-encoding", f"{finding}; they look like {instead}")

    def _facts(self) -> FeedFacts:
        rows, layout = self.rows, self.layout
        columns = {ROW: (self.count, rows.misshapen if rows else 0)}
        if rows is not None:
            columns |= {c: (rows.values[i], rows.bad[i]) for i, c in enumerate(COLUMNS)}
        is_rejects = layout is not None and layout.is_rejects
        sample = self.skipped.lines.sample if self.skipped else rows.sample() if rows else Sample()
        part = self.written is not None and self.written.uais is not None
        return FeedFacts(
            source=self.source.name,
            file=self.path.name,
            digest=self.skipped.lines.digest
            if self.skipped
            else self.opened.digest or self.digest.hexdigest(),
            date=self.trailer.date if self.trailer else self._named(),
            full=self.source.full and not is_rejects,
            complete=self.trailer is not None or not self.source.trailer,
            rows=self.count,
            people=len(self.builder.people) + len(self.builder.held) + self.passed,
            columns=columns,
            unattributed=self.builder.unattributed,
            values=rows.counts() if rows is not None else {},
            distinct=sample.distinct,
            forms=sample.forms,
            establishments=sample.establishments,
            basis=self.written.basis if self.written else None,
            later=self.written.later if self.written else frozenset(),
            part=part,
            kind=self.written.kind if self.written and part else "",
            wrong=first_faults(self.builder.rejections),
        )

    def _remarks(self) -> list[Remark]:
        layout = layout_remarks(self.layout) if self.layout else []
        if self.written is not None:
            return [*row_remarks(self.builder), *set_remarks(self.written)]
        dates = date_remarks(self.trailer.date if self.trailer else None, self._named())
        return [*row_remarks(self.builder), *layout, *dates]

    def _named(self) -> date | None:
        if self.written is not None:
            return self.written.day
        return file_date(self.path.name, self.source.date_pattern)

    def _raw_lines(self, lines: Sequence[int]) -> dict[int, bytes]:
        raw_lines = {}
        for line in lines:
            self.stream.seek(self.offsets[line - 1])
            raw_lines[line] = self.stream.readline(self.longest + 1)
        return raw_lines


def read_feed(path: Path, source: SourceSettings, skipped: Skipped | None = None) -> Feed:
    """The feed in a file, in the layout of its source, without the `skipped` people.

    Raises FeedRefused with every reason found if the file as a whole cannot be trusted. The caller checks the
    limits against the last feed applied (`core.plan.feed_limits.feed_refusals`).
    """
    try:
        with open_feed(path, source) as opened:
            before = opened.state()
            if skipped is not None and before != skipped.lines.state:
                _check_same(path, source, skipped.lines.digest)
            feed = FeedReader(path, opened, skipped).feed()
            if before != opened.state():
                _check_same(path, source, feed.facts.digest)
        return feed
    except MemoryError:
        pass
    gc.collect()  # what was read may be in cycles, and commands collect nothing by themselves
    why = refusal("too-many-bytes", "there is too little memory to read it", "check it, then add memory")
    raise FeedRefused(str(path), [why], source.name)


def _check_same(path: Path, source: SourceSettings, digest: str) -> None:
    if digest_of_feed(path) != digest:
        raise refused(path, "changed", source=source.name)
