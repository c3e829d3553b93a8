"""Writes entries: each write once, atomically, and only if the entry has the expected values.

A write without an answer may or may not have been made: the entry is read back before anything else.
"""

from __future__ import annotations

import time
from contextlib import closing, suppress
from datetime import datetime

from piactl.core.plan.write import Values, Write, WriteState
from piactl.core.text import utc_instant
from piactl.directory.client.connection import Session, Unusable
from piactl.directory.client.messages import ASSERTION as ASSERTION_OID
from piactl.directory.client.messages import (
    PERMISSIVE,
    POST_READ,
    PRE_READ,
    Control,
    assertion_control,
    csn_controls,
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
from piactl.directory.port import Outcome, RawEntry, WriteResult
from piactl.directory.write.entry_comparison import (
    SECRET,
    differing,
    folded,
    state_of_entry,
    without_link,
)
from piactl.errors import DirectoryRefused, DirectoryTruncated, DirectoryUnreachable, PiactlError, ReplyLost
from piactl.phrase import Phrase

_PAUSES = (0.0, 0.3, 1.0, 2.0)
"""Seconds before each try to reach a server again after a reply was lost."""

_WHO = ("modifiersName", "modifyTimestamp")


class DirectoryWriter(DirectoryReader):
    """What decides the outcome of a write; `PipelinedWriter` is the Writer of `port`. In a modify, a `delete`
    of no values replaces whatever the attribute has. Values that cannot be read (passwords) are written like
    this."""

    def keep_to(self, number: str, write: Write) -> None:
        self._link.keep_to(number, write)

    def server_times(self) -> dict[str, datetime]:
        times = {}
        for uri in self._link.peers:
            with suppress(Unusable, PiactlError, ValueError), closing(self._link.peer(uri)) as peer:
                base = peer.facts.monitor_context or "cn=Monitor"
                entry = peer.entry(f"cn=Current,cn=Time,{base}", ["monitorTimestamp"])
                times[uri] = utc_instant(entry.text("monitorTimestamp") if entry else "")
        return times

    def who(self) -> str:
        # after a simple bind the server knows it by the name that it bound with (RFC 4513)
        return self._link.bound_as or self._repeated(lambda session: session.who_am_i())

    def _one(self, write: Write, *, answer: Result | None = None, doubtful: bool = False) -> WriteResult:
        """Sends one write and returns its result.

        `answer` is the answer if the write was sent before. `doubtful`: it was sent before without an
        answer, and was not made.
        """
        strict = True
        for _ in range(3):
            if answer is None:
                if write.op == "delete" and not self._asserts():
                    # nothing else makes a deletion conditional: read the entry just before it
                    settled = self._settled(write, doubtful)
                    if settled is not None:
                        return settled
                try:
                    answer = self._sent(write, strict)
                except ConnectionLost as lost:
                    settled = self._after_silence(write, lost, doubtful)
                    if settled is not None:
                        return settled
                    doubtful = True
                    continue
                except DirectoryUnreachable as gone:
                    raise _still_in_doubt(write, gone, "sent") if doubtful else gone from None
            result, answer = answer, None
            if result.code == SUCCESS:
                before, after = map(csn_in, map(result.controls.get, (PRE_READ, POST_READ)))
                return WriteResult(write, Outcome.APPLIED, "", before, after)
            if result.code not in STALE or (result.code == NO_SUCH_OBJECT and write.op == "add"):
                return self._refused(write, result)
            settled = self._settled(write, doubtful)
            if settled is not None:
                return self._shut(write, settled)
            if not strict:
                failed = WriteResult(write, Outcome.FAILED, f"the server refused: {described(result)}")
                return self._shut(write, failed)
            strict = False
        message = f"{write.dn}: three attempts gave no usable answer. Read the entry back."
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
        before, after = map(csn_in, map(result.controls.get, (PRE_READ, POST_READ)))
        return WriteResult(write, Outcome.APPLIED, "", before, after)

    def _after_silence(self, write: Write, lost: ConnectionLost, doubtful: bool) -> WriteResult | None:
        """The result of a write without an answer; None if it was not made and can be sent once more."""
        entry = self._read_back(write, lost)
        state = state_of_entry(write, entry)
        if state is WriteState.MADE:
            return WriteResult(write, Outcome.APPLIED)
        if state is WriteState.CHANGED:
            return _conflict(write, entry)
        if doubtful:
            raise _still_in_doubt(write, lost, "sent twice") from None
        return None

    def _sent(self, write: Write, strict: bool, *, permissive: bool = False) -> Result:
        """Sends one request and returns its result; repeats it until the deadline if the server is busy.
        `permissive`: a value to add may already be there."""
        session = self._link.to_write()
        deadline = Deadline(session.operation_timeout)
        pause = 0.05
        while True:
            controls = [*self._controls(write, strict), *([PERMISSIVE] if permissive else [])]
            result = session.write(write, controls, f"write {write.dn!r}", deadline)
            if result.code not in AGAIN or not deadline.allows(pause):
                return result
            time.sleep(pause)
            pause = min(2 * pause, 2.0)

    def _asserts(self) -> bool:
        return ASSERTION_OID in self._link.live().facts.controls

    def _controls(self, write: Write, strict: bool) -> list[Control]:
        """The controls of a write, if the server has them: its assertion, and those that return the entryCSN.

        If `strict` is false, the absence of added values is not asserted: a server that counts two spellings
        as one value finds an added value that, byte for byte, is not there. The modify itself still fails if
        a deleted value is missing or an added one is there.
        """
        supported = self._link.live().facts.controls
        controls = csn_controls(write.op, supported)
        if write.op != "add" and self._asserts():
            absent = _new_values(write) if strict and write.op == "modify" else {}
            assertion = assertion_control(_readable(write.delete), absent)
            controls += [assertion] if assertion else []
        return controls

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
            f"{write.dn}: the {write.op} was sent without an answer, and cannot be read back: "
            f"it may or may not have been made.\n"
            f"{error}\nThe next run reads it back and continues from its state.",
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
            words = f"the server refused: {described(result)}"
            if result.code == NO_SUCH_OBJECT:
                words += f"; its parent entry is missing (found: {result.matched or 'nothing'})"
            return WriteResult(write, Outcome.FAILED, words)
        raise refusal(result, self._link.session.uri, f"{write.op} {write.dn!r}")


def _still_in_doubt(write: Write, why: Exception, sent: str) -> ReplyLost:
    return ReplyLost(
        f"{why}\n{write.dn} was {sent} without an answer; read back, "
        "it had not been made, but may be later.\n"
        "The next run reads it back and continues from its state.",
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


def _readable(values: Values) -> Values:
    return {name: attribute_values for name, attribute_values in values.items() if name.lower() not in SECRET}


def _new_values(write: Write) -> Values:
    """Added values whose absence can be asserted: not new spellings of a deleted value, not replacements."""
    new: dict[str, tuple[bytes, ...]] = {}
    for name, values in _readable(write.add).items():
        if write.delete.get(name) == ():
            continue
        gone = {folded(value) for value in write.delete.get(name, ())}
        new[name] = tuple(value for value in values if folded(value) not in gone)
    return new
