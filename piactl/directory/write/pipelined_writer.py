"""Writes many entries with the guarantees of the single writer, and with many requests in flight.

A success, or a refusal that concerns one entry, is final at once. Every other answer, and every missing one,
waits until no request is in flight. The single writer's rules then decide each of them in turn.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from piactl.core.plan.write import Write
from piactl.directory.client.connection import Session
from piactl.directory.client.reader import Link
from piactl.directory.client.result_codes import AGAIN, ONE_ENTRY, STALE, SUCCESS, ConnectionLost, Result
from piactl.directory.port import WriteResult
from piactl.directory.write.single_writes import DirectoryWriter
from piactl.errors import PiactlError, ReplyLost
from piactl.phrase import counted


@dataclass(slots=True)
class InFlightWrite:
    """A write in the window. `out` is true once any byte of it may have been sent; `answer` is None until
    the server answers. `result` is the outcome, once it is known.
    """

    write: Write
    out: bool = False
    answer: Result | None = None
    result: WriteResult | None = None

    @property
    def plain(self) -> bool:
        """Whether the answer is a success, or a refusal that concerns this entry only."""
        return self.answer is not None and (self.answer.code == SUCCESS or self.answer.code in ONE_ENTRY)

    @property
    def silent(self) -> bool:
        """Whether it was sent and has no answer."""
        return self.out and self.answer is None


@dataclass(slots=True)
class Window:
    """The writes in flight, in the order of sending. `waiting` holds those without an answer, by the number
    of their request in `session`.

    `lost` is the error that broke the connection. `unsettled`: at least one write has no final answer and
    must be settled.
    """

    session: Session
    sent: deque[InFlightWrite] = field(default_factory=deque)
    waiting: dict[int, InFlightWrite] = field(default_factory=dict)
    lost: ConnectionLost | None = None
    unsettled: bool = False
    _names: set[str] = field(default_factory=set)
    _above: set[str] = field(default_factory=set)
    _freed: set[bytes] = field(default_factory=set)

    def can_add(self, write: Write) -> bool:
        """Whether the result of this write is independent of the writes in flight."""
        if not self.sent:
            return True
        if self._freed and any(value in self._freed for new in write.add.values() for value in new):
            return False  # an address goes from one entry to another
        name, above = _lineage(write.dn)
        if "\\" in name or name in self._names or name in self._above:
            return False  # two spellings with escapes may be the same name
        return self._names.isdisjoint(above)

    def add(self, write: Write) -> InFlightWrite:
        sent = InFlightWrite(write)
        if not self.sent:
            self._freed.clear()
        self.sent.append(sent)
        self._freed.update(value for gone in write.delete.values() for value in gone if b"@" in value)
        name, above = _lineage(write.dn)
        self._names.add(name)
        # never removed: at worst a write waits without need
        self._above.update(above)
        return sent

    def number(self, numbers: Sequence[int], sent: Sequence[InFlightWrite]) -> None:
        """Records the request numbers of sent writes."""
        self.waiting.update(zip(numbers, sent, strict=True))

    def answered(self, number: int, answer: Result) -> InFlightWrite:
        sent = self.waiting.pop(number)
        sent.answer = answer
        self.unsettled = self.unsettled or not sent.plain
        return sent

    def broken(self, lost: ConnectionLost) -> None:
        self.lost, self.unsettled = lost, True
        self.waiting.clear()

    def pop_completed(self) -> WriteResult | None:
        """Removes the first write and returns its result; None if that is not known yet."""
        if not self.sent or self.sent[0].result is None:
            return None
        first = self.sent.popleft()
        self._names.discard(_lineage(first.write.dn)[0])
        return first.result


def _lineage(dn: str) -> tuple[str, frozenset[str]]:
    """A name without case and blanks, and the names of all its ancestors."""
    name = "".join(dn.casefold().split())
    return name, _upwards(name.partition(",")[2])


@lru_cache(maxsize=64)
def _upwards(name: str) -> frozenset[str]:
    parts = name.split(",")
    return frozenset(",".join(parts[index:]) for index in range(len(parts)))


PIECE = 16
"""The number of writes that are sent together. Fewer cost more CPU on both sides; more would lengthen the
time between the checks that the caller makes before a write and the sending of that write."""


class WriteQueue:
    """The writes that are not sent yet. `error` is the error that ended them, from their source or from the
    server; `ended` is true once the source is exhausted."""

    def __init__(self, writes: Iterable[Write]) -> None:
        self._writes = iter(writes)
        self._returned: Write | None = None
        self.error: BaseException | None = None
        self.ended = False

    def next(self) -> Write | None:
        """The next write, None at the end."""
        if self.error is not None:
            return None
        if self._returned is not None:
            returned, self._returned = self._returned, None
            return returned
        try:
            write = next(self._writes, None)
        except BaseException as error:  # noqa: BLE001 - raised again once every sent write is accounted for
            self.error = error
            return None
        self.ended = write is None
        return write

    def put_back(self, write: Write) -> None:
        """Returns a write to the front of the queue."""
        self._returned = write


class PipelinedWriter(DirectoryWriter):
    """The Writer of `port`, with up to `in_flight` requests sent and not yet reported."""

    def __init__(self, link: Link, page_size: int, in_flight: int) -> None:
        super().__init__(link, page_size)
        self._in_flight = in_flight

    def write(self, writes: Iterable[Write]) -> Generator[WriteResult]:
        queue, window = WriteQueue(writes), Window(self._link.session)
        try:
            while self._fill(window, queue):
                self._receive(window)
                if window.unsettled:
                    self._drain(window)
                    queue.error = self._settle(window, queue.error)
                while (result := window.pop_completed()) is not None:
                    yield result
        finally:
            self._drain(window)
        if queue.error is not None:
            raise queue.error

    def _fill(self, window: Window, queue: WriteQueue) -> bool:
        """Fills the window; False when no write is in flight any more."""
        piece = min(PIECE, self._in_flight)
        while not window.unsettled and len(window.sent) <= self._in_flight - piece:
            batch = self._next_batch(window, queue, piece)
            if queue.ended and len(window.sent) == len(batch) == 1:
                # the single writer's rules apply to a lone write
                window.unsettled = True
                break
            try:
                self._send(window, batch)
            except PiactlError as unreachable:
                queue.error = unreachable
                window.sent = deque(sent for sent in window.sent if sent.out)
            if len(batch) < piece:
                break
        return bool(window.sent)

    def _next_batch(self, window: Window, queue: WriteQueue, limit: int) -> list[InFlightWrite]:
        """The next writes to send, at most `limit`."""
        batch: list[InFlightWrite] = []
        while len(batch) < limit and (write := queue.next()) is not None:
            # without assertions, only the single writer's read of the entry makes a deletion conditional
            alone = write.op == "delete" and not self._asserts()
            if not window.can_add(write) or (alone and window.sent):
                queue.put_back(write)
                break
            sent = window.add(write)
            if alone:
                window.unsettled = True
                break
            batch.append(sent)
        return batch

    def _send(self, window: Window, batch: Sequence[InFlightWrite]) -> None:
        """Sends writes. Raises DirectoryUnreachable if no connection can be made."""
        if not batch:
            return
        if not window.waiting:
            window.session = self._link.to_write()
        writes = [(sent.write, self._controls(sent.write, True)) for sent in batch]
        for sent in batch:
            sent.out = True
        try:
            window.number(window.session.post(writes, _doing(window)), batch)
        except ConnectionLost as lost:
            window.broken(lost)

    def _receive(self, window: Window) -> None:
        if not window.waiting:
            return
        try:
            for number, answer in window.session.answers(window.waiting, _doing(window)):
                sent = window.answered(number, answer)
                if sent.plain:
                    sent.result = self._one(sent.write, answer=answer)
        except ConnectionLost as lost:
            window.broken(lost)

    def _drain(self, window: Window) -> None:
        """Waits until no write is in flight."""
        while window.waiting:
            self._receive(window)

    def _settle(self, window: Window, error: BaseException | None) -> BaseException | None:
        """Settles every write without a final answer; a write that was lost and not made is sent once more.

        Returns `error`, or an error met here that ends the run. After an error nothing is sent, and only
        writes with a known result stay in the window.
        """
        lost, window.lost, window.unsettled = window.lost, None, False
        unreadable = False
        for sent in [sent for sent in window.sent if sent.result is None]:
            try:
                if not (sent.silent and unreadable):
                    sent.result = self._outcome(sent, lost, error)
            except ReplyLost as met:
                unreadable = True
                sent.out, sent.answer, error = True, None, error or met
            except PiactlError as met:
                error = error or met
        if error is not None:
            doubtful = [sent.write.dn for sent in window.sent if sent.silent and sent.result is None]
            window.sent = deque(sent for sent in window.sent if sent.result is not None)
            error = with_doubts(error, doubtful)
        return error

    def _outcome(
        self, sent: InFlightWrite, lost: ConnectionLost | None, error: BaseException | None
    ) -> WriteResult | None:
        """The outcome of a write; None if it was not made, and is not sent because of the error."""
        if sent.silent and lost is not None:
            found = self._after_silence(sent.write, lost, False)
            return self._one(sent.write, doubtful=True) if found is None and error is None else found
        if error is None:
            answer = None if sent.answer is None or sent.answer.code in AGAIN else sent.answer
            return self._one(sent.write, answer=answer)
        if sent.answer is not None and sent.answer.code in STALE:
            return self._settled(sent.write, False)
        return None


def _doing(window: Window) -> str:
    first, remaining = window.sent[0].write, len(window.sent) - 1
    return f"write {first.dn!r}" + (f" and {remaining} more" if remaining else "")


def with_doubts(error: BaseException, doubtful: Sequence[str]) -> BaseException:
    """The error, extended by the names of the writes in doubt if there are any."""
    if not doubtful or not isinstance(error, PiactlError):
        return error
    if isinstance(error, ReplyLost) and error.doubtful == tuple(doubtful):
        return error
    shown = ", ".join(doubtful[:3]) + (", ..." if len(doubtful) > 3 else "")
    return ReplyLost(
        f"{error}\n{counted(len(doubtful), 'write', 'writes')} in doubt, done or not: {shown}", doubtful
    )
