"""A file that nobody else can open and that is gone with the process: what does not fit into the memory."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO

from piactl.errors import PiactlError

IN_MEMORY = 32 << 20
"""Bytes that are kept in the memory before there is a file."""

BLOCK = 1 << 20


class NamelessFile:
    """Bytes that are only ever added to.

    `folder` is where the file is made, if one is needed; where this process may not write there, the system's
    own for temporary files. What is read back is what was written: no other process sees it.
    Raises PiactlError where it cannot be written or read back.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: BinaryIO | None = None
        self._end = 0  # of what is in the file; the rest is fresh
        self._fresh = bytearray()

    def __len__(self) -> int:
        return self._end + len(self._fresh)

    def add(self, data: bytes) -> int:
        """Adds to the end; where that was."""
        place = len(self)
        self._fresh += data
        if len(self._fresh) >= (IN_MEMORY if self._file is None else BLOCK):
            self._put()
        return place

    def read(self, place: int, length: int) -> bytes:
        """The bytes at a place, fewer at the end."""
        if place < self._end < place + length:
            self._put()
        if place >= self._end:
            start = place - self._end
            return bytes(self._fresh[start : start + length])
        found = b""
        length = min(length, self._end - place)
        try:
            while len(found) < length:
                piece = os.pread(self._descriptor(), length - len(found), place + len(found))
                if not piece:
                    raise OSError(0, "it is shorter than what was written")  # noqa: TRY301 - told as any other
                found += piece
        except OSError as error:
            raise self._unusable(error) from None
        return found

    def _put(self) -> None:
        try:
            descriptor = self._descriptor()
            with memoryview(self._fresh) as fresh:
                done = 0
                while done < len(fresh):
                    done += os.pwrite(descriptor, fresh[done:], self._end + done)
        except OSError as error:
            raise self._unusable(error) from None
        self._end += len(self._fresh)
        self._fresh.clear()

    def _descriptor(self) -> int:
        if self._file is None:
            folder = self._folder if os.access(self._folder, os.W_OK) else None
            self._file = TemporaryFile(buffering=0, dir=folder)  # noqa: SIM115 - closed with the object
        return self._file.fileno()

    def __del__(self) -> None:
        if self._file is not None:
            self._file.close()

    def _unusable(self, error: OSError) -> PiactlError:
        return PiactlError(
            f"{self._folder}: a large plan cannot be kept there while it is made ({error.strerror}); make "
            "room on that disk"
        )
