"""The owner of each feed line, and a keyed digest of all lines of each person.

The digest does not depend on the order of the lines. A person whose digest is unchanged since the last run
need not be parsed again.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Container, Iterator, Sequence
from dataclasses import field
from io import BufferedReader, BytesIO
from itertools import accumulate
from pathlib import Path

from piactl import __version__
from piactl.core.model.settings import SourceSettings
from piactl.core.plan.feed_limits import COUNTED
from piactl.dataclass import dataclass
from piactl.errors import FeedRefused
from piactl.feed.csv_row_parser import Pattern, RowParser, Sample, without_end
from piactl.feed.encoding_and_header import CODECS, Layout, read_layout
from piactl.feed.feed_file import FileState, OpenFeed, is_trailer, longest_line, open_feed
from piactl.feed.known_lines import KnownLines, blocks

_AT_ONCE = 1 << 20
MASK = (1 << 64) - 1


@dataclass(slots=True)
class LineDigests:
    """`owners` and `numbers` have one item per line, the header first: the matricule of the line ("" if it
    has none, as a #FIN line) and the index of its pattern in `patterns`. `offsets` are where the lines begin,
    and the end of the file.

    `people`: matricule -> digest of all its lines; `others` is that of the lines without an owner. Each is a
    sum of digests that begin as `start`. `not_ascii` counts the lines that are not ASCII.
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


def digest_lines(
    path: Path, source: SourceSettings, key: bytes, known: KnownLines | None = None
) -> LineDigests | None:
    """The digests of a feed under a key, without validating rows. None if the feed cannot be read;
    `read_feed` then reports the reason. `known` has the lines of the last file, and
    afterwards those of this one.
    """
    try:
        with open_feed(path, source) as opened:
            lines = _digests(opened, key, known or KnownLines())
    except (FeedRefused, UnicodeDecodeError):
        return None
    if lines is not None and opened.digest:
        lines.digest = opened.digest
    return lines


def _digests(opened: OpenFeed, key: bytes, known: KnownLines) -> LineDigests | None:
    stream, source = opened.stream, opened.source
    longest = longest_line(source)
    header = stream.readline(longest + 1)
    file_digest = hashlib.sha256(header)
    text = header.removeprefix(b"\xef\xbb\xbf").rstrip(b"\r\n").decode(CODECS[source.encoding])
    layout, _ = read_layout(text, source)
    if layout is None or len(header) > longest:
        return None
    start = hashlib.blake2b(header + source.name.encode(), key=key, digest_size=8)
    found = LineDigests(layout, start, opened.state(), offsets=array("Q", [0, len(header)]))
    rows = RowParser(layout, source)
    sampled = {name: place for name, place in layout.places.items() if name not in COUNTED}
    basis = hashlib.blake2b(repr((__version__, header, source)).encode(), key=key, digest_size=16).hexdigest()
    sampler = known.begin(basis, [*sampled], key)
    rows.know(sampler.before.patterns or rows.patterns)
    sampler.add(b"", [("", 0, 0, ())])  # the header
    places = [*sampled.values()]
    most = source.limits.max_rows + 2
    for block in blocks(_line_groups(stream, longest)):
        if max(map(len, block)) > longest or len(found.offsets) + len(block) > most + 2:
            return None
        found.offsets.extend(accumulate(map(len, block), initial=found.offsets.pop()))
        whole = b"".join(block)
        if not whole.isascii():
            found.not_ascii += len(block) - sum(map(bytes.isascii, block))
        block_key = sampler.key_of(whole)
        if sampler.takes(block_key):
            file_digest.update(whole)
            continue
        described = []
        for raw in block:
            bare = without_end(raw)
            if raw[:1] == b"#" and is_trailer(raw):
                found.before_trailer = found.before_trailer or file_digest.hexdigest()
                owner, pattern, fields, block_key = "", 0, list[str](), b""
            else:
                owner, pattern, fields = rows.owner(bare)
            values = [fields[places[column]] for column in sampler.watched] if fields else ()
            described.append((owner, pattern, line_digest(start, bare), values))
            file_digest.update(raw)
        sampler.add(block_key, described)
    found.sample = sampler.end(rows.patterns, rows.uai)
    known.end(sampler)
    lines = sampler.lines
    found.owners, found.numbers, found.patterns = lines.owners, lines.numbers, lines.patterns
    people = found.people
    for owner, number in zip(lines.owners, lines.digests, strict=True):
        people[owner] = people.get(owner, 0) + number & MASK
    found.others = people.pop("")
    found.digest = file_digest.hexdigest()
    return found


def _line_groups(stream: BufferedReader, longest: int) -> Iterator[list[bytes]]:
    """The lines of a file, some at a time; of a line that is too long only the begin."""
    rest = b""
    while data := stream.read(_AT_ONCE):
        lines = BytesIO(rest + data).readlines()
        rest = b"" if lines[-1].endswith(b"\n") else lines.pop()
        if lines:
            yield lines
        if len(rest) > longest:
            break
    if rest:
        yield [rest]


def line_digest(start: hashlib.blake2b, bare: bytes) -> int:
    """The digest of a line without its end."""
    line = start.copy()
    line.update(bare)
    return int.from_bytes(line.digest(), "little")
