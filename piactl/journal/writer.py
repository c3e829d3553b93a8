"""Writes the journal of a run: each intent before its write, and the outcome after it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Self, TypeVar

from piactl.core.journal_line import (
    CLOSED,
    GENESIS,
    OUTCOMES,
    Anchor,
    Head,
    LineTooLong,
    journal_owner,
)
from piactl.core.model.keyed_digests import masked
from piactl.core.plan.write import Write
from piactl.errors import JournalUnusable
from piactl.journal.append_file import Body, ChainFile
from piactl.journal.end_of_journal import last_recorded
from piactl.journal.files import newest_lines
from piactl.journal.intent_format import (
    Intent,
    Settlement,
    Unsettled,
    digests,
    doubts_of,
    intent_of,
    tags_of,
    unsettled,
)
from piactl.journal.origin_of_run import Order
from piactl.journal.query import text_of
from piactl.journal.syslog import log_head
from piactl.journal.unusable import refused_by_system
from piactl.phrase import Phrase, keep_forms

_SHORTEST_VALUE = 4
_T = TypeVar("_T")


class Journal:
    """The journal at `path`, for one run. Use `with Journal(...) as journal`, or begin() and close().

    `now` gives aware UTC instants and `digest` the keyed digest of a text; for the attributes `secret`, not
    even the digests of values are kept. `facts` gives what `events` shows about a write (see
    `event_facts`), {} if it is not an event. `compared`: the runs of this journal were
    compared with those in the directory and none is missing. Methods that write return when their
    lines are on the disk, or raise JournalUnusable; after that nothing more can be written through this
    object.
    """

    def __init__(
        self,
        path: str,
        *,
        now: Callable[[], datetime],
        digest: Callable[[str], str],
        secret: Collection[str],
        order: Order,
        compared: bool = False,
        facts: Callable[[Write], Mapping[str, object]] = lambda _write: {},
        patience: float = 30.0,
    ) -> None:
        self._path = path
        self._now = now
        self._digest = digest
        self._secret = frozenset(name.lower() for name in secret)
        self._order, self._compared = order, compared
        self._facts = facts
        self._file = ChainFile(path, self._stamp, patience=patience)
        self._pending: dict[int, Write] = {}
        self._before = Unsettled((), 1)
        self.in_doubt: Sequence[Intent] = ()
        """The writes that earlier runs left in doubt when this one began, oldest first."""
        self._alone = True
        self._seen = GENESIS
        self._wrote = False
        self._unusable: str = Phrase(
            "{path}: the run was not begun in the journal. No change is made.\nThis is a bug.", path=path
        )

    @property
    def head(self) -> Head:
        """Number and hash of the last line that this run wrote or saw."""
        return self._file.head

    @property
    def unmade(self) -> tuple[Intent, ...]:
        """The writes that earlier runs read back as not made, not long ago."""
        return tuple(map(intent_of, self._before.unmade))

    def begin(self) -> Head:
        """Opens or creates the file, repairs a torn tail, and writes the `run` line."""
        actor, order = self._order.actor, self._order
        self._unusable = ""
        self._guarded(lambda: self._file.hold(order.run))
        self._append([])
        self._seen = self.head
        self._before = self._guarded(lambda: unsettled(self._path))
        self.in_doubt = self._guarded(lambda: doubts_of(self._path, self._before))
        self._alone = True
        recorded = self._guarded(lambda: last_recorded(self._path))
        body = {
            "type": "run",
            "command": [masked(word) for word in order.command],
            "user": actor.user,
            "sudo_user": actor.sudo_user,
            "login": actor.login,
            "origin": actor.origin,
            "host": actor.host,
            "pid": actor.pid,
            "as_of": order.as_of.isoformat(),
            "policy": order.policy,
            **self._before.facts,
            **(recorded.facts(self._seen.seq) if recorded.known or self._compared else {}),
        }
        return self._append([body])[0]

    def intents(self, writes: Sequence[Write], settled: Sequence[Settlement] = ()) -> list[int]:
        """Records intents and returns their numbers; records outcomes of earlier intents in the same sync.
        Call this before the writes are sent. Raises ValueError like `outcomes`."""
        numbers = [s.intent for s in settled]
        if len(set(numbers)) < len(numbers) or not set(numbers) <= self._pending.keys():
            raise ValueError("an outcome without an open intent of this run")
        outcomes = [_settlement("outcome", s, self._pending[s.intent]) for s in settled]
        heads = self._append([*outcomes, *map(self._intent, writes)])
        heads = heads[len(heads) - len(writes) :]
        for number in numbers:
            del self._pending[number]
        for head, write in zip(heads, writes, strict=True):
            self._pending[head.seq] = write
        return [head.seq for head in heads]

    def outcomes(self, settlements: Sequence[Settlement]) -> None:
        """Records outcomes of intents of this run. Raises ValueError for a second outcome of an intent."""
        self.intents((), settlements)

    def resolved(self, settlements: Sequence[Settlement]) -> None:
        """Records the outcomes, read back, of intents that earlier runs left in doubt."""
        self._append([_settlement("resolved", s, None) for s in settlements])

    def note(self, text: str) -> None:
        """Records a sentence without values."""
        self.record("note", text=text)

    def record(self, kind: str, **facts: object) -> None:
        """Records a fact about the journal or the directory: a new chain is `begun` as lines are missing, it
        was `accepted` that the directory lacks runs, old files are about to be removed (`prune`), the chains
        that this journal goes on from are `closed`, private data are about to be shown (`read`)."""
        words = {name: masked(fact) for name, fact in facts.items() if isinstance(fact, str)}
        self._append([{"type": kind, **facts, **words}])

    def end(
        self,
        counts: Mapping[str, int],
        *,
        recorded: bool = False,
        remembered: bool = False,
        acknowledged: bool = False,
        feeds: Sequence[Mapping[str, str]] = (),
    ) -> Head:
        """Records the end of the run, and returns the head.

        `recorded`: the run has a record in the directory. `remembered`: it is the last run there.
        `acknowledged`: the directory has to keep what the run wrote. `feeds`: source, file and digest of each
        feed that the run applied.
        """
        self._append([])  # sees the lines of other runs
        settled = self._alone and self._before.all_settled and not self._pending
        body = {
            "type": "end",
            "counts": dict(counts),
            "open": len(self._pending),
            **({"clean": self._seen.seq + 1} if settled else self._before.facts),
            **({"recorded": True} if recorded else {}),
            **({"remembered": True} if remembered else {}),
            **({"acknowledged": True} if acknowledged else {}),
            **({"feeds": [dict(feed) for feed in feeds]} if feeds else {}),
        }
        return self._append([body])[0]

    def close(self) -> None:
        """Sends the head to syslog if this run wrote, and closes the file. Intents without an outcome are in
        doubt from then on."""
        if self._wrote:
            self._wrote = False
            actor, run = self._order.actor, self._order.run
            owner = journal_owner(actor.user, actor.host)
            log_head(Anchor(text_of(self._now()), owner, run, self._seen))
        self._file.close()
        self._unusable = Phrase(
            "{path}: the journal of this run was closed. No change is made.\nThis is a bug.", path=self._path
        )

    def __enter__(self) -> Self:
        try:
            self.begin()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _append(self, bodies: Sequence[Body]) -> list[Head]:
        before = self._seen
        heads = self._guarded(lambda: self._file.append(bodies))
        self._seen = self.head
        self._wrote = self._wrote or bool(bodies)
        if self._seen.seq != before.seq + len(bodies):
            self._alone = False
        return heads

    def _guarded(self, work: Callable[[], _T]) -> _T:
        """Calls `work`. After an exception, even one from a signal, this object writes nothing more."""
        if self._unusable:
            raise JournalUnusable(self._unusable)
        self._unusable = Phrase(
            "{path}: writing the journal was interrupted. No further change is made.\nRun again.",
            path=self._path,
        )
        try:
            result = work()
        except (OSError, LineTooLong, JournalUnusable) as error:
            unusable = self._explained(error)
            self._unusable = str(unusable)
            raise unusable from None
        self._unusable = ""
        return result

    def _explained(self, error: Exception) -> JournalUnusable:
        if isinstance(error, OSError):
            return refused_by_system(self._path, error)
        if isinstance(error, LineTooLong):
            return JournalUnusable(
                Phrase(
                    "{path}: {error}. No further change is made.\nThis is a bug.",
                    path=self._path,
                    error=str(error),
                )
            )
        return error if isinstance(error, JournalUnusable) else JournalUnusable(str(error))

    def _stamp(self) -> Body:
        now = self._now()
        if now.tzinfo is None:
            raise ValueError("the journal needs aware instants")
        return {"time": text_of(now), "run": self._order.run}

    def _intent(self, write: Write) -> Body:
        added, removed = (
            digests(write.dn, values, self._digest, self._secret) for values in (write.add, write.delete)
        )
        content: Body = {
            "attributes": {
                name: {"added": added.get(name, []), "removed": removed.get(name, [])}
                for name in dict.fromkeys([*added, *removed])
            }
        }
        return {
            "type": "intent",
            "uid": write.uid,
            "dn": write.dn,
            "op": write.op,
            "kinds": list(write.kinds),
            **keep_forms({"reason": masked(write.reason)}),
            **({"facts": dict(own)} if (own := self._facts(write)) else {}),
            **(tags_of(added) if write.op == "add" and added else content),
        }


def _texts(write: Write) -> tuple[str, ...]:
    """The values of a write that a message could quote, without the uid, which the journal shows anyway."""
    values = {
        v.decode("utf-8", "replace") for side in (write.add, write.delete) for vs in side.values() for v in vs
    }
    return tuple(
        sorted((v for v in values if len(v) >= _SHORTEST_VALUE and v != write.uid), key=len, reverse=True)
    )


def _settlement(kind: str, settlement: Settlement, write: Write | None) -> Body:
    if settlement.outcome not in OUTCOMES:
        raise ValueError(f"{settlement.outcome!r} is not an outcome: {', '.join(OUTCOMES)}")
    message = settlement.message
    for value in _texts(write) if message and write is not None else ():
        message = message.replace(value, "[value]")
    return {
        "type": kind,
        "intent": settlement.intent,
        "outcome": settlement.outcome,
        **({"message": masked(message)} if message else {}),
        **({"csn": settlement.csn} if settlement.csn else {}),
    }


def close_chain(path: str, stamp: Callable[[], Body], settled: Sequence[Settlement]) -> Head:
    """Ends a chain that another journal goes on from: the outcomes of its writes in doubt, and a last line,
    unless it has that already. Returns its head. Raises JournalUnusable."""
    last = next(newest_lines(path), None)
    if last is not None and last.type == CLOSED:
        return last.head
    file = ChainFile(path, stamp)
    try:
        file.hold(str(stamp()["run"]))
        return file.append([*(_settlement("resolved", s, None) for s in settled), {"type": CLOSED}])[-1]
    except OSError as refused:
        raise refused_by_system(path, refused) from None
    finally:
        file.close()
