"""Writes the adds of a first migration in transactions (RFC 5805): one commit for some hundred of them.

What is sent in them, and when, follows from what slapd 2.6 does (tests/bench/README.md counts it):

- An aborted one loses the numbers of the attribute types that it was the first to use, and with them all that
  is written later. So one has only what a single write has brought before.
- A connection that is lost makes slapd free what it is working on: it can end then, or make a part of the
  transaction. So what belongs together is taken before any of it is sent, the time in which one is open is
  short, and where its end has no answer each entry is read back by itself.

Whatever is not as it should be makes the rest of the writes single ones, by the bulk writer.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import chain

from piactl.core.settings import DirectorySettings
from piactl.directory.bulk import BulkWriter, Coming, with_doubts
from piactl.directory.filters import ANY_ENTRY
from piactl.directory.flight import Flight
from piactl.directory.loneserver import reasons_against
from piactl.directory.onetransaction import Transaction
from piactl.directory.port import EntryWrite, Outcome, WriteResult
from piactl.directory.questions import Questions
from piactl.directory.results import SUCCESS, ConnectionLost
from piactl.directory.servers import Link
from piactl.errors import DirectoryRefused, PiactlError, ReplyLost

MOST, LEAST = 400, 20
"""Members of a transaction. LEAST is also the number of adds in a row after which one is begun."""

_ADVICE = (
    "What transactions left cannot be relied on. Stop the server, empty its database, and load it again "
    "without directory.transactions."
)


class TransactionWriter(BulkWriter):
    """The Writer of `port` for a first migration. The writes of one transaction are all asked for before the
    first of them is sent."""

    def __init__(self, link: Link, settings: DirectorySettings) -> None:
        super().__init__(link, settings.page_size, settings.in_flight)
        self._settings = settings
        self._against: list[str] | None = None
        self._brought: set[str | bytes] = set()

    @property
    def against(self) -> Sequence[str]:
        """Why there are no transactions, or no more; nothing where there may be. Asked for once."""
        if self._against is None:
            try:
                self._against = reasons_against(self._settings, Questions(self._link.live(), ""))
            except PiactlError as error:
                self._against = [f"the server could not be asked: {error}"]
        return self._against

    def write(self, writes: Iterable[EntryWrite]) -> Generator[WriteResult]:
        if self.against:
            yield from super().write(writes)
            return
        coming = Coming(writes)
        doubtful: dict[int, EntryWrite] = {}
        made = 0
        try:
            while coming.error is None and not coming.ended:
                rest = group = self._group(coming)
                if len(group) >= LEAST:
                    rest = yield from self._as_one(group, doubtful)
                    made += len(group) - len(rest)
                    if coming.error is not None:
                        raise coming.error
                yield from self._singly(rest, coming, doubtful)
            if made:
                self._read_all(made)
        except PiactlError as error:
            told = error.doubtful if isinstance(error, ReplyLost) else ()
            names = dict.fromkeys((*told, *(write.dn for write in doubtful.values())))
            raise with_doubts(error, list(names)) from None

    def _group(self, coming: Coming) -> list[EntryWrite]:
        """The next writes, as many as can be one transaction. The server applies them in any order."""
        flight = Flight(self._link.session)
        while len(flight.sent) < MOST and (write := coming.next()) is not None:
            if not (self._may_be_member(write) and flight.may_join(write)):
                coming.hold(write)
                break
            flight.join(write)
        return [one.write for one in flight.sent]

    def _may_be_member(self, write: EntryWrite) -> bool:
        return not self._against and write.op == "add" and _kinds(write) <= self._brought

    def _singly(
        self, first: Iterable[EntryWrite], coming: Coming, doubtful: dict[int, EntryWrite]
    ) -> Generator[WriteResult]:
        with closing(super().write(chain(first, self._others(coming)))) as results:
            for result in results:
                if result.write.op == "add" and result.outcome is Outcome.APPLIED:
                    self._brought |= _kinds(result.write)
                doubted = doubtful.pop(id(result.write), None) is not None
                if doubted and result.outcome is Outcome.ALREADY:
                    result = WriteResult(result.write, Outcome.APPLIED)
                yield result

    def _others(self, coming: Coming) -> Iterator[EntryWrite]:
        """What is to be sent singly: all up to a row of adds that could as well be together."""
        row = 0
        while row < LEAST and (write := coming.next()) is not None:
            row = row + 1 if self._may_be_member(write) else 0
            yield write
        if coming.error is not None:
            raise coming.error

    def _as_one(
        self, group: list[EntryWrite], doubtful: dict[int, EntryWrite]
    ) -> Generator[WriteResult, None, list[EntryWrite]]:
        """Makes all of them or none; returns those that are to be sent singly."""
        transaction = Transaction(self._link.to_write(), self._in_flight)
        try:
            why = transaction.make(group)
        except ConnectionLost as lost:
            self._against = [f"a connection was lost in the middle of a transaction: {lost}"]
            results = self._read_group(group, lost, transaction.ending)
            if transaction.ending and not results:
                doubtful.update((id(write), write) for write in group)
            yield from results
            return [] if results else group
        if why:
            self._against = [why]
            return group
        for write in group:
            yield WriteResult(write, Outcome.APPLIED)
        return []

    def _read_group(
        self, group: Sequence[EntryWrite], lost: ConnectionLost, ending: bool
    ) -> list[WriteResult]:
        """What became of them; nothing where any is not made. Waits for a server that comes back."""
        results = []
        try:
            if not ending:
                self._read_back(group[0], lost)
                return []
            for write in group:
                result = self._after_silence(write, lost, False)
                if result is None:
                    return []
                results.append(result)
        except ReplyLost as unreadable:
            raise (with_doubts(unreadable, [one.dn for one in group]) if ending else lost) from None
        return results

    def _read_all(self, made: int) -> None:
        """Has the server read all accounts once. Raises DirectoryRefused where it cannot, or lacks some."""
        try:
            found = sum(1 for _ in self.search(self._settings.accounts, ANY_ENTRY, ["1.1"]))
        except DirectoryRefused as error:
            raise DirectoryRefused(f"{error}\n{_ADVICE}", error.result) from None
        if found < made:
            text = f"Of {made} entries that were made together the server finds only {found}.\n{_ADVICE}"
            raise DirectoryRefused(text, SUCCESS)


def _kinds(write: EntryWrite) -> set[str | bytes]:
    """What an add brings that the server may have to give a number: its attributes, and, since they decide
    what the server adds by itself, its object classes."""
    classes = (values for name, values in write.add.items() if name.lower() == "objectclass")
    return {name.lower() for name in write.add}.union(*classes)
