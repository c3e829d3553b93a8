"""Writes accounts with a write-ahead journal: the intent before each write, the outcome after it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterable, Iterator
from contextlib import closing
from itertools import chain, islice

from piactl.directory.port import EntryWrite, Outcome, WriteResult
from piactl.directory.store.event_facts import event_facts
from piactl.errors import PiactlError, ReplyLost
from piactl.flows.apply.run import Run
from piactl.flows.plan.ready_plan import AccountWrite
from piactl.journal import IntendedWrite, Settlement

BATCH = 100
"""The number of intents, or outcomes, that one sync of the journal covers."""


class JournalledWriting:
    """The writes of a run; writes that remove something come first.

    At the end, each intent has one outcome, except for writes in doubt, which the next run settles.
    `stopped` says what asked to stop ("" if nothing did). `unmade` counts the intents that were not sent
    because of an error.
    """

    def __init__(self, run: Run, stop: Callable[[], str]) -> None:
        self.stopped = ""
        self.unmade = 0
        self._run, self._stop = run, stop
        self._open: dict[int, tuple[int, AccountWrite]] = {}
        self._settlements: list[Settlement] = []

    def results(self, writes: Iterable[AccountWrite]) -> Generator[tuple[AccountWrite, WriteResult]]:
        """Yields the result of each write, in order. Raises an error that ends all writes, after the known
        results (DirectoryUnreachable, DirectoryRefused, ReplyLost, LockLost, JournalUnusable)."""
        coming = iter(writes)
        gaining: list[AccountWrite] = []

        def losing() -> Iterator[AccountWrite]:
            for one in coming:
                if not one.loses:
                    gaining.append(one)
                    return
                yield one

        # writes that add something wait until all that remove something are answered
        yield from self._written(losing())
        if gaining and not self.stopped:
            yield from self._written(chain(gaining, coming))

    def _written(self, writes: Iterator[AccountWrite]) -> Generator[tuple[AccountWrite, WriteResult]]:
        try:
            with closing(self._run.writer.write(self._intended(writes))) as results:
                for result in results:
                    number, one = self._open.pop(id(result.write))
                    csn = result.csn_after.decode("ascii", "replace")
                    self._settlements.append(Settlement(number, result.outcome.value, result.message, csn))
                    if len(self._settlements) >= BATCH:
                        self._settle()
                    yield one, result
        except PiactlError as error:
            doubtful = error.doubtful if isinstance(error, ReplyLost) else ()
            self.unmade = self._end("not made: the run had to end", doubtful)
            self._settle()
            raise
        self._end("not made: the run was stopped")
        self._settle()

    def _intended(self, writes: Iterator[AccountWrite]) -> Iterator[EntryWrite]:
        """Yields each write to be sent, after its intent is on disk and the lock is checked."""
        while batch := list(islice(writes, BATCH)):
            self.stopped = self._stop()
            if self.stopped:
                return
            self._run.lock.keep()
            numbers = self._run.journal.intents([intended_write(self._run, one) for one in batch])
            self._open |= {id(one.write): (number, one) for number, one in zip(numbers, batch, strict=True)}
            for one in batch:
                self.stopped = self._stop()
                if self.stopped:
                    return
                self._run.lock.check()
                yield one.write

    def _end(self, why: str, doubtful: Collection[str] = ()) -> int:
        """Settles the intents that were not sent, except those in doubt; returns their number."""
        unmade = [number for number, one in self._open.values() if one.write.dn not in doubtful]
        self._settlements += [Settlement(number, Outcome.FAILED.value, why) for number in unmade]
        self._open.clear()
        return len(unmade)

    def _settle(self) -> None:
        settlements, self._settlements = self._settlements, []
        if settlements:
            self._run.journal.outcomes(settlements)


def intended_write(run: Run, one: AccountWrite, *, load: bool = False) -> IntendedWrite:
    """The write of an account as the journal of a run records it; `load` where it goes into an LDIF."""
    return IntendedWrite(
        uid=one.uid,
        dn=one.write.dn,
        op=one.write.op,
        kinds=one.kinds,
        reason=one.reason,
        added=one.write.add,
        removed=one.write.delete,
        load=load,
        facts=event_facts(
            one.write,
            {kind: one.effective.get(kind, run.order.as_of) for kind in one.kinds},
            run.settings.directory.attributes,
            run.order.urn,
        ),
    )
