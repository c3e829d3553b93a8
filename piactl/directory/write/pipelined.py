"""Writes many entries: the plain writer's promises, with many requests on their way at once.

A yes, and a refusal of that one entry, is taken as it comes. Whatever else is answered, or is not, waits
until nothing is on its way any more, and is then settled as the plain writer does, one after the other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from piactl.core.text import counted
from piactl.directory.client.connection import Session
from piactl.directory.client.failover import Link
from piactl.directory.client.result_codes import AGAIN, ONE_ENTRY, STALE, SUCCESS, ConnectionLost, Result
from piactl.directory.port import EntryWrite, WriteResult
from piactl.directory.write.single import DirectoryWriter
from piactl.errors import PiactlError, ReplyLost

# Writes on their way to one server: which were sent, which are answered, which must not be sent beside them.
#
# Bookkeeping only; `bulk` does the sending.


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


PIECE = 16
"""Writes that are sent together: fewer cost more of both sides, more would make the time longer between what
`writes` looks at before it gives one and its sending."""


class Coming:
    """The writes still to be sent. `error` is what ended them: their own, or what the server said; `ended`
    where they came to their end."""

    def __init__(self, writes: Iterable[EntryWrite]) -> None:
        self._writes = iter(writes)
        self._held: EntryWrite | None = None
        self.error: BaseException | None = None
        self.ended = False

    def next(self) -> EntryWrite | None:
        """The next one, None when there is none any more."""
        if self.error is not None:
            return None
        if self._held is not None:
            held, self._held = self._held, None
            return held
        try:
            write = next(self._writes, None)
        except BaseException as error:  # noqa: BLE001 - raised again when all that was sent is accounted for
            self.error = error
            return None
        self.ended = write is None
        return write

    def hold(self, write: EntryWrite) -> None:
        """Puts one back."""
        self._held = write


class BulkWriter(DirectoryWriter):
    """The Writer of `port`, with up to `in_flight` requests sent from the first one not yet told on."""

    def __init__(self, link: Link, page_size: int, in_flight: int) -> None:
        super().__init__(link, page_size)
        self._in_flight = in_flight

    def write(self, writes: Iterable[EntryWrite]) -> Generator[WriteResult]:
        coming, flight = Coming(writes), Flight(self._link.session)
        try:
            while self._fill(flight, coming):
                self._receive(flight)
                if flight.troubled:
                    self._land(flight)
                    coming.error = self._settle(flight, coming.error)
                while (result := flight.leave()) is not None:
                    yield result
        finally:
            self._land(flight)
        if coming.error is not None:
            raise coming.error

    def _fill(self, flight: Flight, coming: Coming) -> bool:
        """Sends what may join those on their way; False when there is nothing to wait for any more."""
        piece = min(PIECE, self._in_flight)
        while not flight.troubled and len(flight.sent) <= self._in_flight - piece:
            fresh = self._joined(flight, coming, piece)
            if coming.ended and len(flight.sent) == len(fresh) == 1:
                # a lone write is the plain writer's
                flight.troubled = True
                break
            try:
                self._post(flight, fresh)
            except PiactlError as unreachable:
                coming.error = unreachable
                flight.sent = deque(one for one in flight.sent if one.out)
            if len(fresh) < piece:
                break
        return bool(flight.sent)

    def _joined(self, flight: Flight, coming: Coming, limit: int) -> list[Sent]:
        """The next writes to be sent, no more than `limit`."""
        fresh: list[Sent] = []
        while len(fresh) < limit and (write := coming.next()) is not None:
            # without assertions only the plain writer's look at the entry makes a deletion conditional
            alone = write.op == "delete" and not self._asserts()
            if not flight.may_join(write) or (alone and flight.sent):
                coming.hold(write)
                break
            sent = flight.join(write)
            if alone:
                flight.troubled = True
                break
            fresh.append(sent)
        return fresh

    def _post(self, flight: Flight, fresh: Sequence[Sent]) -> None:
        """Raises DirectoryUnreachable where there is no connection and none can be made."""
        if not fresh:
            return
        if not flight.waiting:
            flight.session = self._link.to_write()
        writes = [(one.write, self._controls(one.write, True)) for one in fresh]
        for one in fresh:
            one.out = True
        try:
            flight.number(flight.session.post(writes, _doing(flight)), fresh)
        except ConnectionLost as lost:
            flight.broken(lost)

    def _receive(self, flight: Flight) -> None:
        if not flight.waiting:
            return
        try:
            for number, answer in flight.session.answers(flight.waiting, _doing(flight)):
                sent = flight.answered(number, answer)
                if sent.plain:
                    sent.result = self._one(sent.write, answer=answer)
        except ConnectionLost as lost:
            flight.broken(lost)

    def _land(self, flight: Flight) -> None:
        """Waits for all that is on its way."""
        while flight.waiting:
            self._receive(flight)

    def _settle(self, flight: Flight, error: BaseException | None) -> BaseException | None:
        """Finds out what became of all that are in trouble; what was lost and is not done is sent once more.

        Returns `error`, or what is met here that ends the run. After an error nothing is sent any more, and
        only those whose result is known stay in the flight.
        """
        lost, flight.lost, flight.troubled = flight.lost, None, False
        silent: list[Sent] = []
        unreadable = False
        for one in [one for one in flight.sent if one.result is None]:
            try:
                if not (one.silent and unreadable):
                    one.result = self._found_out(one, lost, error)
                if one.silent and one.result is not None:
                    flight.losses = 0
            except ReplyLost as met:
                unreadable = True
                if error is None:
                    one.out, one.answer, error = True, None, met
            except PiactlError as met:
                error = error or met
            if one.silent and one.result is None:
                silent.append(one)
        if silent and error is None:
            error = self._repeat(flight, silent, lost)
        if error is not None:
            flight.sent = deque(one for one in flight.sent if one.result is not None)
            error = with_doubts(error, [one.write.dn for one in silent])
        return error

    def _found_out(
        self, one: Sent, lost: ConnectionLost | None, error: BaseException | None
    ) -> WriteResult | None:
        """What became of it; None where it is not made, or, if it is silent, not yet."""
        if one.silent and lost is not None:
            return self._after_silence(one.write, lost, False)
        if error is None:
            answer = None if one.answer is None or one.answer.code in AGAIN else one.answer
            return self._one(one.write, answer=answer, doubtful=one.doubtful)
        if one.answer is not None and one.answer.code in STALE:
            return self._settled(one.write, one.doubtful)
        return None

    def _repeat(
        self, flight: Flight, silent: Sequence[Sent], lost: ConnectionLost | None
    ) -> PiactlError | None:
        """Sends once more; or the error that ends the run, where the last repetition achieved nothing."""
        if flight.losses > 1:
            return ReplyLost(f"{lost}\nIt was sent twice without an answer, and was not done when read back.")
        for one in silent:
            one.doubtful = True
        try:
            self._post(flight, silent)
        except PiactlError as unreachable:
            return unreachable
        return None


def _doing(flight: Flight) -> str:
    first, more = flight.sent[0].write, len(flight.sent) - 1
    return f"write {first.dn!r}" + (f" and {more} more" if more else "")


def with_doubts(error: BaseException, doubtful: Sequence[str]) -> BaseException:
    """The error, as one that names the writes in doubt where there are any."""
    if not doubtful or not isinstance(error, PiactlError):
        return error
    if isinstance(error, ReplyLost) and error.doubtful == tuple(doubtful):
        return error
    shown = ", ".join(doubtful[:3]) + (", ..." if len(doubtful) > 3 else "")
    return ReplyLost(f"{error}\n{counted(len(doubtful), 'write')} in doubt, done or not: {shown}", doubtful)
