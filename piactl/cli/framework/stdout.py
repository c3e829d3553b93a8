"""Stdout as a place that may fail: a full disk is told in a sentence, whoever prints."""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from typing import Any, TextIO

from piactl.errors import PiactlError

_ESCAPED = "piactl-escaped"


def _escaped(error: UnicodeError) -> tuple[str, int]:
    """What the encoding of stdout lacks, as JSON writes it: so what is JSON stays so."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[i : i + 4]}" for i in range(0, len(units), 4)), error.end


class StdoutLost(PiactlError):
    """What was to be printed did not reach stdout."""


class WatchedStdout:
    """`stream`, whose failures are StdoutLost; but BrokenPipeError where whoever read has gone.

    Characters that its encoding lacks are written as escapes. Who has failed once always fails: libraries try
    a stream out and swallow what it says. What the stream still holds goes nowhere: flushed at the
    interpreter's end, it would be noise and an exit code of its own.
    """

    def __init__(self, stream: TextIO) -> None:
        if isinstance(stream, TextIOWrapper):
            codecs.register_error(_ESCAPED, _escaped)
            stream.reconfigure(errors=_ESCAPED)
        self._stream = stream
        self._lost = ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with self._telling():
            return self._stream.write(text)

    def flush(self) -> None:
        with self._telling():
            self._stream.flush()

    @contextmanager
    def _telling(self) -> Iterator[None]:
        if self._lost:
            raise StdoutLost(self._lost)
        try:
            yield
        except BrokenPipeError:
            raise
        except OSError as error:
            discard(self._stream)
            self._lost = (
                f"stdout cannot be written ({error.strerror}); free space there, or send it elsewhere"
            )
            raise StdoutLost(self._lost) from None


def discard(stream: TextIO) -> None:
    """Lets go to nowhere what the stream still holds and all that comes."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
