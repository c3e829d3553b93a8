"""ldap3's connection with piactl's socket handling, for TLS: deadlines per operation, verified, no leaks.

ldap3 counts a timeout per recv, so a server that trickles can hold an operation for ever; it keeps failed
sockets open, does not verify certificates unless told to, and shows the password in `repr`.
"""

from __future__ import annotations

import ssl
from typing import Any

import ldap3
from ldap3.strategy.safeSync import SafeSyncStrategy

from piactl.core.settings import TlsSettings
from piactl.directory.deadline import Deadline
from piactl.directory.framing import Framing, connected_socket


class VerifiedTls(ldap3.Tls):  # type: ignore[misc,unused-ignore]
    """TLS with the standard library's own check of chain, dates and host name (IP addresses too)."""

    def __init__(self, settings: TlsSettings) -> None:
        super().__init__(validate=ssl.CERT_REQUIRED)
        self._ca_file = settings.ca_file
        # Python 3.13 sets both by itself, 3.11 and 3.12 neither
        self._flags = ssl.VERIFY_X509_PARTIAL_CHAIN | (ssl.VERIFY_X509_STRICT if settings.strict else 0)

    def wrap_socket(self, connection: Any, do_handshake: bool = True) -> None:
        try:
            context = ssl.create_default_context(cafile=self._ca_file or None)
        except ssl.SSLError:
            raise ValueError(f"{self._ca_file} holds no certificate in PEM form") from None
        except OSError as error:
            raise ValueError(f"ca_file {self._ca_file}: {error.strerror}") from None
        context.verify_flags = context.verify_flags & ~ssl.VERIFY_X509_STRICT | self._flags
        connection.socket = context.wrap_socket(connection.socket, server_hostname=connection.server.host)


class DeadlineStrategy(Framing, SafeSyncStrategy):
    """Synchronous, never re-sends, and every wait ends at `deadline`."""

    connection: Any

    def __init__(self, connection: Any, connect_timeout: float, deadline: Deadline) -> None:
        super().__init__(connection)
        self.deadline = deadline
        self.failure = None
        self._connect_timeout = connect_timeout

    def _open_socket(self, address: Any, use_ssl: bool = False, unix_socket: bool = False) -> None:
        """Connects to one address; `failure` keeps the error itself, of which ldap3 keeps only the text."""
        try:
            timeout = min(self._connect_timeout, self.deadline.remaining())
            link = connected_socket((*address[:3], address[4]), timeout)
            self.connection.socket = link
            if use_ssl:
                self.connection.server.tls.wrap_socket(self.connection)
        except Exception as error:
            self.failure = error
            if self.connection.socket is not None:
                self.connection.socket.close()
            self.connection.socket = None
            raise
        self.connection.closed = False

    def sending(self, ldap_message: Any) -> None:
        self.connection.socket.settimeout(self.deadline.remaining())
        super().sending(ldap_message)

    def receiving(self) -> list[bytes]:  # type: ignore[override,unused-ignore]
        message = self.next_message()
        return [self._data[self._before : message.stop]]


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
