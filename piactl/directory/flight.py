"""Writes on their way to one server: which were sent, which are answered, which must not be sent beside them.

Bookkeeping only; `bulk` does the sending.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from piactl.directory.client.connection import Session
from piactl.directory.client.result_codes import ONE_ENTRY, SUCCESS, ConnectionLost, Result
from piactl.directory.port import EntryWrite, WriteResult


@dataclass(slots=True)
class Sent:
    """A write; `out` once any of it may have gone out, `answer` is None until there is one.

    `doubtful`: it went out before, without an answer. `result`: what became of it, once that is known.
    """

    write: EntryWrite
    out: bool = False
    doubtful: bool = False
    answer: Result | None = None
    result: WriteResult | None = None

    @property
    def plain(self) -> bool:
        """Whether the answer is a yes, or a refusal that says nothing of other entries."""
        return self.answer is not None and (self.answer.code == SUCCESS or self.answer.code in ONE_ENTRY)

    @property
    def silent(self) -> bool:
        """Whether it went out, and no answer has come."""
        return self.out and self.answer is None


@dataclass(slots=True)
class Flight:
    """What is on its way, in the order of sending. `waiting` are those without an answer, by the number of
    their request in `session`.

    `lost`: the connection broke; `losses` times since anything was last achieved. `troubled`: a write of
    them needs more than to be told.
    """

    session: Session
    sent: deque[Sent] = field(default_factory=deque)
    waiting: dict[int, Sent] = field(default_factory=dict)
    lost: ConnectionLost | None = None
    losses: int = 0
    troubled: bool = False
    _names: set[str] = field(default_factory=set)
    _above: set[str] = field(default_factory=set)

    def may_join(self, write: EntryWrite) -> bool:
        """Whether this write meets the same entry whichever of those on their way are done before it."""
        if not self.sent:
            return True
        name, above = _lineage(write.dn)
        if "\\" in name or name in self._names or name in self._above:
            return False  # spelled with escapes, two names may be one
        return self._names.isdisjoint(above)

    def join(self, write: EntryWrite) -> Sent:
        sent = Sent(write)
        self.sent.append(sent)
        name, above = _lineage(write.dn)
        self._names.add(name)
        # never taken out again: at worst a write waits that would not have to
        self._above.update(above)
        return sent

    def number(self, numbers: Sequence[int], sent: Sequence[Sent]) -> None:
        """Notes under which numbers they went out."""
        self.waiting.update(zip(numbers, sent, strict=True))

    def answered(self, number: int, answer: Result) -> Sent:
        sent = self.waiting.pop(number)
        sent.answer = answer
        self.losses = 0
        self.troubled = self.troubled or not sent.plain
        return sent

    def broken(self, lost: ConnectionLost) -> None:
        self.lost, self.troubled = lost, True
        self.losses += 1
        self.waiting.clear()

    def leave(self) -> WriteResult | None:
        """Takes out the first one if it is known what became of it."""
        if not self.sent or self.sent[0].result is None:
            return None
        first = self.sent.popleft()
        self._names.discard(_lineage(first.write.dn)[0])
        return first.result


def _lineage(dn: str) -> tuple[str, frozenset[str]]:
    """A name without case and blanks, and the names of all entries above it."""
    name = "".join(dn.casefold().split())
    return name, _upwards(name.partition(",")[2])


@lru_cache(maxsize=64)
def _upwards(name: str) -> frozenset[str]:
    parts = name.split(",")
    return frozenset(",".join(parts[at:]) for at in range(len(parts)))
