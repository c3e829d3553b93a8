"""The owner of each feed line, and a keyed digest of all lines of each person.

The digest does not depend on the order of the lines. A person whose digest is unchanged since the last run
need not be parsed again.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path

from piactl.core.model.settings import SourceSettings
from piactl.errors import FeedRefused
from piactl.feed.csv_header import Layout, read_layout
from piactl.feed.csv_row_parser import PRUNE, Pattern, RowParser, Sample, without_end
from piactl.feed.encoding_check import CODECS
from piactl.feed.feed_file import longest_line, open_feed

_MASK = (1 << 64) - 1


@dataclass(slots=True)
class LineDigests:
    """`owners` and `numbers` have one item per line, the header first: the matricule of the line ("" if it
    has none) and the index of its pattern in `patterns`. `people`: matricule -> digest of all its lines.
    `digest` is the SHA-256 of the file."""

    layout: Layout
    owners: list[str] = field(default_factory=list, repr=False)
    numbers: array[int] = field(default_factory=lambda: array("I"), repr=False)
    patterns: Sequence[Pattern] = field(default=(), repr=False)
    people: dict[str, int] = field(default_factory=dict, repr=False)
    digest: str = ""
    sample: Sample = field(default_factory=Sample, repr=False)


@dataclass(frozen=True, slots=True)
class Skipped:
    """The people whose lines are not parsed, because they are unchanged."""

    lines: LineDigests
    people: Container[str]


def digest_lines(path: Path, source: SourceSettings, key: bytes) -> LineDigests | None:
    """The digests of a feed under a key, without validating rows. None if the feed cannot be read;
    `read_feed` then reports the reason."""
    try:
        with open_feed(path, source) as opened:
            lines = _digests(opened.stream, opened.source, key)
    except (FeedRefused, UnicodeDecodeError):
        return None
    if lines is not None and opened.digest:
        lines.digest = opened.digest
    return lines


def _digests(stream: BufferedReader, source: SourceSettings, key: bytes) -> LineDigests | None:
    longest = longest_line(source)
    header = stream.readline(longest + 1)
    file_digest = hashlib.sha256(header)
    text = header.removeprefix(b"\xef\xbb\xbf").rstrip(b"\r\n").decode(CODECS[source.encoding])
    layout, _ = read_layout(text, source)
    if layout is None or len(header) > longest:
        return None
    digests = LineDigests(layout)
    rows = RowParser(layout, source)
    digests.patterns = rows.patterns
    start = hashlib.blake2b(header + source.name.encode(), key=key, digest_size=8)
    owners, numbers, people = digests.owners, digests.numbers, digests.people
    owners.append("")
    numbers.append(0)
    last = ""
    most = source.limits.max_rows + 2
    while raw := stream.readline(longest + 1):
        if len(raw) > longest or len(owners) > most:
            return None
        file_digest.update(raw)
        bare = without_end(raw)
        owner, pattern = rows.owner(bare)
        if owner:
            # the rows of a person are mostly adjacent: share one string for all of them
            last = owner = last if owner == last else owner
            line = start.copy()
            line.update(bare)
            number = int.from_bytes(line.digest(), "little")
            people[owner] = people.get(owner, 0) + number & _MASK
        owners.append(owner)
        numbers.append(pattern)
        if not len(owners) % PRUNE:
            rows.prune()
    digests.digest, digests.sample = file_digest.hexdigest(), rows.sample()
    return digests
