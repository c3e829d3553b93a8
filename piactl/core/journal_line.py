"""Journal lines and their hash chain: values and hashes only, no files.

A line is one JSON object in canonical form (keys sorted, no blanks, ASCII) followed by its own hash:
`{...,"hash":"H"}` where H is the SHA-256 of the object without `hash`, and `prev` inside the object is
the hash of the line before. Each hash covers every byte of its line, and each line covers the one before.
`jq -cSa 'del(.hash)' | tr -d '\\n' | sha256sum` gives the same hash without piactl.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from piactl.core.text import read_json
from piactl.phrase import Phrase

MAX_LINE = 4 * 1024 * 1024
"""The maximum length of a line in bytes."""

OUTCOMES = ("applied", "unchanged", "conflict", "failed")
"""The possible outcomes of an intent."""
_FORMER_OUTCOMES = {"already so": "unchanged"}
"""Words of 0.2.0 and earlier, in journals and in records of runs."""

_TAIL = re.compile(rb',"hash":"([0-9a-f]{64})"\}$')
_HASH = re.compile(r"[0-9a-f]{64}")
_ANCHOR = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z) ([!-~]+) ([!-~]+) ([0-9]{1,18}):([0-9a-f]{64})(?: [!-~ ]+)?"
)
"""A head in syslog; versions up to 0.2.0 wrote a server and a time after it."""
_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode


class Head(NamedTuple):
    """The number and hash of the last line of a chain. Stored elsewhere, it proves all lines up to it."""

    seq: int
    hash: str

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Head:
        """The head that a line names, as `_asdict` writes it. Raises KeyError, TypeError or ValueError."""
        return cls(int(facts["seq"]), str(facts["hash"]))


@dataclass(frozen=True, slots=True)
class Anchor:
    """The head of a journal after `run`, as syslog has it. `owner` is the owner of the journal (see
    `journal_owner`), `time` is UTC in ISO 8601."""

    time: str
    owner: str
    run: str
    head: Head

    def __str__(self) -> str:
        return f"{self.time} {self.owner} {self.run} {self.head.seq}:{self.head.hash}"


def journal_owner(user: str, host: str) -> str:
    """The owner of a journal: the Unix user that runs piactl on a host."""
    return f"{user}@{host}"


def read_anchor(text: str) -> Anchor | None:
    """The anchor in a text, as `str` writes it; None for any other text."""
    match = _ANCHOR.fullmatch(text)
    if match is None:
        return None
    try:
        datetime.fromisoformat(match[1])
    except ValueError:  # anybody on the host may send syslog one of 30 February
        return None
    return Anchor(match[1], match[2], match[3], Head(int(match[4]), match[5]))


GENESIS = Head(0, "0" * 64)
"""The head before the first line of a journal."""

CUT = "cut"
"""Type of the line that a journal begins with if version 0.2.0 pruned it. It replaces the lines that were
removed: it has the number of the last of them and, as its `prev`, the hash of that line."""

CLOSED = "closed"
"""Type of the last line of a chain that another journal goes on from, and of the line there that names it."""


class BrokenLine(Exception):
    """Bytes that are not a valid line. `torn`: a crash can cause this; otherwise the line was edited."""

    def __init__(self, why: str, *, torn: bool) -> None:
        self.torn = torn
        super().__init__(why)


class LineTooLong(Exception):
    """A line would be longer than MAX_LINE, so it could not be read back."""


@dataclass(frozen=True, slots=True)
class JournalLine:
    """One line. `time` is UTC in ISO 8601; `fields` are the fields of its type."""

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
        raise LineTooLong(
            Phrase(
                "a journal line of {number} bytes is longer than {max_line}",
                number=len(line),
                max_line=MAX_LINE,
            )
        )
    return line, Head(after.seq + 1, digest)


def parsed(raw: bytes) -> JournalLine:
    """The line in `raw` (with or without newline), without a check of its hash. Raises BrokenLine."""
    raw = raw.removesuffix(b"\n")
    try:
        fields = read_json(raw.decode("ascii"))
    except (ValueError, RecursionError):
        raise BrokenLine(Phrase("is not JSON"), torn=True) from None
    if not isinstance(fields, dict):
        raise BrokenLine(Phrase("is not a JSON object"), torn=False)
    seq = fields.pop("seq", None)
    texts = {name: fields.pop(name, None) for name in ("time", "type", "run", "prev", "hash")}
    if type(seq) is not int or not all(isinstance(text, str) for text in texts.values()):
        raise BrokenLine(Phrase("lacks seq, time, type, run, prev or hash"), torn=False)
    return JournalLine(seq=seq, fields=fields, **texts)


def ended(raw: bytes) -> bytes:
    """`raw`, if it ends in a newline. Raises BrokenLine otherwise."""
    if raw.endswith(b"\n"):
        return raw
    if len(raw) > MAX_LINE:
        raise BrokenLine(Phrase("is longer than {max_line} bytes", max_line=MAX_LINE), torn=False)
    raise BrokenLine(Phrase("has no end"), torn=True)


def proved(raw: bytes) -> JournalLine:
    """Like `parsed`, but raises BrokenLine also if the form is not canonical or the hash is wrong."""
    raw = raw.removesuffix(b"\n")
    line = parsed(raw)  # the check of the canonical form below also finds duplicate keys
    tail = _TAIL.search(raw)
    if tail is None or not _HASH.fullmatch(line.prev):
        raise BrokenLine(Phrase("was edited: it does not end in its hash"), torn=False)
    text = raw[: tail.start()] + b"}"
    if hashlib.sha256(text).hexdigest() != line.hash:
        raise BrokenLine(Phrase("was edited: its hash is not that of its content"), torn=False)
    own = {"seq": line.seq, "time": line.time, "type": line.type, "run": line.run, "prev": line.prev}
    content = {**line.fields, **own}
    if _encode(content).encode("ascii") != text:
        raise BrokenLine(Phrase("was edited: it is not in canonical form"), torn=False)
    return line


def gap(after: Head, line: JournalLine) -> str:
    """Why `line` cannot follow `after`, or "" if it does."""
    due = after.seq + 1
    if line.seq > due:
        facts = {"seq": line.seq, "due": due, "last": line.seq - 1}
        if line.seq == due + 1:
            return Phrase("has number {seq} where {due} is due: line {due} is missing before it", **facts)
        return Phrase(
            "has number {seq} where {due} is due: lines {due} to {last} are missing before it", **facts
        )
    if line.seq < due:
        return Phrase(
            "has number {seq} where {due} is due: it is repeated, or out of order", seq=line.seq, due=due
        )
    if line.prev != after.hash:
        return Phrase("does not follow line {seq}: one of the two was replaced", seq=after.seq)
    return ""


def current_outcome(word: str) -> str:
    """The word of OUTCOMES for the outcome of a line or record, which an older version may have written."""
    return _FORMER_OUTCOMES.get(word, word)


def opens_file(line: JournalLine) -> bool:
    """Whether a file may begin with `line`: the first line, one that continues another file, or a cut."""
    return (line.seq == 1 and line.prev == GENESIS.hash) or line.type in ("continued", CUT)


def replaced(line: JournalLine) -> Head:
    """The head of the line that a `cut` line replaces; the next line follows it."""
    return Head(line.seq, line.prev)
