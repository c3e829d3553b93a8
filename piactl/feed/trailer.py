"""The last line of a feed, `#FIN;rows=N;date=AAAA-MM-JJ`, with `;sha256=HEX` where the source can."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date

_MARK = b"#FIN"
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_COUNT = re.compile(r"[0-9]{1,12}")
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


@dataclass(frozen=True, slots=True)
class Trailer:
    """`sha256` is that of all bytes before the line, lower case, "" where it is not given."""

    rows: int
    date: date
    sha256: str = ""


def is_trailer(raw: bytes) -> bool:
    """Whether a line is meant as the last one, right or wrong."""
    return raw[:4].upper() == _MARK


def read_trailer(raw: bytes) -> Trailer | None:
    """The trailer in a line, None where it is cut or wrong.

    Both `rows` and `date` must be there, so that no beginning of a whole trailer can pass for one with
    another count. Empty parts at its end are ignored: spreadsheets pad rows.
    """
    try:
        parts = raw.decode("ascii").strip().split(";")
    except UnicodeDecodeError:
        return None
    while parts and not parts[-1].strip():
        parts.pop()
    given: dict[str, str] = {}
    for part in parts[1:]:
        name, sign, value = part.partition("=")
        name = name.strip().lower()
        if not sign or name in given:
            return None
        given[name] = value.strip()
    if not parts or parts[0].strip().upper() != "#FIN" or not {"rows", "date"} <= given.keys():
        return None
    if not given.keys() <= {"rows", "date", "sha256"}:
        return None
    return _trailer(given["rows"], given["date"], given.get("sha256"))


def _trailer(rows: str, day: str, sha256: str | None) -> Trailer | None:
    if not _COUNT.fullmatch(rows) or not _DAY.fullmatch(day):
        return None
    if sha256 is not None and not _SHA256.fullmatch(sha256):
        return None
    try:
        return Trailer(int(rows), date.fromisoformat(day), (sha256 or "").lower())
    except ValueError:
        return None
