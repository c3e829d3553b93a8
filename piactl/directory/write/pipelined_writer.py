"""Writes entries: each write once, atomically, and only if the entry has the expected values; with many
requests in flight.

A success, or a refusal that concerns one entry, is final at once. Every other answer, and every missing one,
waits until no request is in flight, and then each is decided in turn. A write without an answer may or may
not have been made: the entry is read back before anything else.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache

from piactl.core.plan.write import UNREADABLE, Write, WriteState
from piactl.directory.client.connection import Session, Unusable, open_session
from piactl.directory.client.messages import (
    CSN_CONTROLS,
    PERMISSIVE,
    POST_READ,
    PRE_READ,
    Control,
    assertion_control,
    csn_in,
)
from piactl.directory.client.reader import DirectoryReader
from piactl.directory.client.result_codes import (
    AGAIN,
    NO_SUCH_OBJECT,
    ONE_ENTRY,
    STALE,
    SUCCESS,
    ConnectionLost,
    Result,
    described,
    refusal,
)
from piactl.directory.client.strategy import Deadline
from piactl.directory.client.usable_server import Link
from piactl.directory.dn import normal_dn, parted
from piactl.directory.interfaces import Outcome, RawEntry, WriteResult
from piactl.directory.write.entry_comparison import (
    SECRET,
    differing,
    folded,
    state_of_entry,
    without_link,
)
from piactl.errors import DirectoryRefused, DirectoryTruncated, DirectoryUnreachable, PiactlError, ReplyLost
from piactl.phrase import Phrase, counted, joined

_PAUSES = (0.0, 0.3, 1.0, 2.0)
"""Seconds before each try to reach a server again after a reply was lost."""

_WHO = ("modifiersName", "modifyTimestamp")


@dataclass(slots=True)
class InFlightWrite:
    """A write in the window, of the entry with this `name` in normal spelling. `out` is true once any byte of
    it may have been sent; `answer` is None until the server answers. `result` is the outcome, once it is
    known.
    """

    write: Write
    name: str
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

    def add(self, write: Write) -> InFlightWrite | None:
        """Adds a write; None if its result depends on that of a write in flight."""
        name = normal_dn(write.dn)
        above = _upwards(parted(name)[1])
        if not self.sent:
            for names in (self._names, self._above, self._freed):
                names.clear()
        if self._freed and any(value in self._freed for new in write.add.values() for value in new):
            return None  # an address goes from one entry to another
        if name in self._names or name in self._above or not self._names.isdisjoint(above):
            return None
        sent = InFlightWrite(write, name)
        self.sent.append(sent)
        self._freed.update(value for gone in write.delete.values() for value in gone if b"@" in value)
        self._names.add(name)
        # never removed one by one: at worst a write waits without need
        self._above.update(above)
        return sent

    def broken(self, lost: ConnectionLost) -> None:
        self.lost, self.unsettled = lost, True
        self.waiting.clear()

    def pop_completed(self) -> WriteResult | None:
        """Removes the first write and returns its result; None if that is not known yet."""
        if not self.sent or self.sent[0].result is None:
            return None
        first = self.sent.popleft()
        self._names.discard(first.name)
        return first.result


@lru_cache(maxsize=64)
def _upwards(name: str) -> frozenset[str]:
    """A name and those of all entries above it."""
    parts = name.split(",")
    return frozenset(",".join(parts[index:]) for index in range(len(parts)))


PIECE = 16
"""The number of writes that are sent together. Fewer cost more CPU on both sides; more would lengthen the
time between the checks that the caller makes before a write and the sending of that write."""


class WriteQueue:
    """The writes that are not sent yet. `error` is the error that ended them, from their source or from the
    server."""

    def __init__(self, writes: Iterable[Write]) -> None:
        self._writes = iter(writes)
        self._next: Write | None = None
        self.error: BaseException | None = None

    def first(self) -> Write | None:
        """The next write, which stays first until it is `taken`; None at the end."""
        if self._next is None and self.error is None:
            try:
                self._next = next(self._writes, None)
            except BaseException as error:  # noqa: BLE001 - raised once every sent write is accounted for
                self.error = error
        return self._next if self.error is None else None

    def taken(self) -> None:
        self._next = None


class PipelinedWriter(DirectoryReader):
    """The Writer of `interfaces`, with up to `in_flight` requests sent and not yet reported.

    In a modify, a `delete` of no values replaces whatever the attribute has. Values that cannot be read
    (passwords) are written like this.
    """

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
        while len(batch) < limit and (write := queue.first()) is not None:
            sent = window.add(write)
            if sent is None:
                break
            queue.taken()
            batch.append(sent)
        return batch

    def _send(self, window: Window, batch: Sequence[InFlightWrite]) -> None:
        """Sends writes. Raises DirectoryUnreachable if no connection can be made."""
        if not batch:
            return
        if not window.waiting:
            window.session = self._link.to_write()
        writes = [(sent.write, _controls(sent.write, True)) for sent in batch]
        for sent in batch:
            sent.out = True
        try:
            numbers = window.session.post(writes, _doing(window))
            window.waiting.update(zip(numbers, batch, strict=True))
        except ConnectionLost as lost:
            window.broken(lost)

    def _receive(self, window: Window) -> None:
        if not window.waiting:
            return
        try:
            for number, answer in window.session.answers(window.waiting, _doing(window)):
                sent = window.waiting.pop(number)
                sent.answer = answer
                if sent.plain:
                    sent.result = self._one(sent.write, answer=answer)
                else:
                    window.unsettled = True
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

    def keep_to(self, number: str, write: Write) -> None:
        self._link.keep_to(number, write)

    def server_times(self) -> dict[str, datetime]:
        times = {}
        link = self._link
        for uri in link.settings.servers[1:]:
            with (
                suppress(Unusable, PiactlError),
                closing(open_session(uri, link.settings, link.identity, link.password)) as peer,
            ):
                if (time := peer.clock()) is not None:
                    times[uri] = time
        return times

    def who(self) -> str:
        # after a simple bind the server knows it by the name that it bound with (RFC 4513)
        identity = self._link.identity
        return identity.dn if not identity.external else self._repeated(Session.who_am_i)

    def _one(self, write: Write, *, answer: Result | None = None, doubtful: bool = False) -> WriteResult:
        """Sends one write and returns its result.

        `answer` is the answer if the write was sent before. `doubtful`: it was sent before without an
        answer, and was not made.
        """
        strict = True
        for _ in range(3):
            if answer is None:
                try:
                    answer = self._sent(write, strict)
                except ConnectionLost as lost:
                    settled = self._after_silence(write, lost, doubtful)
                    if settled is not None:
                        return settled
                    doubtful = True
                    continue
                except DirectoryUnreachable as gone:
                    raise _still_in_doubt(write, gone, Phrase("sent")) if doubtful else gone from None
            result, answer = answer, None
            if result.code == SUCCESS:
                return _applied(write, result)
            if result.code not in STALE or (result.code == NO_SUCH_OBJECT and write.op == "add"):
                return self._refused(write, result)
            settled = self._settled(write, doubtful)
            if settled is not None:
                return self._shut(write, settled)
            if not strict:
                return self._shut(write, WriteResult(write, Outcome.FAILED, _refusal_words(result)))
            strict = False
        message = Phrase("{dn}: three attempts gave no usable answer. Read the entry back.", dn=write.dn)
        raise ReplyLost(message, [write.dn])

    def _shut(self, write: Write, settled: WriteResult) -> WriteResult:
        """Sends a write that links an account to no device once more if somebody changed the link meanwhile:
        the help desk may write it, so whoever has its password could keep each such write from being made."""
        shutting = without_link(write) if settled.outcome in (Outcome.CONFLICT, Outcome.FAILED) else None
        if shutting is None:
            return settled
        try:
            result = self._sent(shutting, False, permissive=True)
        except ConnectionLost as lost:
            return self._after_silence(write, lost, False) or settled
        if result.code != SUCCESS:
            return settled
        return _applied(write, result)

    def _after_silence(self, write: Write, lost: ConnectionLost, doubtful: bool) -> WriteResult | None:
        """The result of a write without an answer; None if it was not made and can be sent once more."""
        entry = self._read_back(write, lost)
        state = state_of_entry(write, entry)
        if state is WriteState.MADE:
            return WriteResult(write, Outcome.APPLIED)
        if state is WriteState.CHANGED:
            return _conflict(write, entry)
        if doubtful:
            raise _still_in_doubt(write, lost, Phrase("sent twice")) from None
        return None

    def _sent(self, write: Write, strict: bool, *, permissive: bool = False) -> Result:
        """Sends one request and returns its result; repeats it until the deadline if the server is busy.
        `permissive`: a value to add may already be there."""
        session = self._link.to_write()
        deadline = Deadline(session.operation_timeout)
        pause = 0.05
        while True:
            controls = [*_controls(write, strict), *([PERMISSIVE] if permissive else [])]
            result = session.write(write, controls, Phrase("write {dn}", dn=repr(write.dn)), deadline)
            if result.code not in AGAIN or not deadline.allows(pause):
                return result
            time.sleep(pause)
            pause = min(2 * pause, 2.0)

    def _read_back(self, write: Write, lost: ConnectionLost) -> RawEntry | None:
        """The current entry, read on a new connection. Raises ReplyLost if it cannot be read."""
        deadline = Deadline(self._link.session.operation_timeout)
        error: Exception = lost
        for pause in _PAUSES:
            if not deadline.allows(pause):
                break
            time.sleep(pause)
            try:
                return self._current(self._link.live(), write)
            except (DirectoryUnreachable, DirectoryRefused, DirectoryTruncated) as failed:
                error = failed
        raise ReplyLost(
            Phrase(
                "{dn}: a write ({op}) was sent without an answer, and cannot be read back: "
                "it may or may not have been made.\n"
                "{error}\nThe next run reads it back and continues from its state.",
                dn=write.dn,
                op=write.op,
                error=str(error),
            ),
            [write.dn],
        ) from None

    def _settled(self, write: Write, doubtful: bool) -> WriteResult | None:
        """The result of a write refused for unexpected values; None if the values are as expected."""
        try:
            entry = self._current(self._link.live(), write)
        except ConnectionLost as lost:
            entry = self._read_back(write, lost)
        state = state_of_entry(write, entry)
        if state is WriteState.MADE:
            outcome = Outcome.APPLIED if doubtful else Outcome.UNCHANGED
            return WriteResult(write, outcome)
        if state is WriteState.CHANGED:
            return _conflict(write, entry)
        return None

    def _current(self, session: Session, write: Write) -> RawEntry | None:
        return session.entry(write.dn, tuple(dict.fromkeys((*write.delete, *write.add, *_WHO))))

    def _refused(self, write: Write, result: Result) -> WriteResult:
        if result.code in ONE_ENTRY or result.code == NO_SUCH_OBJECT:
            words = _refusal_words(result)
            if result.code == NO_SUCH_OBJECT:
                found = result.matched or Phrase("nothing")
                words = joined([words, Phrase("its parent entry is missing (found: {found})", found=found)])
            return WriteResult(write, Outcome.FAILED, words)
        doing = Phrase(_OPERATIONS[write.op], dn=repr(write.dn))
        raise refusal(result, self._link.session.uri, doing)


_OPERATIONS = {"add": Phrase("add {dn}"), "modify": Phrase("modify {dn}"), "delete": Phrase("delete {dn}")}


def _refusal_words(result: Result) -> str:
    return Phrase("the server refused: {words}", words=described(result))


def _controls(write: Write, strict: bool) -> list[Control]:
    """The controls of a write: its assertion, and those that return the entryCSN.

    The absence of added values is asserted, but not of new spellings of a deleted value, nor of replacements.
    If `strict` is false it is not: a server that counts two spellings as one value finds an added value that,
    byte for byte, is not there. The modify itself still fails if a deleted value is missing or an added one
    is there.
    """
    controls = [*CSN_CONTROLS[write.op]]
    if write.op == "add":
        return controls
    present = {name: values for name, values in write.delete.items() if name.lower() not in SECRET}
    absent: dict[str, tuple[bytes, ...]] = {}
    for name, values in write.add.items():
        gone = write.delete.get(name)
        if strict and write.op == "modify" and name.lower() not in SECRET and gone != UNREADABLE:
            former = {folded(value) for value in gone or ()}
            absent[name] = tuple(value for value in values if folded(value) not in former)
    assertion = assertion_control(present, absent)
    return [*controls, assertion] if assertion else controls


def _applied(write: Write, result: Result) -> WriteResult:
    before, after = map(csn_in, map(result.controls.get, (PRE_READ, POST_READ)))
    return WriteResult(write, Outcome.APPLIED, "", before, after)


def _still_in_doubt(write: Write, why: Exception, sent: str) -> ReplyLost:
    return ReplyLost(
        Phrase(
            "{why}\n{dn} was {sent} without an answer; read back, it had not been made, but may be later.\n"
            "The next run reads it back and continues from its state.",
            why=str(why),
            dn=write.dn,
            sent=sent,
        ),
        [write.dn],
    )


def _conflict(write: Write, entry: RawEntry | None) -> WriteResult:
    if entry is None:
        return WriteResult(write, Outcome.CONFLICT, Phrase("the entry is gone"))
    names = ", ".join(differing(write, entry)) or Phrase("its values")
    who = entry.text(_WHO[0]) or Phrase("an unknown user")
    by = Phrase(
        "last modified by {who} at {when}", who=who, when=entry.text(_WHO[1]) or Phrase("an unknown time")
    )
    if write.op == "add":
        why = Phrase("already exists with other values: {names}; {by}", names=names, by=by)
    else:
        why = Phrase("changed since: {names}; {by}", names=names, by=by)
    return WriteResult(write, Outcome.CONFLICT, why)


def _doing(window: Window) -> str:
    first, remaining = window.sent[0].write, len(window.sent) - 1
    doing = Phrase("write {dn}", dn=repr(first.dn))
    return Phrase("{names} and {number} more", names=doing, number=remaining) if remaining else doing


def with_doubts(error: BaseException, doubtful: Sequence[str]) -> BaseException:
    """The error, extended by the names of the writes in doubt if there are any."""
    if not doubtful or not isinstance(error, PiactlError):
        return error
    if isinstance(error, ReplyLost) and error.doubtful == tuple(doubtful):
        return error
    shown = ", ".join(doubtful[:3]) + (", ..." if len(doubtful) > 3 else "")
    words = Phrase(
        "{error}\n{writes} in doubt, done or not: {shown}",
        error=str(error),
        writes=counted(len(doubtful), "write", "writes"),
        shown=shown,
    )
    return ReplyLost(words, doubtful)
