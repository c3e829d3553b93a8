"""Writes the people that a format reads as rows of the canonical layout, each with its place in the files."""

from __future__ import annotations

import json
import os
import re
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from io import BufferedReader
from typing import IO

from piactl.core.model.settings import SourceSettings
from piactl.core.plan.check_feed_limits import DeltaBasis

COLUMNS = (
    "matricule", "civilite", "nom_usage", "nom_famille", "prenom", "date_naissance",
    "uai", "fonction", "discipline", "modalite",
)  # fmt: skip
"""The columns that national feeds fill; they know neither NUMEN, corps nor position."""
STARTED = (*COLUMNS, "debut")
"""In an undated row `debut` is blank: the post begins on the day of the first set that lists it."""
DATED = (*COLUMNS, "debut", "fin")


class RowWriter:
    """`day` is the date of the set: a post that the set lists first starts on it, unless its row has a date.
    `uais`: absences count only at these establishments, everywhere if None. `passed` counts what was
    skipped, with the reason, `posts` and `at` the posts by function and by establishment.

    For later deltas: `kind` is the name of such sets, `number` orders those of one day, `structures` are
    their UAIs by number, `records` takes the people, one line each. For a delta: `basis` is the set that it
    changes, `gone` are the matricules that it deletes, `remark` says what it changes, `later` are the digests
    of kept sets of its day or later. `local` are the matricules of people whom a head of school made.
    """

    def __init__(self, stream: IO[bytes], records: IO[bytes], columns: tuple[str, ...] = COLUMNS) -> None:
        self._stream, self._records, self.columns = stream, records, columns
        self.kind, self.remark, self.number = "", "", 0
        self.structures: Mapping[str, str] = {}
        self.basis: DeltaBasis | None = None
        self.gone: frozenset[str] = frozenset()
        self.later: frozenset[str] = frozenset()
        self.local: frozenset[str] = frozenset()
        self.files: list[str] = []
        self._file_of = array("H")
        self._line_of = array("I")
        self.day: date | None = None
        self.uais: frozenset[str] | None = None
        self.passed: Counter[tuple[str, str]] = Counter()
        self.posts: Counter[str] = Counter()
        self.at: Counter[str] = Counter()
        stream.write((";".join(columns) + "\n").encode())

    def pass_over(self, subject: str, why: str, number: int = 1) -> None:
        self.passed[subject, why] += number

    def record(self, person: Sequence[object]) -> None:
        """Adds a person as later deltas need them."""
        self._records.write(json.dumps(person, ensure_ascii=False).encode("utf-8", "replace") + b"\n")

    def write(self, cells: tuple[str, ...], file: str, line: int) -> None:
        """Adds a row, in the order of the columns. It comes from this line of this file."""
        if not self.files or self.files[-1] != file:
            self.files.append(file)
        self._file_of.append(len(self.files) - 1)
        self._line_of.append(min(line, 0xFFFF_FFFF))
        text = ";".join(cells)
        if text.count(";") >= len(cells) or '"' in text or not text.isprintable():
            text = ";".join(_cell(cell) for cell in cells)
        self._stream.write(text.encode("utf-8", "replace") + b"\n")

    def place(self, line: int) -> tuple[str, int]:
        """The file and the line of a line of the rows, counted from 1 at the header."""
        index = line - 2
        if not 0 <= index < len(self._line_of):
            return (self.files[0] if self.files else ""), 0
        return self.files[self._file_of[index]], self._line_of[index]


def _cell(text: str) -> str:
    text = " ".join(text.split()) if not text.isprintable() else text
    return '"' + text.replace('"', '""') + '"' if ";" in text or '"' in text else text


FileState = tuple[int, ...]
"""Differs between two readings of a file if it was written or replaced between them."""


@dataclass(frozen=True, slots=True)
class OpenFeed:
    """The rows of a feed: `stream` has them, `source` their layout. `written` has what else the format
    understood of a set of files, and `digest` is theirs; a CSV file has neither."""

    stream: BufferedReader
    source: SourceSettings
    written: RowWriter | None = None
    digest: str = ""

    def state(self) -> FileState:
        facts = os.fstat(self.stream.fileno())
        return facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns


def file_order(name: str, pattern: str) -> tuple[date | None, int]:
    """The first real date that `pattern` (groups year, month, day) finds in a file name, and the group
    `number` beside it, a time or a sequence number; 0 without one."""
    for match in re.finditer(pattern, name) if pattern else ():
        parts = match.groupdict()
        try:
            day = date(int(parts["year"]), int(parts["month"]), int(parts["day"]))
            return day, int(parts.get("number") or 0)
        except (ValueError, KeyError, TypeError):
            continue
    return None, 0
