"""Writes accounts with a write-ahead journal: the intent before each write, the outcome after it.

The next run reads back the writes that a run leaves in doubt, and sees from the entry as it is now what
became of each.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import chain, islice

from piactl.core.model.keyed_digests import DigestKeys
from piactl.core.plan.write import Write, WriteState
from piactl.directory.interfaces import Outcome, Reader, WriteResult
from piactl.errors import PiactlError, ReplyLost
from piactl.journal import Intent, Settlement, state_of_intent
from piactl.phrase import Phrase
from piactl.runs.run import Run

BATCH = 100
"""The number of intents that one sync of the journal covers, with the outcomes of those before them."""

_OUTCOMES = {WriteState.MADE: "applied", WriteState.NOT_MADE: "failed"}


class JournalledWriting:
    """The writes of a run, in their order; those at the beginning that remove something are all answered
    before the others are sent.

    At the end, each intent has one outcome, except for writes in doubt, which the next run settles.
    `stopped` says what asked to stop ("" if nothing did). `unmade` counts the intents that were not sent
    because of an error.
    """

    def __init__(self, run: Run, stop: Callable[[], str]) -> None:
        self.stopped = ""
        self.unmade = 0
        self._run, self._stop = run, stop
        self._open: dict[int, tuple[int, Write]] = {}
        self._settlements: list[Settlement] = []

    def results(self, writes: Iterable[Write]) -> Generator[tuple[Write, WriteResult]]:
        """Yields the result of each write, in order. Raises an error that ends all writes, after the known
        results (DirectoryUnreachable, DirectoryRefused, ReplyLost, LockLost, JournalUnusable)."""
        coming = iter(writes)
        gaining: list[Write] = []

        def losing() -> Iterator[Write]:
            for write in coming:
                if not write.loses:
                    gaining.append(write)
                    return
                yield write

        # writes that add something wait until all that remove something are answered
        yield from self._written(losing())
        if gaining and not self.stopped:
            yield from self._written(chain(gaining, coming))

    def _written(self, writes: Iterator[Write]) -> Generator[tuple[Write, WriteResult]]:
        try:
            with closing(self._run.writer.write(self._intended(writes))) as results:
                for result in results:
                    number, write = self._open.pop(id(result.write))
                    csn = result.csn_after.decode("ascii", "replace")
                    self._settlements.append(Settlement(number, result.outcome.value, result.message, csn))
                    yield write, result
        except PiactlError as error:
            doubtful = error.doubtful if isinstance(error, ReplyLost) else ()
            self.unmade = self._end(Phrase("not made: the run had to end"), doubtful)
            self._journalled(())
            raise
        self._end(Phrase("not made: the run was stopped"))
        self._journalled(())

    def _intended(self, writes: Iterator[Write]) -> Iterator[Write]:
        """Yields each write to be sent, after its intent is on disk and the lock is checked."""
        while batch := list(islice(writes, BATCH)):
            self.stopped = self._stop()
            if self.stopped:
                return
            numbers = self._journalled(batch)
            self._open |= {id(write): (number, write) for number, write in zip(numbers, batch, strict=True)}
            # slapd answers this read after most writes in flight, and is idle then: so the intents come first
            self._run.lock.keep()
            for write in batch:
                self.stopped = self._stop()
                if self.stopped:
                    return
                self._run.lock.check()
                yield write

    def _end(self, why: str, doubtful: Collection[str] = ()) -> int:
        """Settles the intents that were not sent, except those in doubt; returns their number."""
        unmade = [number for number, write in self._open.values() if write.dn not in doubtful]
        self._settlements += [Settlement(number, Outcome.FAILED.value, why) for number in unmade]
        self._open.clear()
        return len(unmade)

    def _journalled(self, writes: Sequence[Write]) -> list[int]:
        """Journals the outcomes that are known and the intents of these writes; returns their numbers."""
        settlements, self._settlements = self._settlements, []
        return self._run.journal.intents(writes, settlements) if writes or settlements else []


def state_now(reader: Reader, intent: Intent, keys: DigestKeys) -> tuple[WriteState, bool]:
    """What the entry of an intent shows about its write, and whether there is an entry."""
    entry = reader.read(intent.dn, sorted({*intent.added, *intent.removed}) or ["objectClass"])
    present = entry.values if entry is not None else None
    state = state_of_intent(intent, present, lambda text: keys.candidates("journal", text))
    return state, entry is not None


def read_back(reader: Reader, intents: Sequence[Intent], keys: DigestKeys) -> list[Settlement]:
    """What became of each intent, in the order given."""
    settlements = []
    for intent in intents:
        now, _ = state_now(reader, intent, keys)
        message = Phrase("read back after run {run}: {state}", run=intent.run, state=now.value)
        settlements.append(Settlement(intent.seq, _OUTCOMES.get(now, "conflict"), message))
    return settlements
