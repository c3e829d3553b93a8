"""Reading a configuration file as text, whole, or saying why that cannot be."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from piactl.errors import ConfigurationInvalid, Mistake
from piactl.privatefiles import may_not

MAX_BYTES = 1_000_000
"""No file that people write is near this size; one that is was named by mistake."""

_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class Content:
    """The text of a file without its byte order mark; `digest` is the SHA-256 of its bytes in hexadecimal."""

    text: str
    digest: str


def read_content(path: Path, *, max_bytes: int = MAX_BYTES) -> Content:
    """The file as UTF-8 text without control characters; ConfigurationInvalid says what to do otherwise."""
    raw = _read_bytes(path, max_bytes)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        column = error.start - (raw.rfind(b"\n", 0, error.start) + 1) + 1
        raise _unusable(
            path,
            f"not UTF-8: byte 0x{raw[error.start]:02x}; save the file as UTF-8"
            " (`iconv -f windows-1252 -t utf-8` converts an old one)",
            line,
            column,
        ) from None
    if not text.strip():
        raise _unusable(path, "the file is empty; write it, or put back the version that worked")
    strange = _UNPRINTABLE.search(text)
    if strange is not None:
        line, column = place_of(text, strange.start())
        raise _unusable(path, f"control character U+{ord(strange.group()):04X}; remove it", line, column)
    return Content(text, hashlib.sha256(raw).hexdigest())


def place_of(text: str, offset: int) -> tuple[int, int]:
    """Line and column, from 1, of a character."""
    return text.count("\n", 0, offset) + 1, offset - (text.rfind("\n", 0, offset) + 1) + 1


def _read_bytes(path: Path, max_bytes: int) -> bytes:
    try:
        if path.is_dir():
            raise _unusable(path, "this is a folder; name the file in it")
        if path.exists() and not path.is_file():
            raise _unusable(path, "this is not a regular file; name a file")
        with path.open("rb") as file:
            raw = file.read(max_bytes + 1)
    except FileNotFoundError:
        raise _unusable(
            path,
            "there is no such file; check the path, or copy the one in examples/ "
            "(for a trial: piactl sandbox start)",
        ) from None
    except PermissionError:
        raise _unusable(path, may_not(path)) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "the path is not valid"
        raise _unusable(path, f"cannot be read: {reason}; check its owner, its mode and its path") from None
    if len(raw) > max_bytes:
        raise _unusable(path, f"larger than {max_bytes:,} bytes; this is hardly the file that was meant")
    return raw


def _unusable(path: Path, message: str, line: int = 0, column: int = 0) -> ConfigurationInvalid:
    return ConfigurationInvalid([Mistake(str(path), line, column, message)])
