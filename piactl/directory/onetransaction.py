"""One transaction (RFC 5805) on its way: many adds that are made together, or not at all.

How it is sent follows from what slapd 2.6 does (tests/bench/README.md counts it). One of its threads goes
on using a request for a moment after it has answered it, and the end of the transaction frees that request.
So the end is asked for when all of it is answered, and a moment later: without that moment one abort in seven
ended slapd.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from piactl.directory.ber import FALSE, SEQUENCE, element, header, number, octets
from piactl.directory.bulk import PIECE
from piactl.directory.loneserver import END, MEMBER, START
from piactl.directory.messages import control, extended_request, write_request
from piactl.directory.port import EntryWrite
from piactl.directory.results import SUCCESS, described
from piactl.directory.session import Session

_MOMENT = 0.02
"""Seconds from the last answer to the end: a thread that has answered has some microseconds still to go."""


class Transaction:
    """One transaction. `ending` once the request to make it may have gone out."""

    def __init__(self, session: Session, in_flight: int) -> None:
        self.ending = False
        self._session, self._in_flight = session, in_flight
        self._members: dict[int, EntryWrite] = {}
        self._refused = ""

    def make(self, group: Sequence[EntryWrite]) -> str:
        """Why nothing of it was made, "" if all was. Raises ConnectionLost."""
        begun = self._session.exchange(extended_request(START), [], "begin a transaction")[1]
        if begun.code != SUCCESS:
            return f"the server begins no transaction: {described(begun)}"
        name = begun.value or b""
        self._send(group, control(MEMBER, name))
        time.sleep(_MOMENT)
        self.ending = not self._refused
        body = octets(name) if self.ending else FALSE + octets(name)
        end = extended_request(END, element(SEQUENCE, body))
        result = self._session.exchange(end, [], f"make {len(group)} entries together")[1]
        if self._refused or result.code == SUCCESS:
            return self._refused
        culprit = self._members.get(_number_in(result.value))
        which = culprit.dn if culprit is not None else "one of its writes"
        return f"a transaction was refused: {which}: {described(result)}"

    def _send(self, group: Sequence[EntryWrite], member: bytes) -> None:
        """Sends all, and waits for all answers."""
        doing = f"write {group[0].dn!r} and {len(group) - 1} more together"
        waiting: set[int] = set()
        size = min(PIECE, self._in_flight)
        for first in range(0, len(group), size):
            piece = group[first : first + size]
            self._receive(waiting, self._in_flight - len(piece), doing)
            numbers = self._session.post([(write_request(write), [member]) for write in piece], doing)
            self._members.update(zip(numbers, piece, strict=True))
            waiting.update(numbers)
        self._receive(waiting, 0, doing)

    def _receive(self, waiting: set[int], most: int, doing: str) -> None:
        """Takes answers until no more than `most` are waited for."""
        while len(waiting) > most:
            for message, answer in self._session.answers(waiting, doing):
                waiting.discard(message)
                if answer.code != SUCCESS:
                    dn = self._members[message].dn
                    self._refused = f"{dn} was not taken into a transaction: {described(answer)}"


def _number_in(value: bytes | None) -> int:
    """The number of the request that made a transaction fail, 0 where that is not told."""
    try:
        _, first, _ = header(value or b"", 0)
        _, start, end = header(value or b"", first)
        return number(value or b"", start, end)
    except (IndexError, ValueError):
        return 0
