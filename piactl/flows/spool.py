"""Values kept out of the memory, each found again by its place."""

from __future__ import annotations

import pickle
import struct
from pathlib import Path
from typing import Generic, TypeVar

from piactl.namelessfile import NamelessFile

_LENGTH = struct.Struct("<I")

T = TypeVar("T")


class Spool(Generic[T]):
    """`folder` and the errors are those of NamelessFile."""

    def __init__(self, folder: Path) -> None:
        self._file = NamelessFile(folder)

    def add(self, value: T) -> int:
        """Keeps a value; its place."""
        text = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
        return self._file.add(_LENGTH.pack(len(text)) + text)

    def at(self, place: int) -> T:
        """The value at a place."""
        (length,) = _LENGTH.unpack(self._file.read(place, _LENGTH.size))
        # this process alone has written what it reads here
        value: T = pickle.loads(self._file.read(place + _LENGTH.size, length))  # noqa: S301
        return value
