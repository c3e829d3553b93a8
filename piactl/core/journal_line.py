"""Lines of the journal and the chain that they make: values and arithmetic only.

A line is one JSON object in canonical form (keys sorted, no blanks, ASCII) followed by its own hash:
`{...,"hash":"H"}` where H is the SHA-256 of the object without `hash`, and `prev` inside the object is
the hash of the line before. So every byte of a line is covered by its hash, and every line by the next.
`jq -cSa 'del(.hash)' | tr -d '\\n' | sha256sum` gives the same hash without piactl.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

MAX_LINE = 4 * 1024 * 1024
"""Bytes of the longest line that is written or read."""

OUTCOMES = ("applied", "already so", "conflict", "failed")
"""What can become of an intent."""

_TAIL = re.compile(rb',"hash":"([0-9a-f]{64})"\}$')
_HASH = re.compile(r"[0-9a-f]{64}")
_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode


class Head(NamedTuple):
    """The last line of a chain: its number and its hash. Anchored elsewhere, it proves all lines up to it."""

    seq: int
    hash: str


GENESIS = Head(0, "0" * 64)
"""What the first line of all follows."""

CUT, EXPORT = "cut", "export"
"""Types of the lines that a pruned journal and an export begin with; see `sealed_in_place`."""


class BrokenLine(Exception):
    """Bytes that are not a line. `torn` tells what a crash can leave from what only a hand can."""

    def __init__(self, why: str, *, torn: bool) -> None:
        self.torn = torn
        super().__init__(why)


class LineTooLong(Exception):
    """A line would be longer than MAX_LINE: nobody could read it back."""


@dataclass(frozen=True, slots=True)
class JournalLine:
    """One line. `time` is UTC, ISO 8601; `fields` are those that belong to its type only."""

    seq: int
    time: str
    type: str
    run: str
    prev: str
    hash: str
    fields: Mapping[str, Any]

    @property
    def head(self) -> Head:
        return Head(self.seq, self.hash)


def sealed(body: Mapping[str, object], after: Head) -> tuple[bytes, Head]:
    """The bytes of the line that holds `body` (with time, type, run) and follows `after`, and its head.

    Raises LineTooLong.
    """
    text = _encode({**body, "seq": after.seq + 1, "prev": after.hash}).encode("ascii")
    digest = hashlib.sha256(text).hexdigest()
    line = text[:-1] + b',"hash":"' + digest.encode("ascii") + b'"}\n'
    if len(line) > MAX_LINE:
        raise LineTooLong(f"a journal line of {len(line)} bytes is longer than {MAX_LINE}")
    return line, Head(after.seq + 1, digest)


def parsed(raw: bytes) -> JournalLine:
    """The line in `raw` (with or without its newline), its hash not yet proved. Raises BrokenLine."""
    raw = raw.removesuffix(b"\n")
    try:
        found = json.loads(raw.decode("ascii"))
    except (ValueError, RecursionError):
        raise BrokenLine("is not JSON", torn=True) from None
    if not isinstance(found, dict):
        raise BrokenLine("is not a JSON object", torn=False)
    seq = found.pop("seq", None)
    texts = {name: found.pop(name, None) for name in ("time", "type", "run", "prev", "hash")}
    if type(seq) is not int or not all(isinstance(text, str) for text in texts.values()):
        raise BrokenLine("lacks seq, time, type, run, prev or hash", torn=False)
    return JournalLine(seq=seq, fields=found, **texts)


def ended(raw: bytes) -> bytes:
    """`raw`, where it has its newline. Raises BrokenLine."""
    if raw.endswith(b"\n"):
        return raw
    if len(raw) > MAX_LINE:
        raise BrokenLine(f"is longer than {MAX_LINE} bytes", torn=False)
    raise BrokenLine("has no end", torn=True)


def proved(raw: bytes) -> JournalLine:
    """As `parsed`, and the line is in canonical form and its hash is that of its content."""
    raw = raw.removesuffix(b"\n")
    line = parsed(raw)  # a key given twice, too, shows in the canonical form below
    tail = _TAIL.search(raw)
    if tail is None or not _HASH.fullmatch(line.prev):
        raise BrokenLine("was edited: it does not end in its hash", torn=False)
    text = raw[: tail.start()] + b"}"
    if hashlib.sha256(text).hexdigest() != line.hash:
        raise BrokenLine("was edited: its hash is not that of its content", torn=False)
    own = {"seq": line.seq, "time": line.time, "type": line.type, "run": line.run, "prev": line.prev}
    content = {**line.fields, **own}
    if _encode(content).encode("ascii") != text:
        raise BrokenLine("was edited: it is not in canonical form", torn=False)
    return line


def gap(after: Head, line: JournalLine) -> str:
    """Why `line` cannot be the one that follows `after`; "" where it is."""
    due = after.seq + 1
    if line.seq > due:
        missing = f"line {due} is" if line.seq == due + 1 else f"lines {due} to {line.seq - 1} are"
        return f"has number {line.seq} where {due} is due: {missing} missing before it"
    if line.seq < due:
        return f"has number {line.seq} where {due} is due: it is repeated, or out of order"
    if line.prev != after.hash:
        return f"does not follow line {after.seq}: one of the two was replaced"
    return ""


def opens_file(line: JournalLine) -> bool:
    """Whether a file may begin with `line`: the first of all, one that names what it continues, or a cut."""
    return (line.seq == 1 and line.prev == GENESIS.hash) or line.type in ("continued", CUT)


def sealed_in_place(body: Mapping[str, object], of: Head) -> bytes:
    """The bytes of a line that stands in for the line `of`, which is not in the file, and for all before it.

    It has that line's number, and that line's hash as its `prev`: so the next line follows both.
    Raises LineTooLong.
    """
    return sealed(body, Head(of.seq - 1, of.hash))[0]


def replaced(line: JournalLine) -> Head:
    """The line that a `cut` or `export` line stands in for: what the next line follows."""
    return Head(line.seq, line.prev)
