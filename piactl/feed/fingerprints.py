"""The owner of each feed line, a keyed digest of all lines of each person, and the lines of the last feed.

The digest of a person does not depend on the order of the lines. A person whose digest is unchanged since the
last run need not be parsed again.

Most lines of a feed are those of the last one. Lines are compared in blocks. A block ends after each line
with a certain checksum. So an added, changed or removed row changes one block, and no other block moves. A
block with the keyed digest of a block of the last feed is not read again.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import field
from io import BufferedReader, BytesIO
from itertools import accumulate
from pathlib import Path
from zlib import crc32

from piactl import __version__
from piactl.core.model.settings import SourceSettings
from piactl.core.plan.feed_limits import COUNTED, MOST_DISTINCT
from piactl.core.text import read_json
from piactl.dataclass import dataclass
from piactl.errors import FeedRefused
from piactl.feed.csv_row_validator import PRUNE, Pattern, RowValidator, Sample, form, is_sampled, without_end
from piactl.feed.encoding_and_header import CODECS, PERSON_COLUMNS, ColumnLayout, read_layout
from piactl.feed.feed_file import FileState, OpenFeed, is_trailer, longest_line, open_feed

LINES = 16
"""The average number of lines of a block. More lines make changed rows cost more; fewer lines make unchanged
rows cost more."""
_MOST_LINES = 1_024
_DIGEST = 16
"""The length of the digest of a block in bytes."""
_UNKNOWN = bytes(_DIGEST)
"""Replaces the digest of a block that is always read again."""
_TOKEN = 16
"""The length of the digest of a person's value in hexadecimal digits."""
_NO_VALUE = ("", "X")


def blocks(line_groups: Iterable[list[bytes]]) -> Iterator[list[bytes]]:
    """The lines of a file in blocks."""
    rest: list[bytes] = []
    for lines in line_groups:
        begin = 0
        for end in [number for number, line in enumerate(lines, 1) if not crc32(line) % LINES]:
            yield rest + lines[begin:end]
            rest, begin = [], end
        rest += lines[begin:]
        if len(rest) > _MOST_LINES:
            yield rest
            rest = []
    if rest:
        yield rest


@dataclass(slots=True)
class FileLines:
    """The lines of a file.

    For each line, the header first: `owners` and `numbers`, as in LineDigests, and `digests`; the digest of a
    person is the sum of those of their lines. For each block: `keys`, its digest; `sizes`, the number of its
    lines; `masks`, a bit for each column that was sampled. For each column: `counts`, the number of sampled
    values in each block; `samples`, the numbers of these values; `values`, the values of all blocks, by
    number.
    """

    owners: list[str] = field(default_factory=list, repr=False)
    numbers: array[int] = field(default_factory=lambda: array("I"), repr=False)
    digests: array[int] = field(default_factory=lambda: array("Q"), repr=False)
    patterns: list[Pattern] = field(default_factory=list, repr=False)
    keys: list[bytes] = field(default_factory=list, repr=False)
    sizes: array[int] = field(default_factory=lambda: array("I"), repr=False)
    masks: array[int] = field(default_factory=lambda: array("I"), repr=False)
    counts: list[array[int]] = field(default_factory=list, repr=False)
    samples: list[array[int]] = field(default_factory=list, repr=False)
    values: list[list[str]] = field(default_factory=list, repr=False)


def packed(basis: str, lines: FileLines) -> list[bytes]:
    """The lines as a file of this host keeps them, in pieces."""
    values, samples = [], []
    for texts, numbers in zip(lines.values, lines.samples, strict=True):
        used = {number: place for place, number in enumerate(dict.fromkeys(numbers))}
        values.append([texts[number] for number in used])
        samples.append(array("I", map(used.__getitem__, numbers)))
    owners = "\n".join(lines.owners).encode()
    head = {
        "basis": basis,
        "values": values,
        "patterns": lines.patterns,
        "lines": len(lines.owners),
        "owners": len(owners),
        "blocks": len(lines.keys),
        "samples": [*map(len, samples)],
    }
    parts = (lines.numbers, lines.digests, lines.sizes, lines.masks, *lines.counts, *samples)
    return [
        json.dumps(head, separators=(",", ":")).encode() + b"\n",
        owners,
        *lines.keys,
        *(part.tobytes() for part in parts),
    ]


def unpacked(content: memoryview) -> KnownLines:
    """The known lines in a file that `packed` made. Raises ValueError, LookupError or TypeError for another
    one."""
    data = content.tobytes()
    end = data.index(b"\n")
    head = read_json(data[:end])
    count, blocks, sizes = head["lines"], head["blocks"], head["samples"]
    owners = end + 1 + head["owners"]
    place = owners + blocks * _DIGEST

    def part(code: str, number: int) -> array[int]:
        nonlocal place
        items = array(code)
        items.frombytes(content[place : place + number * items.itemsize])
        place += number * items.itemsize
        return items

    keys = [data[offset : offset + _DIGEST] for offset in range(owners, place, _DIGEST)]
    lines = FileLines(
        owners=data[end + 1 : owners].decode().split("\n"),
        numbers=part("I", count),
        digests=part("Q", count),
        patterns=[(mask, tuple(values)) for mask, values in head["patterns"]],
        keys=keys,
        sizes=part("I", blocks),
        masks=part("I", blocks),
        counts=[part("I", blocks) for _ in sizes],
        samples=[part("I", number) for number in sizes],
        values=head["values"],
    )
    if place != len(data) or len(lines.owners) != count:
        raise ValueError
    return KnownLines(head["basis"], lines)


class KnownLines:
    """The lines of the last file of a source, and those of the next one, while it is read."""

    def __init__(self, basis: str = "", lines: FileLines | None = None) -> None:
        self.basis, self.lines = basis, lines or FileLines()
        self.changed = False
        """Whether the lines differ from those that were known."""

    def begin(self, basis: str, names: Sequence[str], key: bytes) -> LineSampler:
        """Begins the next file. The known lines are used if it has the same basis: the digest of the header
        and the settings of the source."""
        before = self.lines if basis == self.basis else FileLines()
        self.basis = basis
        return LineSampler(before, names, key)

    def end(self, sampler: LineSampler) -> None:
        self.changed = sampler.lines.keys != sampler.before.keys
        self.lines = sampler.lines


class LineSampler:
    """Collects the lines of a file in blocks, known or new, and samples the columns that are not counted.

    A column with many distinct values is sampled only at the beginning of the file. Values of persons are
    stored as a digest and a form (see `form`).
    """

    def __init__(self, before: FileLines, names: Sequence[str], key: bytes) -> None:
        self.before, self.names, self._key = before, names, key
        self.lines = FileLines(values=before.values or [[] for _ in names])
        self.lines.counts = [array("I") for _ in names]
        self.lines.samples = [array("I") for _ in names]
        self.watched = [*range(len(names))]
        self._mask = (1 << len(names)) - 1
        self._seen: list[set[int]] = [set() for _ in names]
        self._numbers = [{text: number for number, text in enumerate(texts)} for texts in self.lines.values]
        self._raw: list[dict[str, int]] = [{} for _ in names]
        self._places = {key: number for number, key in enumerate(before.keys) if key != _UNKNOWN}
        self._first = [*accumulate(before.sizes, initial=0)]
        self._samples = [[*accumulate(counts, initial=0)] for counts in before.counts]
        self._run = range(0)
        self._block = hashlib.blake2b(key=key, digest_size=_DIGEST)
        self._lines = 0
        self._prune_at = PRUNE

    def key_of(self, block: bytes) -> bytes:
        """The digest of a block of lines."""
        digest = self._block.copy()
        digest.update(block)
        return digest.digest()

    def takes(self, key: bytes) -> bool:
        """Adds the block with this digest if it is known, with all columns that are sampled now. Returns
        whether it was added."""
        number = self._places.get(key, -1)
        if number < 0 or self._mask & ~self.before.masks[number]:
            return False
        if number != self._run.stop:
            self._add_known()
            self._run = range(number, number)
        self._run = range(self._run.start, number + 1)
        self._count(self.before.sizes[number])
        return True

    def add(self, key: bytes, rows: Sequence[tuple[str, int, int, Sequence[str]]]) -> None:
        """Adds a block with the owner, pattern, digest and sampled values of each line (none if the line has
        no fields). If the key is b"", the next feed does not know the block."""
        self._add_known()
        lines = self.lines
        lines.keys.append(key or _UNKNOWN)
        lines.sizes.append(len(rows))
        lines.masks.append(self._mask)
        lines.owners += [row[0] for row in rows]
        lines.numbers.extend([row[1] for row in rows])
        lines.digests.extend([row[2] for row in rows])
        fields = [row[3] for row in rows if row[3]]
        for counts in lines.counts:
            counts.append(0)
        for column, values in zip(self.watched, zip(*fields, strict=True), strict=False):
            raw = self._raw[column]
            numbers = {raw[value] if value in raw else self._number(column, value) for value in values}
            lines.samples[column].extend(numbers)
            lines.counts[column][-1] = len(numbers)
            self._seen[column] |= numbers
        self._count(len(rows))

    def _number(self, column: int, value: str) -> int:
        """The number of a new value of a column."""
        text = value
        if self.names[column] in PERSON_COLUMNS and value not in _NO_VALUE:
            digest = hashlib.blake2b(value.encode(), key=self._key, digest_size=_TOKEN // 2)
            text = digest.hexdigest() + form(value)
        values = self.lines.values[column]
        number = self._raw[column][value] = self._numbers[column].setdefault(text, len(values))
        if number == len(values):
            values.append(text)
        return number

    def _add_known(self) -> None:
        """Adds the blocks of the run: known blocks with the same order in both files."""
        first, after, lines, before = self._run.start, self._run.stop, self.lines, self.before
        self._run = range(0)
        if first == after:
            return
        begin, end = self._first[first], self._first[after]
        lines.owners += before.owners[begin:end]
        lines.numbers += before.numbers[begin:end]
        lines.digests += before.digests[begin:end]
        lines.keys += before.keys[first:after]
        lines.sizes += before.sizes[first:after]
        lines.masks += before.masks[first:after]
        for column, places in enumerate(self._samples):
            lines.counts[column] += before.counts[column][first:after]
            numbers = before.samples[column][places[first] : places[after]]
            lines.samples[column] += numbers
            if self._mask >> column & 1:
                self._seen[column].update(numbers)

    def _count(self, lines: int) -> None:
        self._lines += lines
        if self._lines < self._prune_at:
            return
        self._prune_at = self._lines + PRUNE
        self._add_known()
        self.watched = [c for c in self.watched if is_sampled(self.names[c], len(self._seen[c]))]
        self._mask = sum(1 << column for column in self.watched)

    def end(self, patterns: Sequence[Pattern], uai_of: Callable[[str], str | None]) -> Sample:
        """Ends the file and returns the sample of its lines. `patterns` are those of both files; only those
        of this file are kept. `uai_of` returns the UAI in a value, or None."""
        self._add_known()
        lines, order = self.lines, dict.fromkeys(self.lines.numbers)
        number_of = {old: number for number, old in enumerate(order)}
        lines.patterns = [patterns[old] for old in order]
        lines.numbers = array("I", map(number_of.__getitem__, lines.numbers))
        distinct, forms, uais = {}, {}, frozenset[str]()
        for name, numbers, values in zip(self.names, self._seen, self.lines.values, strict=True):
            texts = {values[number] for number in numbers}.difference(_NO_VALUE)
            distinct[name] = min(len(texts), MOST_DISTINCT)
            person = name in PERSON_COLUMNS
            forms[name] = dict(Counter(text[_TOKEN:] if person else form(text) for text in texts))
            if name == "uai":
                uais = frozenset(uai for text in texts if (uai := uai_of(text)))
        return Sample(distinct, forms, uais)


_AT_ONCE = 1 << 20
MASK = (1 << 64) - 1


@dataclass(slots=True)
class LineDigests:
    """`owners` and `numbers` have one item per line, the header first: the matricule of the line ("" if it
    has none, like a #FIN line) and the index of its pattern in `patterns`. `offsets` are where the lines
    begin, and the end of the file.

    `people`: matricule -> digest of all its lines; `others` is that of the lines without an owner. Each is a
    sum of digests that begin as `start`. `not_ascii` counts the lines that are not ASCII.
    `digest` is the SHA-256 of the file, `before_trailer` that of the bytes before its #FIN line, "" without
    one. `state` is that of the file when it was read.
    """

    layout: ColumnLayout
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
    path: Path, source: SourceSettings, key: bytes, known_lines: KnownLines | None = None
) -> LineDigests | None:
    """The digests of a feed under a key, without validating rows. None if the feed cannot be read;
    `read_feed` then reports the reason. `known_lines` has the lines of the last file, and
    afterwards those of this one.
    """
    try:
        with open_feed(path, source) as opened:
            lines = _digests(opened, key, known_lines or KnownLines())
    except (FeedRefused, UnicodeDecodeError, MemoryError):
        return None
    if lines is not None and opened.digest:
        lines.digest = opened.digest
    return lines


def _digests(opened: OpenFeed, key: bytes, known_lines: KnownLines) -> LineDigests | None:
    stream, source = opened.stream, opened.source
    longest = longest_line(source)
    header = stream.readline(longest + 1)
    file_digest = hashlib.sha256(header)
    text = header.removeprefix(b"\xef\xbb\xbf").rstrip(b"\r\n").decode(CODECS[source.encoding])
    layout, _ = read_layout(text, source)
    if layout is None or len(header) > longest:
        return None
    start = hashlib.blake2b(header + source.name.encode(), key=key, digest_size=8)
    digests = LineDigests(layout, start, opened.state(), offsets=array("Q", [0, len(header)]))
    rows = RowValidator(layout, source)
    sampled = {name: place for name, place in layout.places.items() if name not in COUNTED}
    basis = hashlib.blake2b(repr((__version__, header, source)).encode(), key=key, digest_size=16).hexdigest()
    sampler = known_lines.begin(basis, [*sampled], key)
    rows.know(sampler.before.patterns or rows.patterns)
    sampler.add(b"", [("", 0, 0, ())])  # the header
    places = [*sampled.values()]
    most = source.limits.max_rows + 2
    for block in blocks(_line_groups(stream, longest)):
        if max(map(len, block)) > longest or len(digests.offsets) + len(block) > most + 2:
            return None
        digests.offsets.extend(accumulate(map(len, block), initial=digests.offsets.pop()))
        content = b"".join(block)
        if not content.isascii():
            digests.not_ascii += len(block) - sum(map(bytes.isascii, block))
        block_key = sampler.key_of(content)
        if sampler.takes(block_key):
            file_digest.update(content)
            continue
        described = []
        for raw in block:
            bare = without_end(raw)
            if raw[:1] == b"#" and is_trailer(raw):
                digests.before_trailer = digests.before_trailer or file_digest.hexdigest()
                owner, pattern, fields, block_key = "", 0, list[str](), b""
            else:
                owner, pattern, fields = rows.owner(bare)
            values = [fields[places[column]] for column in sampler.watched] if fields else ()
            described.append((owner, pattern, line_digest(start, bare), values))
            file_digest.update(raw)
        sampler.add(block_key, described)
    digests.sample = sampler.end(rows.patterns, rows.uai)
    known_lines.end(sampler)
    lines = sampler.lines
    digests.owners, digests.numbers, digests.patterns = lines.owners, lines.numbers, lines.patterns
    people = digests.people
    for owner, number in zip(lines.owners, lines.digests, strict=True):
        people[owner] = people.get(owner, 0) + number & MASK
    digests.others = people.pop("")
    digests.digest = file_digest.hexdigest()
    return digests


def _line_groups(stream: BufferedReader, longest: int) -> Iterator[list[bytes]]:
    """The lines of a file, some at a time; only the beginning of a line that is too long."""
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
