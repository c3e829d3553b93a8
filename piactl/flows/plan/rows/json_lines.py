"""Rows of a plan as JSON texts, one after the other: few in the memory, many out of it, so that a plan of a
million people takes no more memory than one of a thousand."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from piactl.private_files import BLOCK, NamelessFile

encode = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode
"""A value as canonical JSON: no blanks, the names of each object sorted."""


class Lines:
    """JSON objects in the order in which they were added, read as often as wanted. `folder` and the errors
    are those of NamelessFile."""

    def __init__(self, folder: Path, rows: Iterable[object] = ()) -> None:
        self._file = NamelessFile(folder)
        self._count = 0
        for row in rows:
            self.add(encode(row).encode())

    def add(self, text: bytes) -> None:
        """Adds one row, which holds no line end."""
        self._file.add(text + b"\n")
        self._count += 1

    def texts(self) -> Iterator[bytes]:
        """The rows as they were added."""
        at, rest, end = 0, b"", len(self._file)
        while at < end:
            block = self._file.read(at, BLOCK)
            at += len(block)
            *whole, rest = (rest + block).split(b"\n")
            yield from whole

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        return map(json.loads, self.texts())

    def __len__(self) -> int:
        return self._count
