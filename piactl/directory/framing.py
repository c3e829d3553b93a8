"""LDAP messages out of and into a socket, each wait within a deadline for the whole operation."""

from __future__ import annotations

import socket
from typing import Protocol

from piactl.directory.ber import header
from piactl.directory.deadline import Deadline
from piactl.directory.messages import Message, message_at

LARGEST_MESSAGE = 256 * 1024 * 1024
_CHUNK = 256 * 1024


class Linked(Protocol):
    """What holds the socket, which is None once it is closed."""

    socket: socket.socket | None


class Framing:
    """The messages of one connection. `failure` is the error that kept it from being made."""

    connection: Linked
    deadline: Deadline
    failure: Exception | None
    _data: bytes = b""
    _at: int = 0
    _before: int = 0

    def close(self) -> None:
        """Says nothing and lets go of the socket. Raises OSError."""
        link, self.connection.socket = self.connection.socket, None
        if link is not None:
            link.close()

    def send_bytes(self, data: bytes) -> None:
        """Sends encoded messages. Raises OSError; how much has gone out then is unknown."""
        link = self._link()
        link.settimeout(self.deadline.remaining())
        try:
            link.sendall(data)
        except TimeoutError:
            raise self.deadline.passed() from None

    def next_message(self) -> Message:
        """The next message, waited for until the deadline. Raises OSError, ValueError or IndexError."""
        while not self._whole():
            link = self._link()
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

    def has_message(self) -> bool:
        """Whether a whole message has come that nobody has asked for yet. Raises ValueError."""
        return self._whole()

    def pending(self) -> bool:
        """Whether bytes have come that nobody has asked for yet."""
        return self._at < len(self._data)

    def _link(self) -> socket.socket:
        link = self.connection.socket
        if link is None:
            raise OSError("the connection is closed")
        return link

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


def connected_socket(address: tuple[int, int, int, object], timeout: float) -> socket.socket:
    """A socket connected to one address, (family, kind, protocol, where). Raises OSError."""
    family, kind, protocol, where = address
    link = socket.socket(family, kind, protocol)
    try:
        link.settimeout(timeout)
        link.connect(where)  # type: ignore[arg-type]
        if family != socket.AF_UNIX:
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            link.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    except BaseException:
        link.close()
        raise
    return link
