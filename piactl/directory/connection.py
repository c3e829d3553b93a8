"""One bound connection to one server: opened, verified, asked who it is, and closed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import ldap3
from ldap3.core.exceptions import LDAPException

from piactl.core.settings import DirectorySettings, Identity
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
from piactl.directory.results import (
    BAD_CREDENTIALS,
    NO_SUCH_OBJECT,
    ConnectionLost,
    described,
    reason,
    translated,
    unfinished,
)
from piactl.directory.strategy import DeadlineStrategy, SilentConnection, VerifiedTls
from piactl.errors import DirectoryTruncated, PiactlError

_ROOT_DSE = (
    "supportedControl supportedExtension supportedFeatures namingContexts vendorName vendorVersion "
    "configContext monitorContext"
).split()
_LDAPI_DEFAULTS = ("/run/slapd/ldapi", "/var/run/slapd/ldapi", "/var/run/ldapi", "/run/openldap/ldapi")

Password = Callable[[str], bytes]
"""Reads the password of an identity from the file that its settings name."""


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
    def _dropped_if_garbled(self, doing: str) -> Any:
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


class Unusable(Exception):
    """A server of the list that cannot be used, and why; `everywhere` if the others would say the same."""

    def __init__(self, why: str, *, everywhere: bool = False) -> None:
        self.everywhere = everywhere
        super().__init__(why)


def open_session(uri: str, settings: DirectorySettings, identity: Identity, password: Password) -> Session:
    """Connects, starts TLS, binds and reads the root DSE, all within twice the connect timeout.

    Raises Unusable.
    """
    secret = b"" if identity.external else _allowed_password(uri, settings, identity, password)
    deadline = Deadline(2 * settings.connect_timeout)
    try:
        server = ldap3.Server(_address(uri), get_info=ldap3.NONE, tls=VerifiedTls(settings.tls))
        who: dict[str, Any] = {"user": identity.dn, "password": secret}
        if identity.external:
            who = {"authentication": ldap3.SASL, "sasl_mechanism": ldap3.EXTERNAL, "sasl_credentials": ""}
        connection = SilentConnection(server, settings.connect_timeout, deadline, **who)
    except (LDAPException, ValueError) as error:
        raise Unusable(f"not an address of a server ({error})") from None
    session = Session(uri, connection, settings.operation_timeout)
    try:
        _establish(connection, uri, settings)
        _bind(connection, identity)
        session.operation_timeout = deadline.remaining()
        session.facts = _facts(session)
        session.operation_timeout = settings.operation_timeout
    except BaseException as error:
        session.drop()
        if isinstance(error, (PiactlError, LDAPException, OSError, ValueError, IndexError)):
            cause = connection.strategy.failure or error
            words = str(cause).removeprefix(f"{uri}: ") if isinstance(cause, PiactlError) else reason(cause)
            raise Unusable(words) from None
        raise
    finally:
        connection.forget()
    return session


def _establish(connection: SilentConnection, uri: str, settings: DirectorySettings) -> None:
    try:
        connection.open(read_server_info=False)
    except LDAPException:
        if connection.strategy.failure is None:
            raise OSError(f"no address is known for {connection.server.host}") from None
        raise
    if not (settings.tls.starttls and uri.lower().startswith("ldap://")):
        return
    _, result, _, _ = connection.extended("1.3.6.1.4.1.1466.20037")
    if result["result"] != 0:
        raise Unusable(f"StartTLS refused ({result['description']}: {result['message']})")
    if connection.strategy.pending():
        raise Unusable("the server sent more than the answer before TLS began: somebody may be in between")
    connection.socket.settimeout(connection.strategy.deadline.remaining())
    connection.server.tls.wrap_socket(connection)


def _bind(connection: SilentConnection, identity: Identity) -> None:
    bound, result, _, _ = connection.bind(read_server_info=False)
    if bound:
        return
    who = "EXTERNAL" if identity.external else identity.dn
    code, text = result["result"], result["message"]
    words = f"bind as {who} refused: {result['description']} ({code}){': ' + text if text else ''}"
    if code == BAD_CREDENTIALS:
        raise Unusable(f"{words}. Check the name and the password file of this identity.", everywhere=True)
    raise Unusable(words)


def _facts(session: Session) -> ServerFacts:
    entry = session.entry("", _ROOT_DSE)
    values = entry.values if entry else {}

    def texts(attribute: str) -> tuple[str, ...]:
        return tuple(value.decode("utf-8", "replace") for value in values.get(attribute, ()))

    return ServerFacts(
        uri=session.uri,
        controls=frozenset(texts("supportedControl")),
        extensions=frozenset(texts("supportedExtension")),
        features=frozenset(texts("supportedFeatures")),
        naming_contexts=texts("namingContexts"),
        vendor=" ".join(texts("vendorName") + texts("vendorVersion")),
        config_context="".join(texts("configContext")[:1]),
        monitor_context="".join(texts("monitorContext")[:1]),
    )


def _allowed_password(uri: str, settings: DirectorySettings, identity: Identity, password: Password) -> bytes:
    """The password, if it may travel to this server: not in clear to another host."""
    parts = urlsplit(uri)
    clear = parts.scheme.lower() == "ldap" and not settings.tls.starttls
    if clear and not _is_this_host(parts.hostname or ""):
        raise Unusable("the password would travel in clear: set `starttls: true` or use ldaps://")
    secret = password(identity.password_file)
    if not secret or not identity.dn:
        raise Unusable(
            "an empty name or password would be an anonymous bind: check the identity", everywhere=True
        )
    return secret


def _is_this_host(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _address(uri: str) -> str:
    """The URI as ldap3 reads it; `ldapi:///` is the socket of the system's slapd."""
    scheme, _, rest = uri.partition("://")
    if scheme.lower() not in ("ldap", "ldaps", "ldapi"):
        raise ValueError("it must begin with ldap://, ldaps:// or ldapi://")
    if scheme.lower() != "ldapi":
        return f"{scheme.lower()}://{rest.rstrip('/')}"
    path = unquote(rest).rstrip("/")
    if not path:
        path = next((known for known in _LDAPI_DEFAULTS if Path(known).exists()), _LDAPI_DEFAULTS[0])
    return "ldapi://" + quote(path, safe="")
