"""A connection without TLS: over the socket of this host, or over TCP where no password is to be hidden."""

from __future__ import annotations

import socket
from urllib.parse import unquote, urlsplit

from piactl.core.settings import Identity
from piactl.directory.deadline import Deadline
from piactl.directory.framing import Framing, connected_socket
from piactl.directory.messages import Result, bind_request, envelope, external_bind_request, result_of

_LDAP_PORT = 389
_BIND_RESPONSE = 0x61


class _PlainFraming(Framing):
    def __init__(self, connection: PlainConnection, deadline: Deadline) -> None:
        self.connection, self.deadline, self.failure = connection, deadline, None


class PlainConnection:
    """Connects to the first address of a host that answers, and binds. Raises ValueError for no address."""

    def __init__(
        self, address: str, connect_timeout: float, identity: Identity, secret: bytes, deadline: Deadline
    ) -> None:
        self.socket: socket.socket | None = None
        self.strategy: Framing = _PlainFraming(self, deadline)
        self._connect_timeout = connect_timeout
        self._request = external_bind_request() if identity.external else bind_request(identity.dn, secret)
        parts = urlsplit(address)
        self._path = unquote(parts.netloc) if parts.scheme == "ldapi" else ""
        self._host, self._port = parts.hostname or "localhost", parts.port or _LDAP_PORT

    def __repr__(self) -> str:
        return f"PlainConnection({self._path or self._host})"

    def establish(self) -> None:
        for address in self._addresses():
            timeout = min(self._connect_timeout, self.strategy.deadline.remaining())
            try:
                self.socket = connected_socket(address, timeout)
            except OSError as error:
                self.strategy.failure = error
            else:
                self.strategy.failure = None
                return
        raise self.strategy.failure or OSError(f"no address is known for {self._host}")

    def _addresses(self) -> list[tuple[int, int, int, object]]:
        if self._path:
            return [(socket.AF_UNIX, socket.SOCK_STREAM, 0, self._path)]
        try:
            found = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        except OSError:
            return []
        return [(family, kind, protocol, where) for family, kind, protocol, _, where in found]

    def bind_now(self) -> Result:
        self.strategy.send_bytes(envelope(1, self._request))
        message = self.strategy.next_message()
        if message.number != 1 or message.tag != _BIND_RESPONSE:
            raise ValueError("not the answer to a bind")
        return result_of(message)

    def forget(self) -> None:
        self._request = b""
