"""One connection in use: requests out, answers in, each within its deadline."""

from __future__ import annotations

import contextlib
from collections.abc import Container, Iterator, Sequence
from typing import Any

from piactl.directory.deadline import Deadline
from piactl.directory.filtercoding import encoded_filter
from piactl.directory.filters import ANY_ENTRY, equals
from piactl.directory.framing import Framing
from piactl.directory.messages import (
    FINAL,
    INTERMEDIATE,
    SEARCH_ENTRY,
    SEARCH_REFERENCE,
    Message,
    Result,
    entry_of,
    envelope,
    result_of,
    search_request,
    strings,
)
from piactl.directory.port import RawEntry, ServerFacts
from piactl.directory.results import (
    NO_RIGHT,
    NO_SUCH_OBJECT,
    ConnectionLost,
    described,
    translated,
    unfinished,
)
from piactl.errors import DirectoryTruncated


class Session:
    """A connection in use. After an error of transport it is closed and stays so."""

    def __init__(self, uri: str, connection: Any, operation_timeout: float) -> None:
        self.uri = uri
        self.operation_timeout = operation_timeout
        self.paging = False
        self._connection = connection
        self._strategy: Framing = connection.strategy
        self._last_number = 0
        self._open: set[int] = set()
        self._early: list[Message] = []
        self._spelled: dict[tuple[str, ...], dict[bytes, str]] = {}
        self.facts = ServerFacts(uri, frozenset(), frozenset(), frozenset(), ())

    def __repr__(self) -> str:
        return f"Session({self.uri})"

    @property
    def closed(self) -> bool:
        return self._connection.socket is None

    def address(self) -> str:
        """The network address of the server, empty on a socket of this host."""
        name = self._connection.socket.getpeername()
        return str(name[0]) if isinstance(name, tuple) else ""

    def close(self) -> None:
        """Says goodbye where that is possible, and lets go of the socket in any case."""
        if not self.closed:
            self._strategy.deadline = Deadline(1)
            with contextlib.suppress(OSError, ValueError):
                self.send(b"\x42\x00")
        self.drop()

    def drop(self) -> None:
        """Lets go of the socket without a word."""
        with contextlib.suppress(OSError):
            self._strategy.close()
        link, self._connection.socket = self._connection.socket, None
        if link is not None:
            link.close()

    def send(self, operation: bytes, controls: Sequence[bytes] = ()) -> int:
        """Sends one request and returns its number; several may be on their way."""
        self._strategy.send_bytes(self._numbered(operation, controls))
        return self._last_number

    def _numbered(self, operation: bytes, controls: Sequence[bytes]) -> bytes:
        self._last_number += 1
        self._open.add(self._last_number)
        return envelope(self._last_number, operation, controls)

    def receive(self, wanted: Container[int]) -> Message:
        """The next message to one of those requests; what comes to others meanwhile is kept for who asks.

        Raises ValueError for a message that answers no request, or one that was answered to its end.
        """
        for at, message in enumerate(self._early):
            if message.number in wanted:
                return self._early.pop(at)
        while (message := self._next()).number not in wanted:
            self._early.append(message)
        return message

    def _next(self) -> Message:
        message = self._strategy.next_message()
        if message.number == 0:
            raise ConnectionAbortedError(0, f"the server ended the session: {described(result_of(message))}")
        if message.number not in self._open:
            raise ValueError("an answer to no question of ours")
        if message.tag in FINAL:
            self._open.discard(message.number)
        return message

    def exchange(
        self, operation: bytes, controls: Sequence[bytes], doing: str, deadline: Deadline | None = None
    ) -> tuple[list[Message], Result]:
        """Sends one request and waits for all of its answer: the messages before the end, and the end.

        Raises ConnectionLost, after which the session is closed, so that nothing late can be mistaken
        for the answer to something else.
        """
        try:
            with translated(self.uri, doing):
                self._strategy.deadline = deadline or Deadline(self.operation_timeout)
                number = self.send(operation, controls)
                before: list[Message] = []
                while True:
                    message = self.receive((number,))
                    if message.tag in FINAL:
                        return before, result_of(message)
                    before.append(message)
        except BaseException:
            self.drop()
            raise

    def post(self, requests: Sequence[tuple[bytes, Sequence[bytes]]], doing: str) -> list[int]:
        """Sends requests at once and waits for no answer; their numbers.

        Raises ConnectionLost, after which the session is closed: any part of them may have gone out.
        """
        try:
            with translated(self.uri, doing):
                self._strategy.deadline = Deadline(self.operation_timeout)
                first = self._last_number + 1
                self._strategy.send_bytes(b"".join(self._numbered(*request) for request in requests))
                return list(range(first, self._last_number + 1))
        except BaseException:
            self.drop()
            raise

    def answers(self, wanted: Container[int], doing: str) -> list[tuple[int, Result]]:
        """The ends of one or more of those requests: waits for one, and takes what has come with it.

        Raises ConnectionLost where none came, after which the session is closed.
        """
        ends: list[tuple[int, Result]] = []
        try:
            with translated(self.uri, doing):
                self._strategy.deadline = Deadline(self.operation_timeout)
                while not ends or self._strategy.has_message():
                    message = self._next() if ends else self.receive(wanted)
                    if message.number not in wanted:
                        self._early.append(message)
                    elif message.tag in FINAL:
                        ends.append((message.number, result_of(message)))
        except BaseException as error:
            self.drop()
            # what was answered before the connection broke is answered; the next call meets the break
            if not (ends and isinstance(error, ConnectionLost)):
                raise
        return ends

    def page(
        self, base: str, scope: str, query: str, attributes: Sequence[str], controls: Sequence[bytes] = ()
    ) -> tuple[list[RawEntry], Result]:
        """One search request and its answer; the caller checks the result.

        Raises DirectoryTruncated where the server points elsewhere for a part of the tree.
        """
        doing = f"search below {base!r}" if base else "read the root DSE"
        spelled = self._spelled.setdefault(tuple(attributes), {a.lower().encode(): a for a in attributes})
        with translated(self.uri, doing):
            wanted = encoded_filter(query)
        request = search_request(base, scope, wanted, attributes, int(self.operation_timeout))
        messages, result = self.exchange(request, controls, doing)
        entries = []
        with self._dropped_if_garbled(doing):
            for message in messages:
                if message.tag == SEARCH_ENTRY:
                    entries.append(RawEntry(*entry_of(message, spelled)))
                elif message.tag == SEARCH_REFERENCE:
                    where = ", ".join(strings(message.data, message.start, message.end))
                    raise DirectoryTruncated(
                        f"{self.uri}: {doing}: a part of the tree lies elsewhere ({where}); nothing of it is "
                        "used.\nReferrals are not followed: name a server that holds it all in `servers`."
                    )
                elif message.tag != INTERMEDIATE:
                    raise ValueError("an answer to another kind of question")
        return entries, result

    @contextlib.contextmanager
    def _dropped_if_garbled(self, doing: str) -> Iterator[None]:
        try:
            with translated(self.uri, doing):
                yield
        except ConnectionLost:
            self.drop()
            raise

    def entry(self, dn: str, attributes: Sequence[str]) -> RawEntry | None:
        """One entry by name, None where there is none (or none that may be seen)."""
        entries, result = self.page(dn, "base", ANY_ENTRY, attributes)
        if result.code == NO_SUCH_OBJECT:
            return None
        if result.code:
            raise unfinished(result, self.uri, f"read {dn!r}")
        return entries[0] if entries else None

    def has_class(self, name: str) -> bool:
        """Whether the schema has this object class; the server looks for it, so that little is sent."""
        root = self.entry("", ["subschemaSubentry"])
        place = (root and root.text("subschemaSubentry")) or "cn=Subschema"
        entries, result = self.page(place, "base", equals("objectClasses", name), ["1.1"])
        if result.code not in (0, NO_SUCH_OBJECT, NO_RIGHT):
            raise unfinished(result, self.uri, f"read {place!r}")
        return bool(entries)
