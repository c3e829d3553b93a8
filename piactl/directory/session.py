"""One connection in use: requests out, answers in, each within its deadline."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from ldap3.core.exceptions import LDAPException

from piactl.directory.deadline import Deadline
from piactl.directory.filters import ANY_ENTRY
from piactl.directory.messages import (
    FINAL,
    INTERMEDIATE,
    SEARCH_ENTRY,
    SEARCH_REFERENCE,
    Message,
    Result,
    encoded_filter,
    entry_of,
    envelope,
    result_of,
    search_request,
    strings,
)
from piactl.directory.port import RawEntry, ServerFacts
from piactl.directory.results import NO_SUCH_OBJECT, ConnectionLost, described, translated, unfinished
from piactl.directory.strategy import DeadlineStrategy, SilentConnection
from piactl.errors import DirectoryTruncated


class Session:
    """A connection in use. After an error of transport it is closed and stays so."""

    def __init__(self, uri: str, connection: SilentConnection, operation_timeout: float) -> None:
        self.uri = uri
        self.operation_timeout = operation_timeout
        self.paging = False
        self._connection = connection
        self._strategy: DeadlineStrategy = connection.strategy
        self._last_number = 0
        self._spelled: dict[tuple[str, ...], dict[bytes, str]] = {}
        self.facts = ServerFacts(uri, frozenset(), frozenset(), frozenset(), ())

    def __repr__(self) -> str:
        return f"Session({self.uri})"

    @property
    def closed(self) -> bool:
        return self._connection.socket is None

    def close(self) -> None:
        """Says goodbye where that is possible, and lets go of the socket in any case."""
        if not self.closed:
            self._strategy.deadline = Deadline(1)
            with contextlib.suppress(OSError, ValueError):
                self.send(b"\x42\x00")
        self.drop()

    def drop(self) -> None:
        """Lets go of the socket without a word."""
        with contextlib.suppress(OSError, LDAPException):
            self._strategy.close()
        link, self._connection.socket = self._connection.socket, None
        if link is not None:
            link.close()

    def send(self, operation: bytes, controls: Sequence[bytes] = ()) -> int:
        """Sends one request and returns its number; several may be on their way."""
        self._last_number += 1
        self._strategy.send_bytes(envelope(self._last_number, operation, controls))
        return self._last_number

    def receive(self, expected: int = 0) -> Message:
        """The next message to that request, or to any. Raises ValueError for one that answers another."""
        message = self._strategy.next_message()
        if message.number == 0:
            raise ConnectionAbortedError(0, f"the server ended the session: {described(result_of(message))}")
        if not 0 < message.number <= self._last_number or (expected and message.number != expected):
            raise ValueError("an answer to no question of ours")
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
                    message = self.receive(number)
                    if message.tag in FINAL:
                        return before, result_of(message)
                    before.append(message)
        except BaseException:
            self.drop()
            raise

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
