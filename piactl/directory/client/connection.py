"""A session with one server: connected and bound within a deadline, through ldap3 with our strategy."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import ldap3
from ldap3.core.exceptions import LDAPException

from piactl.core.model.settings import DirectorySettings, Identity, TlsSettings
from piactl.core.plan.write import Write
from piactl.core.text import utc_instant
from piactl.directory.client.messages import MANAGE_REFERRALS, Control, spelling
from piactl.directory.client.result_codes import (
    BAD_CREDENTIALS,
    NO_RIGHT,
    NO_SUCH_OBJECT,
    ConnectionLost,
    Result,
    described,
    lacking,
    of_transport,
    reason,
    translated,
    unfinished,
    without_server,
)
from piactl.directory.client.strategy import ControlledWrite, Deadline, DeadlineStrategy, VerifiedTls
from piactl.directory.filters import ANY_ENTRY
from piactl.directory.interfaces import RawEntry, ServerFacts
from piactl.errors import DirectoryTruncated, PiactlError
from piactl.phrase import Phrase

_ROOT_DSE = ("supportedControl namingContexts configContext monitorContext subschemaSubentry").split()
_LDAPI_DEFAULTS = ("/run/slapd/ldapi", "/var/run/slapd/ldapi", "/var/run/ldapi", "/run/openldap/ldapi")
_SCOPES = {"base": ldap3.BASE, "one": ldap3.LEVEL, "subtree": ldap3.SUBTREE}
_START_TLS = "1.3.6.1.4.1.1466.20037"
_WHO_AM_I = "1.3.6.1.4.1.4203.1.11.3"
Password = Callable[[Identity], bytes]
"""The password of an identity, b"" for EXTERNAL. Raises NotPermitted if the caller may not use it."""


class Unusable(Exception):
    """A server cannot be used; `everywhere` if the other servers would give the same answer."""

    def __init__(self, why: str, *, everywhere: bool = False) -> None:
        self.everywhere = everywhere
        super().__init__(why)


class SilentConnection(ldap3.Connection):  # type: ignore[misc,unused-ignore]
    """ldap3's connection with our strategy. Its repr has no secrets, and it drops the password."""

    strategy: DeadlineStrategy

    def __init__(
        self,
        address: str,
        settings: DirectorySettings,
        identity: Identity,
        secret: bytes,
        deadline: Deadline,
        *,
        read_only: bool,
    ) -> None:
        credentials: dict[str, Any] = {
            "user": identity.dn,
            "password": secret,
            "authentication": ldap3.SIMPLE,
        }
        if identity.external:
            credentials = {
                "authentication": ldap3.SASL,
                "sasl_mechanism": ldap3.EXTERNAL,
                "sasl_credentials": "",
            }
        super().__init__(
            ldap3.Server(address, get_info=ldap3.NONE, tls=VerifiedTls(settings.tls)),
            client_strategy=ldap3.SYNC,
            auto_bind=ldap3.AUTO_BIND_NONE,
            auto_referrals=False,
            auto_range=False,
            check_names=False,
            return_empty_attributes=False,
            read_only=read_only,
            **credentials,
        )
        self.strategy = DeadlineStrategy(self, settings.connect_timeout, deadline)
        self.send = self.strategy.send
        self.open = self.strategy.open
        self.get_response = self.strategy.get_response
        self.post_send_single_response = self.strategy.post_send_single_response
        self.post_send_search = self.strategy.post_send_search

    def __repr__(self) -> str:
        return f"SilentConnection({self.server.name})"

    __str__ = __repr__


class Session:
    """An open connection. A transport error closes it for good."""

    def __init__(self, uri: str, connection: SilentConnection, operation_timeout: float) -> None:
        self.uri = uri
        self.operation_timeout = operation_timeout
        self.paging = False
        self._connection: Any = connection  # ldap3's stubs lack types
        self._strategy = connection.strategy
        self.facts = ServerFacts(uri, frozenset(), ())

    def __repr__(self) -> str:
        return f"Session({self.uri})"

    @property
    def closed(self) -> bool:
        return self._connection.socket is None

    def close(self) -> None:
        """Unbinds if possible, and closes the socket in any case."""
        if not self.closed:
            self._strategy.deadline = Deadline(1)
            with contextlib.suppress(OSError, ValueError, LDAPException):
                self._connection.unbind()
        self.drop()

    def drop(self) -> None:
        """Closes the socket without unbinding."""
        self._strategy.release()

    @contextlib.contextmanager
    def _operation(self, doing: str, deadline: Deadline | None = None) -> Iterator[None]:
        """Runs one operation within its deadline. Raises ConnectionLost.

        An error closes the session: a late answer cannot be taken for that of another request.
        """
        try:
            with translated(self.uri, doing):
                self._strategy.deadline = deadline or Deadline(self.operation_timeout)
                yield
        except BaseException:
            self.drop()
            raise

    def write(
        self, write: Write, controls: Sequence[Control], doing: str, deadline: Deadline | None = None
    ) -> Result:
        """Sends one write and waits for its answer; the caller checks the result.

        Raises ConnectionLost; the write may then have been made or not.
        """
        with self._operation(doing, deadline):
            numbers = self._strategy.post([(write, controls)])
            [(_, result)] = self._strategy.answers(numbers)
        return result

    def post(self, writes: Sequence[ControlledWrite], doing: str) -> list[int]:
        """Sends writes at once, without waiting for answers. Returns the numbers of their requests.

        Raises ConnectionLost and closes the session; any part of the writes may have been sent.
        """
        with self._operation(doing):
            return self._strategy.post(writes)

    def answers(self, wanted: Container[int], doing: str) -> list[tuple[int, Result]]:
        """The results of one or more of these requests: waits for one, and includes others that have arrived.

        Raises ConnectionLost and closes the session if none arrives.
        """
        ends: list[tuple[int, Result]] = []
        try:
            with self._operation(doing):
                ends.extend(self._strategy.answers(wanted))
        except ConnectionLost:
            # return the answers that came before the break; the next call raises the error
            if not ends:
                raise
        return ends

    def page(
        self, base: str, scope: str, query: str, attributes: Sequence[str],
        *, size: int | None = None, cookie: bytes = b"", most: int = 0, referrals: bool = False,
    ) -> tuple[list[RawEntry], Result]:  # fmt: skip
        """One search request and its answer; the caller checks the result.

        With `size` it requests one page (RFC 2696), always critical, because a server that ignored the
        control would cut the answer; with `most`, at most `most` entries (result code 4 if there are more).
        Raises DirectoryTruncated if a part of the tree is on another server, unless `referrals` are entries
        like any other.
        """
        doing = Phrase("search below {base}", base=repr(base)) if base else Phrase("read the root DSE")
        names = tuple(attributes)
        self._strategy.spelled = spelling(names)
        with self._operation(doing):
            self._connection.search(
                base,
                query,
                _SCOPES[scope],
                ldap3.DEREF_NEVER,
                names,
                size_limit=most,
                time_limit=int(self.operation_timeout),
                paged_size=size,
                paged_criticality=True,
                paged_cookie=cookie or None,
                controls=[MANAGE_REFERRALS] if referrals else None,
            )
        if self._strategy.references:
            raise DirectoryTruncated(
                Phrase(
                    "{uri}: {doing}: a part of the tree is on another server ({names}); the result is not "
                    "used.\n"
                    "Referrals are not followed: name a server in `servers` that holds the whole tree.",
                    uri=self.uri,
                    doing=doing,
                    names=", ".join(self._strategy.references),
                )
            )
        return self._connection.response, self._strategy.result

    def entry(self, dn: str, attributes: Sequence[str]) -> RawEntry | None:
        """One entry by DN; None if it does not exist or is not visible."""
        entries, result = self.page(dn, "base", ANY_ENTRY, attributes)
        if result.code == NO_SUCH_OBJECT:
            return None
        if result.code:
            doing = Phrase("read {dn}", dn=repr(dn)) if dn else Phrase("read the root DSE")
            raise unfinished(result, self.uri, doing)
        return entries[0] if entries else None

    def who_am_i(self) -> str:
        """The DN of this session on the server (RFC 4532); "" if it is anonymous."""
        with self._operation(Phrase("ask who is bound")):
            self._connection.extended(_WHO_AM_I)
        result = self._strategy.result
        if result.code:
            raise unfinished(result, self.uri, Phrase("ask who is bound"))
        return result.value.decode("utf-8", "replace").removeprefix("dn:")

    def clock(self) -> datetime | None:
        """The server's clock now, to the second, UTC; None if cn=monitor may not be read."""
        place = f"cn=Current,cn=Time,{self.facts.monitor_context}"
        entries, _ = self.page(place, "base", ANY_ENTRY, ["monitorTimestamp"])
        try:
            return utc_instant(entries[0].text("monitorTimestamp") if entries else "")
        except ValueError:
            return None

    def schema_meets(self, query: str) -> bool:
        """Whether the filter finds the schema. The server compares, so that little is sent."""
        place = self.facts.subschema
        entries, result = self.page(place, "base", query, ["1.1"])
        if result.code not in (0, NO_SUCH_OBJECT, NO_RIGHT):
            raise unfinished(result, self.uri, Phrase("read {dn}", dn=repr(place)))
        return bool(entries)


def open_session(
    uri: str,
    settings: DirectorySettings,
    identity: Identity,
    password: Password,
    *,
    read_only: bool = True,
) -> Session:
    """Connects, starts TLS, binds and reads the root DSE, all within twice the connect timeout.

    `read_only`: the connection refuses to send a write. Raises Unusable.
    """
    secret = password(identity) if identity.external else _allowed_password(uri, settings, identity, password)
    deadline = Deadline(2 * settings.connect_timeout)
    connection = _connection(uri, settings, identity, secret, deadline, read_only=read_only)
    session = Session(uri, connection, settings.operation_timeout)
    try:
        _establish(connection, settings)
        connection.bind(read_server_info=False)
        _check_bound(connection.strategy.result, identity)
        session.operation_timeout = deadline.remaining()
        session.facts = _facts(session)
        session.operation_timeout = settings.operation_timeout
    except BaseException as error:
        session.drop()
        if isinstance(error, PiactlError | LDAPException) or of_transport(error):
            cause = connection.strategy.failure or error
            if isinstance(cause, ssl.SSLCertVerificationError) and settings.tls.strict:
                cause = _without_strict(cause, uri, settings, deadline)
            words = without_server(cause) if isinstance(cause, PiactlError) else reason(cause)
            raise Unusable(words) from None
        raise
    finally:
        connection.password = None
    return session


def bind_result(
    uri: str, settings: DirectorySettings, identity: Identity, password: Password, *, clear: bool = False
) -> Result:
    """The server's answer to one simple bind; nothing else is asked on that connection.

    `clear`: without TLS, for a made-up password; the server must refuse it unread. Raises
    Unusable if no answer comes, or if the password would be sent in clear to another host.
    """
    tls = TlsSettings() if clear else settings.tls
    settings = replace(settings, tls=tls)
    secret = password(identity) if clear else _allowed_password(uri, settings, identity, password)
    deadline = Deadline(2 * settings.connect_timeout)
    connection = _connection(uri, settings, identity, secret, deadline, read_only=True)
    try:
        _establish(connection, settings)
        connection.bind(read_server_info=False)
        return connection.strategy.result
    except (LDAPException, OSError, PiactlError) as error:
        raise Unusable(reason(connection.strategy.failure or error)) from None
    finally:
        connection.password = None
        connection.strategy.release()


def _connection(
    uri: str,
    settings: DirectorySettings,
    identity: Identity,
    secret: bytes,
    deadline: Deadline,
    *,
    read_only: bool,
) -> SilentConnection:
    """A connection that is not open yet. Raises Unusable for a URI that is not the address of a server."""
    try:
        return SilentConnection(_address(uri), settings, identity, secret, deadline, read_only=read_only)
    except (ValueError, LDAPException) as error:
        raise Unusable(
            Phrase("not an address of a server ({value})", value=str(error) or type(error).__name__)
        ) from None


def _without_strict(
    refused: ssl.SSLCertVerificationError, uri: str, settings: DirectorySettings, deadline: Deadline
) -> Exception:
    """The error behind a refused certificate. Makes a second connection without the strict check, on which
    nothing is sent. If only the strict check fails, raises Unusable with what the certificates lack."""
    lenient = replace(settings, tls=replace(settings.tls, strict=False))
    second = _connection(uri, lenient, Identity(external=True), b"", deadline, read_only=True)
    try:
        _establish(second, lenient)
    except (LDAPException, OSError, PiactlError, Unusable) as error:
        without_strict = second.strategy.failure or error
        return without_strict if isinstance(without_strict, ssl.SSLCertVerificationError) else refused
    else:
        raise Unusable(lacking(second.socket, refused.verify_message)) from None
    finally:
        second.strategy.release()


def _establish(connection: SilentConnection, settings: DirectorySettings) -> None:
    """Connects, with TLS if configured. Raises a transport error, or Unusable."""
    try:
        connection.open(read_server_info=False)
    except LDAPException:
        if connection.strategy.failure is None:
            raise OSError(Phrase("no address found for {host}", host=connection.server.host)) from None
        raise
    if not settings.tls.starttls or not connection.server.name.startswith("ldap://"):
        return
    connection.extended(_START_TLS)
    result = connection.strategy.result
    if result.code:
        raise Unusable(Phrase("StartTLS refused ({described})", described=described(result)))
    if connection.strategy.has_bytes():
        raise Unusable(
            Phrase("the server sent data after its StartTLS answer: the connection may be intercepted")
        )
    connection.strategy.begin_tls()


def _check_bound(result: Result, identity: Identity) -> None:
    """Raises Unusable if the bind was refused."""
    if result.code == 0:
        return
    name = "EXTERNAL" if identity.external else identity.dn
    words = Phrase("bind as {name} refused: {described}", name=name, described=described(result))
    if result.code == BAD_CREDENTIALS:
        raise Unusable(
            Phrase("{words}. Check the DN and the password file of this identity.", words=words),
            everywhere=True,
        )
    raise Unusable(words)


def _facts(session: Session) -> ServerFacts:
    entry = session.entry("", _ROOT_DSE) or RawEntry("", {})
    return ServerFacts(
        uri=session.uri,
        controls=frozenset(entry.texts("supportedControl")),
        naming_contexts=tuple(entry.texts("namingContexts")),
        config_context=entry.text("configContext") or "cn=config",
        monitor_context=entry.text("monitorContext") or "cn=Monitor",
        subschema=entry.text("subschemaSubentry") or "cn=Subschema",
    )


def _allowed_password(uri: str, settings: DirectorySettings, identity: Identity, password: Password) -> bytes:
    """The password. Raises Unusable if it would be sent in clear text to another host, or is empty."""
    parts = urlsplit(uri)
    clear = parts.scheme.lower() == "ldap" and not settings.tls.starttls
    if clear and not _is_this_host(parts.hostname or ""):
        raise Unusable(
            Phrase("the password would be sent in clear text: set `starttls: true` or use ldaps://")
        )
    secret = password(identity)
    if not secret or not identity.dn:
        raise Unusable(
            Phrase("an empty DN or password would bind anonymously: check the identity"), everywhere=True
        )
    return secret


def _is_this_host(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _address(uri: str) -> str:
    """The URI with a lower-case scheme; `ldapi:///` is the socket of the system's slapd."""
    scheme, _, rest = uri.partition("://")
    if scheme.lower() not in ("ldap", "ldaps", "ldapi"):
        raise ValueError(Phrase("it must begin with ldap://, ldaps:// or ldapi://"))
    if scheme.lower() != "ldapi":
        return f"{scheme.lower()}://{rest.rstrip('/')}"
    path = unquote(rest).rstrip("/")
    if not path:
        path = next((default for default in _LDAPI_DEFAULTS if Path(default).exists()), _LDAPI_DEFAULTS[0])
    return "ldapi://" + quote(path, safe="")
