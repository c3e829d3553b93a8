"""The way to one server: connect, verify, bind, and ask it what it can."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Protocol
from urllib.parse import quote, unquote, urlsplit

from piactl.core.settings import DirectorySettings, Identity
from piactl.directory.deadline import Deadline
from piactl.directory.framing import Framing
from piactl.directory.messages import Result
from piactl.directory.plain import PlainConnection
from piactl.directory.port import ServerFacts
from piactl.directory.results import BAD_CREDENTIALS, described, of_transport, reason
from piactl.directory.session import Session
from piactl.errors import PiactlError

_ROOT_DSE = (
    "supportedControl supportedExtension supportedFeatures namingContexts vendorName vendorVersion "
    "configContext monitorContext"
).split()
_LDAPI_DEFAULTS = ("/run/slapd/ldapi", "/var/run/slapd/ldapi", "/var/run/ldapi", "/run/openldap/ldapi")

Password = Callable[[str], bytes]
"""Reads the password of an identity from the file that its settings name."""


class Unusable(Exception):
    """A server of the list that cannot be used, and why; `everywhere` if the others would say the same."""

    def __init__(self, why: str, *, everywhere: bool = False) -> None:
        self.everywhere = everywhere
        super().__init__(why)


class Connection(Protocol):
    """A connection to be made and bound, all within its deadline."""

    strategy: Framing

    def establish(self) -> None:
        """Connects, with TLS where that is wanted. Raises an error of transport, Unusable."""

    def bind_now(self) -> Result:
        """Binds; the server's answer."""

    def forget(self) -> None:
        """Forgets the password."""


def open_session(uri: str, settings: DirectorySettings, identity: Identity, password: Password) -> Session:
    """Connects, starts TLS, binds and reads the root DSE, all within twice the connect timeout.

    Raises Unusable.
    """
    secret = b"" if identity.external else _allowed_password(uri, settings, identity, password)
    deadline = Deadline(2 * settings.connect_timeout)
    try:
        connection = _way(uri, settings, identity, secret, deadline)
    except Exception as error:
        if not of_transport(error):
            raise
        raise Unusable(f"not an address of a server ({error})") from None
    session = Session(uri, connection, settings.operation_timeout)
    try:
        connection.establish()
        _bound(connection.bind_now(), identity)
        session.operation_timeout = deadline.remaining()
        session.facts = _facts(session)
        session.operation_timeout = settings.operation_timeout
    except BaseException as error:
        session.drop()
        if isinstance(error, PiactlError) or of_transport(error):
            cause = connection.strategy.failure or error
            words = str(cause).removeprefix(f"{uri}: ") if isinstance(cause, PiactlError) else reason(cause)
            raise Unusable(words) from None
        raise
    finally:
        connection.forget()
    return session


def _way(
    uri: str, settings: DirectorySettings, identity: Identity, secret: bytes, deadline: Deadline
) -> Connection:
    """A connection still to be made: by the library where TLS is wanted, else without it, which loads in
    a fraction of the time."""
    address = _address(uri)
    if address.startswith("ldaps://") or (settings.tls.starttls and address.startswith("ldap://")):
        from piactl.directory.secured import SecuredConnection

        return SecuredConnection(address, settings, identity, secret, deadline)
    return PlainConnection(address, settings.connect_timeout, identity, secret, deadline)


def _bound(result: Result, identity: Identity) -> None:
    """Raises Unusable where the bind was refused."""
    if result.code == 0:
        return
    who = "EXTERNAL" if identity.external else identity.dn
    words = f"bind as {who} refused: {described(result)}"
    if result.code == BAD_CREDENTIALS:
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
        address=session.address(),
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
    """The URI with a lower-case scheme; `ldapi:///` is the socket of the system's slapd."""
    scheme, _, rest = uri.partition("://")
    if scheme.lower() not in ("ldap", "ldaps", "ldapi"):
        raise ValueError("it must begin with ldap://, ldaps:// or ldapi://")
    if scheme.lower() != "ldapi":
        return f"{scheme.lower()}://{rest.rstrip('/')}"
    path = unquote(rest).rstrip("/")
    if not path:
        path = next((known for known in _LDAPI_DEFAULTS if Path(known).exists()), _LDAPI_DEFAULTS[0])
    return "ldapi://" + quote(path, safe="")
