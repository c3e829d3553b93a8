"""ldap3's connection with piactl's socket handling: deadlines per operation, verified TLS, no leaks.

ldap3 counts a timeout per recv, so a server that trickles can hold an operation for ever; it keeps failed
sockets open, does not verify certificates unless told to, and shows the password in `repr`.
"""

from __future__ import annotations

import socket
import ssl
from typing import Any

import ldap3
from ldap3.strategy.safeSync import SafeSyncStrategy

from piactl.core.settings import TlsSettings
from piactl.directory.ber import header
from piactl.directory.deadline import Deadline
from piactl.directory.messages import Message, message_at

LARGEST_MESSAGE = 256 * 1024 * 1024
_CHUNK = 256 * 1024


class VerifiedTls(ldap3.Tls):  # type: ignore[misc,unused-ignore]
    """TLS with the standard library's own check of chain, dates and host name (IP addresses too)."""

    def __init__(self, settings: TlsSettings) -> None:
        super().__init__(validate=ssl.CERT_REQUIRED)
        self._ca_file = settings.ca_file

    def wrap_socket(self, connection: Any, do_handshake: bool = True) -> None:
        try:
            context = ssl.create_default_context(cafile=self._ca_file or None)
        except ssl.SSLError:
            raise ValueError(f"{self._ca_file} holds no certificate in PEM form") from None
        except OSError as error:
            raise ValueError(f"ca_file {self._ca_file}: {error.strerror}") from None
        connection.socket = context.wrap_socket(connection.socket, server_hostname=connection.server.host)


class DeadlineStrategy(SafeSyncStrategy):
    """Synchronous, never re-sends, and every wait ends at `deadline`."""

    def __init__(self, connection: Any, connect_timeout: float, deadline: Deadline) -> None:
        super().__init__(connection)
        self.deadline = deadline
        self.failure: Exception | None = None
        self._connect_timeout = connect_timeout
        self._data = b""
        self._at = 0

    def _open_socket(self, address: Any, use_ssl: bool = False, unix_socket: bool = False) -> None:
        """Connects to one address; `failure` keeps the error itself, of which ldap3 keeps only the text."""
        family, kind, protocol = address[:3]
        link = socket.socket(family, kind, protocol)
        try:
            link.settimeout(min(self._connect_timeout, self.deadline.remaining()))
            link.connect(address[4])
            if family != socket.AF_UNIX:
                link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                link.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            self.connection.socket = link
            if use_ssl:
                self.connection.server.tls.wrap_socket(self.connection)
        except Exception as error:
            self.failure = error
            self.connection.socket = None
            link.close()
            raise
        self.connection.closed = False

    def sending(self, ldap_message: Any) -> None:
        self.connection.socket.settimeout(self.deadline.remaining())
        super().sending(ldap_message)

    def receiving(self) -> list[bytes]:  # type: ignore[override,unused-ignore]
        message = self.next_message()
        return [self._data[self._before : message.stop]]

    def send_bytes(self, data: bytes) -> None:
        """Sends encoded messages. Raises OSError; how much has gone out then is unknown."""
        link = self.connection.socket
        if link is None:
            raise OSError("the connection is closed")
        link.settimeout(self.deadline.remaining())
        try:
            link.sendall(data)
        except TimeoutError:
            raise self.deadline.passed() from None

    def next_message(self) -> Message:
        """The next message, waited for until the deadline. Raises OSError, ValueError or IndexError."""
        while not self._whole():
            link = self.connection.socket
            if link is None:
                raise OSError("the connection is closed")
            link.settimeout(self.deadline.remaining())
            try:
                more = link.recv(_CHUNK)
            except TimeoutError:
                raise self.deadline.passed() from None
            if not more:
                raise ConnectionResetError(0, "the server closed the connection")
            self._data = self._data[self._at :] + more
            self._at = 0
        message = message_at(self._data, self._at)
        self._before, self._at = self._at, message.stop
        return message

    def pending(self) -> bool:
        """Whether bytes have come that nobody has asked for yet."""
        return self._at < len(self._data)

    def _whole(self) -> bool:
        have = len(self._data) - self._at
        if have and self._data[self._at] != 0x30:
            raise ValueError("no message begins like that")
        if have < 2 or have < 2 + (self._data[self._at + 1] & 0x7F) * (self._data[self._at + 1] >> 7):
            return False
        end = header(self._data, self._at)[2]
        if end - self._at > LARGEST_MESSAGE:
            raise ValueError("a message of more than 256 MiB")
        return end <= len(self._data)


class SilentConnection(ldap3.Connection):  # type: ignore[misc,unused-ignore]
    """A connection that shows neither name nor password, and forgets the password after the bind."""

    def __init__(self, server: ldap3.Server, connect_timeout: float, deadline: Deadline, **who: Any) -> None:
        super().__init__(
            server,
            client_strategy=ldap3.SAFE_SYNC,
            auto_bind=ldap3.AUTO_BIND_NONE,
            auto_referrals=False,
            auto_range=False,
            check_names=False,
            return_empty_attributes=False,
            **who,
        )
        self.strategy = DeadlineStrategy(self, connect_timeout, deadline)
        self.send = self.strategy.send
        self.open = self.strategy.open
        self.get_response = self.strategy.get_response
        self.post_send_single_response = self.strategy.post_send_single_response
        self.post_send_search = self.strategy.post_send_search

    def __repr__(self) -> str:
        return f"SilentConnection({self.server.name})"

    __str__ = __repr__

    def forget(self) -> None:
        self.password = None
        self.request = None
