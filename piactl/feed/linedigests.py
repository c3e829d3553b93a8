"""Whose each line of a feed is, and a keyed digest of all lines of each person.

Two feeds that say the very same of a person, in whatever order, give the same digest; so whoever is already
settled need not be understood again.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Container
from dataclasses import dataclass, field
from pathlib import Path

from piactl.core.settings import SourceSettings
from piactl.feed.damage import CODECS
from piactl.feed.layout import read_layout
from piactl.feed.rows import RowReader, without_end

_MASK = (1 << 64) - 1


@dataclass(slots=True)
class LineDigests:
    """`owners` and `values` have one item per line of the file, the header's first: the matricule the line
    would be read under ("" where none), and a bit for each column that holds a value.
    `people`: matricule -> the digest of all its lines. `digest` is the SHA-256 of the file."""

    owners: list[str] = field(default_factory=list, repr=False)
    values: array[int] = field(default_factory=lambda: array("I"), repr=False)
    people: dict[str, int] = field(default_factory=dict, repr=False)
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Skipped:
    """Whose lines of a feed are passed by, because they are known already."""

    lines: LineDigests
    people: Container[str]


def digest_lines(path: Path, source: SourceSettings, key: bytes) -> LineDigests | None:
    """The digests of a feed under a key; None where it cannot be read so far, and reading it as a whole says
    why. Nothing is judged here."""
    found = LineDigests()
    whole = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            header = stream.readline(1 << 20)
            whole.update(header)
            text = header.removeprefix(b"\xef\xbb\xbf").rstrip(b"\r\n").decode(CODECS[source.encoding])
            layout, _ = read_layout(text, source)
            if layout is None:
                return None
            rows = RowReader(layout, source)
            start = hashlib.blake2b(header + source.name.encode(), key=key, digest_size=8)
            owners, values, people = found.owners, found.values, found.people
            owners.append("")
            values.append(0)
            last = ""
            for raw in stream:
                whole.update(raw)
                bare = without_end(raw)
                owner, mask = rows.owner(bare)
                if owner:
                    # the rows of one person mostly stand together: one text for all of them
                    last = owner = last if owner == last else owner
                    line = start.copy()
                    line.update(bare)
                    number = int.from_bytes(line.digest(), "little")
                    people[owner] = people.get(owner, 0) + number & _MASK
                owners.append(owner)
                values.append(mask)
    except (OSError, UnicodeDecodeError):
        return None
    found.digest = whole.hexdigest()
    return found
