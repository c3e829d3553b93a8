"""A connection with TLS, by ldap3: connect, verify, bind."""

from __future__ import annotations

import ssl
from dataclasses import replace
from typing import Any

import ldap3
from ldap3.core.exceptions import LDAPException

from piactl.core.settings import DirectorySettings, Identity
from piactl.directory.certificates import lacking
from piactl.directory.deadline import Deadline
from piactl.directory.messages import Result
from piactl.directory.strategy import SilentConnection, VerifiedTls
from piactl.errors import PiactlError

_START_TLS = "1.3.6.1.4.1.1466.20037"


class TlsRefused(PiactlError):
    """No TLS could be begun on a connection."""


class SecuredConnection(SilentConnection):
    """LDAPS, or LDAP with StartTLS before anything else is said."""

    def __init__(
        self, address: str, settings: DirectorySettings, identity: Identity, secret: bytes, deadline: Deadline
    ) -> None:
        self._address, self._settings = address, settings
        self._starttls = address.startswith("ldap://")
        server = ldap3.Server(address, get_info=ldap3.NONE, tls=VerifiedTls(settings.tls))
        who: dict[str, Any] = {"user": identity.dn, "password": secret}
        if identity.external:
            who = {"authentication": ldap3.SASL, "sasl_mechanism": ldap3.EXTERNAL, "sasl_credentials": ""}
        super().__init__(server, settings.connect_timeout, deadline, **who)

    def establish(self) -> None:
        try:
            self._secure()
        except Exception as error:
            refused = self.strategy.failure or error
            if isinstance(refused, ssl.SSLCertVerificationError) and self._settings.tls.strict:
                self.strategy.failure = self._without_strict(refused)
            raise

    def _without_strict(self, refused: ssl.SSLCertVerificationError) -> Exception:
        """Why the certificates were refused: where another connection shows that only the strict check minds
        them, what they lack, else what is wrong with them in any case. Nothing is sent on that connection."""
        tls = replace(self._settings.tls, strict=False)
        nobody = Identity(external=True)
        second = SecuredConnection(
            self._address, replace(self._settings, tls=tls), nobody, b"", self.strategy.deadline
        )
        try:
            second._secure()
            return TlsRefused(lacking(second.socket, refused.verify_message))
        except (LDAPException, OSError, PiactlError) as error:
            again = second.strategy.failure or error
            return again if isinstance(again, ssl.SSLCertVerificationError) else refused
        finally:
            second.strategy.close()

    def _secure(self) -> None:
        try:
            self.open(read_server_info=False)
        except LDAPException:
            if self.strategy.failure is None:
                raise OSError(f"no address is known for {self.server.host}") from None
            raise
        if not self._starttls:
            return
        _, result, _, _ = self.extended(_START_TLS)
        if result["result"] != 0:
            raise TlsRefused(f"StartTLS refused ({result['description']}: {result['message']})")
        if self.strategy.pending():
            raise TlsRefused(
                "the server sent more than the answer before TLS began: somebody may be in between"
            )
        self.socket.settimeout(self.strategy.deadline.remaining())
        self.server.tls.wrap_socket(self)

    def bind_now(self) -> Result:
        bound, result, _, _ = self.bind(read_server_info=False)
        return Result(0 if bound else result["result"], text=result["message"])
