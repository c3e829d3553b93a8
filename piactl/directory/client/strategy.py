"""The client strategy of ldap3 that piactl sets on each connection, over TCP, TLS and ldapi alike.

It decodes entries in place and keeps many writes in flight. And it adds what ldap3's strategies lack: a
deadline for a whole operation (ldap3 has a timeout per recv, so a server that sends one byte at a time can
block it for ever), answers matched to their requests, sockets closed after a failure, verified certificates,
and no copies of secrets. It never sends a request twice.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections import defaultdict, deque
from collections.abc import Container, Iterator, Sequence
from typing import Any

import ldap3
from ldap3.core.exceptions import LDAPConnectionIsReadOnlyError, LDAPSocketOpenError
from ldap3.core.results import RESULT_CODES
from ldap3.protocol.convert import build_controls_list
from ldap3.protocol.rfc4511 import LDAPMessage, MessageID, ProtocolOp
from ldap3.strategy.sync import SyncStrategy
from ldap3.utils import asn1

from piactl.core.model.settings import TlsSettings
from piactl.core.plan.write import Write
from piactl.directory.client.messages import (
    Control,
    Message,
    Spelling,
    elements,
    encoded,
    entry_at,
    message_at,
    result_in,
)
from piactl.directory.client.result_codes import Result, described
from piactl.directory.interfaces import RawEntry
from piactl.errors import system_words
from piactl.phrase import Phrase

_CHUNK = 256 * 1024

SEARCH_ENTRY, SEARCH_DONE, SEARCH_REFERENCE, INTERMEDIATE = 0x64, 0x65, 0x73, 0x79
_ANSWERS = {
    "bindRequest": (0x61, "bindResponse"),
    "searchRequest": (SEARCH_DONE, "searchResDone"),
    "modifyRequest": (0x67, "modifyResponse"),
    "addRequest": (0x69, "addResponse"),
    "delRequest": (0x6B, "delResponse"),
    "extendedReq": (0x78, "extendedResp"),
}
"""Kinds of requests: the tag of the message that ends the answer, and ldap3's name for it."""
_NAMES = dict(_ANSWERS.values())
_REQUESTS = {"add": "addRequest", "modify": "modifyRequest", "delete": "delRequest"}
_WRITES = frozenset({*_REQUESTS.values(), "modDNRequest"})
_PARTS = (SEARCH_ENTRY, SEARCH_REFERENCE, INTERMEDIATE)
_NOTICE = 0

ControlledWrite = tuple[Write, Sequence[Control]]

_asn1: Any = asn1  # its stubs lack types


class VerifiedTls(ldap3.Tls):  # type: ignore[misc,unused-ignore]
    """TLS with the standard library's check of chain, dates and host name or IP address."""

    def __init__(self, settings: TlsSettings) -> None:
        super().__init__(validate=ssl.CERT_REQUIRED)
        self._ca_file = settings.ca_file
        # Python 3.13 sets both by default, 3.11 and 3.12 set neither
        self._flags = ssl.VERIFY_X509_PARTIAL_CHAIN | (ssl.VERIFY_X509_STRICT if settings.strict else 0)

    def wrap_socket(self, connection: Any, do_handshake: bool = True) -> None:
        try:
            context = ssl.create_default_context(cafile=self._ca_file or None)
        except ssl.SSLError:
            raise OSError(
                Phrase("ca_file {file} has no certificate in PEM form", file=self._ca_file)
            ) from None
        except OSError as error:
            why = system_words(error)
            raise OSError(
                Phrase("ca_file {file} cannot be read ({why})", file=self._ca_file, why=why)
            ) from None
        context.verify_flags = context.verify_flags & ~ssl.VERIFY_X509_STRICT | self._flags
        connection.socket = context.wrap_socket(connection.socket, server_hostname=connection.server.host)


class DeadlineStrategy(SyncStrategy):
    """A synchronous strategy that never sends a request twice, and whose waits all end at `deadline`.

    `failure` is the error of the last attempt to connect, `result` the result of the last operation,
    `references` the URIs of the continuation references of the last search.
    """

    connection: Any

    def __init__(self, connection: Any, connect_timeout: float, deadline: Deadline) -> None:
        super().__init__(connection)
        self.deadline = deadline
        self.failure: Exception | None = None
        self.result = Result(0)
        self.references: list[str] = []
        self.spelled: Spelling = {}
        self._connect_timeout = connect_timeout
        self._expected: dict[int, int] = {}
        self._early: defaultdict[int, deque[Message]] = defaultdict(deque)
        """Messages that came before they were asked for, by the number of their request."""
        self._data, self._at = b"", 0

    # ---- the socket

    def _open_socket(self, address: Any, use_ssl: bool = False, unix_socket: bool = False) -> None:
        """Connects to one address. Stores the error in `failure`, because ldap3 keeps only its text."""
        family, kind, protocol, _, where = address[:5]  # ldap3 adds to it
        try:
            link = self.connection.socket = socket.socket(family, kind, protocol)
            link.settimeout(min(self._connect_timeout, self.deadline.remaining()))
            link.connect(where)
            if family != socket.AF_UNIX:
                link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                link.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if use_ssl:
                self.begin_tls()
        except Exception as error:
            self.failure = error
            self.release()
            raise
        self.failure = None
        self.connection.closed = False

    def begin_tls(self) -> None:
        """Starts TLS within the deadline. Raises OSError, ValueError."""
        self._socket().settimeout(self.deadline.remaining())
        self.connection.server.tls.wrap_socket(self.connection)

    def release(self) -> None:
        """Closes the socket without an unbind."""
        self.connection.closed, self.connection.listening = True, False
        link, self.connection.socket = self.connection.socket, None
        if link is not None:
            with contextlib.suppress(OSError):
                link.close()

    def send_bytes(self, data: bytes) -> None:
        """Sends encoded messages. Raises OSError; how much was sent is then unknown."""
        link = self._socket()
        link.settimeout(self.deadline.remaining())
        try:
            link.sendall(data)
        except TimeoutError:
            raise self.deadline.passed() from None

    def has_bytes(self) -> bool:
        """Whether unread bytes have arrived."""
        return self._at < len(self._data)

    def _socket(self) -> socket.socket:
        link: socket.socket | None = self.connection.socket
        if link is None:
            raise OSError(Phrase("the connection is closed"))
        return link

    # ---- requests

    def new_number(self, request: str) -> int:
        """The number of a new request of this kind, whose answer is expected from now on.

        Raises LDAPConnectionIsReadOnlyError for a write on a read-only connection: ldap3 would send an add.
        """
        if self.connection.read_only and request in _WRITES:
            raise LDAPConnectionIsReadOnlyError("connection is read-only")
        message_id = int(self.connection.server.next_message_id())
        if request in _ANSWERS:
            self._expected[message_id] = _ANSWERS[request][0]
        return message_id

    def send(self, message_type: str, request: Any, controls: Any = None) -> int:
        """Sends a request of ldap3. Replaces its method, which keeps a copy of the request with the
        password."""
        if not self.connection.listening:
            raise LDAPSocketOpenError(Phrase("the connection is closed"))
        message = LDAPMessage()
        message["messageID"] = MessageID(self.new_number(message_type))
        message["protocolOp"] = ProtocolOp().setComponentByName(message_type, request)
        if controls:
            message["controls"] = build_controls_list(controls)
        self.send_bytes(_asn1.encode(message))
        return int(message["messageID"])

    def post(self, writes: Sequence[ControlledWrite]) -> list[int]:
        """Sends the writes at once, without waiting for an answer, and returns the numbers of their requests.

        Raises OSError; any part of the writes may then have been sent.
        """
        numbers = [self.new_number(_REQUESTS[write.op]) for write, _ in writes]
        self.send_bytes(
            b"".join(encoded(number, *write) for number, write in zip(numbers, writes, strict=True))
        )
        return numbers

    # ---- answers

    def receive(self, wanted: Container[int]) -> Message:
        """The next message for one of these requests; messages for other requests are stored for later.

        Raises OSError; ValueError or IndexError for bytes that are not LDAP or answer no request.
        """
        for request in self._early:
            if request in wanted:
                message = self._early[request].popleft()
                if not self._early[request]:
                    del self._early[request]
                return message
        while (message := self._next()).number not in wanted:
            self._early[message.number].append(message)
        return message

    def answers(self, wanted: Container[int]) -> Iterator[tuple[int, Result]]:
        """The results of one or more of these requests: waits for one, and includes others that have arrived.

        Raises OSError, ValueError or IndexError.
        """
        message: Message | None = self.receive(wanted)
        while message is not None:
            if message.number in wanted:
                yield message.number, result_in(message)
            else:
                self._early[message.number].append(message)
            message = self._arrived()

    def _next(self) -> Message:
        while (message := self._arrived()) is None:
            link = self._socket()
            link.settimeout(self.deadline.remaining())
            try:
                chunk = link.recv(_CHUNK)
            except TimeoutError:
                raise self.deadline.passed() from None
            if not chunk:
                raise ConnectionResetError(0, Phrase("the server closed the connection"))
            self._data, self._at = self._data[self._at :] + chunk, 0
        return message

    def _arrived(self) -> Message | None:
        """The next message, if all of it has arrived."""
        message = message_at(self._data, self._at)
        if message is None:
            return None
        self._at = message.stop
        if message.number == _NOTICE:
            why = described(result_in(message))
            raise ConnectionAbortedError(0, Phrase("the server ended the session: {why}", why=why))
        expected = self._expected.get(message.number)
        if expected is None:
            raise ValueError("an answer to no request of ours")
        if message.tag == expected:
            del self._expected[message.number]
        elif message.tag not in (_PARTS if expected == SEARCH_DONE else (INTERMEDIATE,)):
            raise ValueError("an answer to another kind of request")
        return message

    def get_response(
        self, message_id: int, timeout: float | None = None, get_request: bool = False
    ) -> tuple[list[RawEntry], dict[str, Any]]:
        """The entries and the result of one request, in the form that ldap3 expects."""
        entries: list[RawEntry] = []
        self.references = []
        wanted = (message_id,)
        while (message := self.receive(wanted)).tag not in _NAMES:
            if message.tag == SEARCH_ENTRY:
                entries.append(entry_at(message.data, message.start, message.end, self.spelled))
            elif message.tag == SEARCH_REFERENCE:
                uris = elements(message.data, message.start, message.end)
                self.references += (
                    message.data[first:end].decode("utf-8", "replace") for _, first, end in uris
                )
        self.result = result = result_in(message)
        answer = {
            "type": _NAMES[message.tag],
            "result": result.code,
            "description": RESULT_CODES.get(result.code, ""),
            "message": result.text,
            "dn": result.matched,
            "referrals": list(result.referrals),
            "saslCreds": None,
        }
        return entries, answer


class Deadline:
    """The end of the time for one operation, `seconds` after creation."""

    __slots__ = ("_end", "seconds")

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    def remaining(self) -> float:
        """The seconds left, more than 0. Raises TimeoutError if there are none."""
        remaining = self._end - time.monotonic()
        if remaining <= 0:
            raise self.passed()
        return remaining

    def passed(self) -> TimeoutError:
        """The error for an answer that did not come in time."""
        return TimeoutError(Phrase("no complete answer within {seconds} s", seconds=f"{self.seconds:.3g}"))

    def allows(self, seconds: float) -> bool:
        """Whether time is left after waiting this long."""
        return self._end - time.monotonic() > seconds
