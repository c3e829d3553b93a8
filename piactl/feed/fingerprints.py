"""The owner of each feed line, and a keyed digest of all lines of each person.

The digest does not depend on the order of the lines. A person whose digest is unchanged since the last run
need not be parsed again.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Container, Sequence
from dataclasses import field
from pathlib import Path

from piactl.core.model.settings import SourceSettings
from piactl.dataclass import dataclass
from piactl.errors import FeedRefused
from piactl.feed.csv_row_parser import PRUNE, Pattern, RowParser, Sample, without_end
from piactl.feed.encoding_and_header import CODECS, Layout, read_layout
from piactl.feed.feed_file import FileState, OpenFeed, is_trailer, longest_line, open_feed

MASK = (1 << 64) - 1


@dataclass(slots=True)
class LineDigests:
    """`owners` and `numbers` have one item per line, the header first: the matricule of the line ("" if it
    has none, as a #FIN line) and the index of its pattern in `patterns`. `offsets` are where the lines begin,
    and the end of the file.

    `people`: matricule -> digest of all its lines; `others` is that of the lines without an owner. Each is a
    sum of digests that begin as `start`. `not_ascii` counts the lines with an owner that are not ASCII.
    `digest` is the SHA-256 of the file, `before_trailer` that of what is before its #FIN line, "" without
    one. `state` is that of the file when it was read.
    """

    layout: Layout
    start: hashlib.blake2b = field(repr=False)
    state: FileState | None = None
    owners: list[str] = field(default_factory=list, repr=False)
    offsets: array[int] = field(default_factory=lambda: array("Q"), repr=False)
    numbers: array[int] = field(default_factory=lambda: array("I"), repr=False)
    patterns: Sequence[Pattern] = field(default=(), repr=False)
    people: dict[str, int] = field(default_factory=dict, repr=False)
    others: int = 0
    not_ascii: int = 0
    digest: str = ""
    before_trailer: str = ""
    sample: Sample = field(default_factory=Sample, repr=False)


@dataclass(frozen=True, slots=True)
class Skipped:
    """The people whose lines are not parsed, because they are unchanged."""

    lines: LineDigests
    people: Container[str]


_Line = tuple[tuple[int, ...], str, Pattern, int, tuple[str, ...]]
"""The places that were sampled, the owner of a line, its pattern, its digest, and its values there."""


class KnownLines:
    """What was found of each line of a file, for the next one of the same source: most of its lines are the
    same in the feeds of two nights, and a process that reads both need not split them again."""

    def __init__(self) -> None:
        self._basis: tuple[bytes, SourceSettings, bytes] | None = None
        self._before: dict[bytes, _Line] = {}
        self._lines: dict[bytes, _Line] = {}

    def begin(self, header: bytes, source: SourceSettings, key: bytes) -> None:
        """Goes on with the next file. What is known serves files with the same header and settings."""
        basis = header, source, key
        self._before, self._lines = self._lines if basis == self._basis else {}, {}
        self._basis = basis

    def find(self, bare: bytes, rows: RowParser, start: hashlib.blake2b) -> tuple[str, int, int]:
        line, watched = self._before.get(bare), rows.watched
        if line is not None and line[0] == watched:
            self._lines[bare] = line
            return line[1], rows.again(line[2], line[4]), line[3]
        owner, pattern, fields = rows.owner(bare)
        digest = line_digest(start, bare)
        sampled = tuple([fields[place] for place in watched]) if fields else ()
        self._lines[bare] = watched, owner, rows.patterns[pattern], digest, sampled
        return owner, pattern, digest

    def end(self) -> None:
        self._before = {}


def digest_lines(
    path: Path, source: SourceSettings, key: bytes, known: KnownLines | None = None
) -> LineDigests | None:
    """The digests of a feed under a key, without validating rows. None if the feed cannot be read;
    `read_feed` then reports the reason. `known` are the lines of the file before, and then those of this one.
    """
    try:
        with open_feed(path, source) as opened:
            lines = _digests(opened, key, known)
    except (FeedRefused, UnicodeDecodeError):
        return None
    if lines is not None and opened.digest:
        lines.digest = opened.digest
    return lines


def _digests(opened: OpenFeed, key: bytes, known: KnownLines | None) -> LineDigests | None:
    stream, source = opened.stream, opened.source
    longest = longest_line(source)
    header = stream.readline(longest + 1)
    file_digest = hashlib.sha256(header)
    text = header.removeprefix(b"\xef\xbb\xbf").rstrip(b"\r\n").decode(CODECS[source.encoding])
    layout, _ = read_layout(text, source)
    if layout is None or len(header) > longest:
        return None
    start = hashlib.blake2b(header + source.name.encode(), key=key, digest_size=8)
    digests = LineDigests(layout, start, opened.state())
    rows = RowParser(layout, source)
    digests.patterns = rows.patterns
    owners, numbers, people, offsets = digests.owners, digests.numbers, digests.people, digests.offsets
    owners.append("")
    numbers.append(0)
    offsets.extend((0, len(header)))
    if known is not None:
        known.begin(header, source, key)
    last = ""
    most = source.limits.max_rows + 2
    while raw := stream.readline(longest + 1):
        if len(raw) > longest or len(owners) > most:
            return None
        bare = without_end(raw)
        if raw[:1] == b"#" and is_trailer(raw):
            digests.before_trailer = digests.before_trailer or file_digest.hexdigest()
            owner, pattern, number = "", 0, line_digest(start, bare)
        elif known is not None:
            owner, pattern, number = known.find(bare, rows, start)
        else:
            owner, pattern, _ = rows.owner(bare)
            number = line_digest(start, bare)
        file_digest.update(raw)
        if owner:
            # the rows of a person are mostly adjacent: share one string for all of them
            last = owner = last if owner == last else owner
            people[owner] = people.get(owner, 0) + number & MASK
            digests.not_ascii += not raw.isascii()
        else:
            digests.others = digests.others + number & MASK
        offsets.append(offsets[-1] + len(raw))
        owners.append(owner)
        numbers.append(pattern)
        if not len(owners) % PRUNE:
            rows.prune()
    if known is not None:
        known.end()
    digests.digest, digests.sample = file_digest.hexdigest(), rows.sample()
    return digests


def line_digest(start: hashlib.blake2b, bare: bytes) -> int:
    """The digest of a line without its end."""
    line = start.copy()
    line.update(bare)
    return int.from_bytes(line.digest(), "little")
