"""Rows of a plan as JSON texts, one after the other: in the memory while they are few, else in a file without
a name, so that a plan of a million people takes no more memory than one of a thousand."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, BinaryIO

from piactl.errors import PiactlError

IN_MEMORY = 32 << 20
"""Bytes of rows that are kept in the memory."""

_BLOCK = 1 << 20

encode = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode
"""A value as canonical JSON: no blanks, the names of each object sorted."""


class Lines:
    """JSON objects in the order in which they were added, read as often as wanted.

    `folder` is where the file is made, if one is needed; it is seen by nobody and gone with the process.
    Raises PiactlError where it cannot be written or read back.
    """

    def __init__(self, folder: Path | None, rows: Iterable[object] = ()) -> None:
        self._folder = folder
        self._file: BinaryIO | None = None
        self._count = self._end = 0
        self._fresh = bytearray()
        for row in rows:
            self.add(encode(row).encode())

    def add(self, text: bytes) -> None:
        """Adds one row, which holds no line end."""
        self._fresh += text
        self._fresh += b"\n"
        self._count += 1
        if len(self._fresh) >= (IN_MEMORY if self._file is None else _BLOCK):
            self._put()

    def _put(self) -> None:
        try:
            if self._file is None:
                self._file = TemporaryFile(buffering=0, dir=self._folder)  # noqa: SIM115 - closed with the object
            with memoryview(self._fresh) as fresh:
                done = 0
                while done < len(fresh):
                    done += os.pwrite(self._file.fileno(), fresh[done:], self._end + done)
        except OSError as error:
            raise self._unusable(error) from None
        self._end += len(self._fresh)
        self._fresh.clear()

    def texts(self) -> Iterator[bytes]:
        """The rows as they were added."""
        at, rest = 0, b""
        while self._file is not None and at < self._end:
            try:
                block = os.pread(self._file.fileno(), min(_BLOCK, self._end - at), at)
            except OSError as error:
                raise self._unusable(error) from None
            if not block:
                raise self._unusable(OSError(0, "it is shorter than what was written"))
            at += len(block)
            *whole, rest = (rest + block).split(b"\n")
            yield from whole
        yield from bytes(self._fresh).split(b"\n")[:-1]

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        return map(json.loads, self.texts())

    def __len__(self) -> int:
        return self._count

    def __del__(self) -> None:
        if self._file is not None:
            self._file.close()

    def _unusable(self, error: OSError) -> PiactlError:
        where = self._folder or "the folder for temporary files"
        return PiactlError(
            f"{where}: the rows of the plan cannot be kept there ({error.strerror}); make room on that disk"
        )


def folder_for(state_folder: str) -> Path | None:
    """Where the rows of large plans may stand: the folder of the host's state, or, for those who may not
    write there, the system's own for temporary files (None)."""
    return Path(state_folder) if os.access(state_folder, os.W_OK) else None
