"""Describes LDAP result codes and TLS faults, and translates the errors of ldap3."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ldap3.core.exceptions import LDAPCommunicationError
from ldap3.core.results import RESULT_CODES
from pyasn1.error import PyAsn1Error

from piactl.errors import DirectoryRefused, DirectoryTruncated, DirectoryUnreachable, PiactlError
from piactl.phrase import Phrase, joined

SUCCESS, TIME_LIMIT, SIZE_LIMIT, REFERRAL, ADMIN_LIMIT = 0, 3, 4, 10, 11
NO_SUCH_ATTRIBUTE, VALUE_EXISTS, NO_SUCH_OBJECT = 16, 20, 32
BAD_CREDENTIALS, NO_RIGHT, BUSY, UNAVAILABLE, UNWILLING = 49, 50, 51, 52, 53
EXISTS, OTHER, ASSERTION = 68, 80, 122

TRUNCATING = frozenset({TIME_LIMIT, SIZE_LIMIT, 9, REFERRAL, ADMIN_LIMIT})
AGAIN = frozenset({BUSY, UNAVAILABLE})
STALE = frozenset({NO_SUCH_ATTRIBUTE, VALUE_EXISTS, NO_SUCH_OBJECT, EXISTS, ASSERTION})
"""Results of an entry that does not have the expected values; it must be read back."""
ONE_ENTRY = frozenset({17, 18, 19, 21, 33, 34, 36, 64, 65, 66, 67, 69, 71})
"""Refusals of one entry, which do not affect the next."""

_ADVICE = {
    TIME_LIMIT: Phrase("Raise the time limit of this identity on the server (`limits` in slapd)."),
    SIZE_LIMIT: Phrase("Raise the size limit of this identity on the server (`limits ... size=unlimited`)."),
    ADMIN_LIMIT: Phrase(
        "Raise the limits of this identity on the server (`size.prtotal`, `size.unchecked`)."
    ),
    REFERRAL: Phrase("Referrals are not followed: name the server that holds the data and takes writes."),
    8: Phrase("Use StartTLS or ldaps."),
    13: Phrase("Use StartTLS or ldaps."),
    NO_SUCH_OBJECT: Phrase("Check the bases in the configuration; slapd/tree.ldif.in has the entries."),
    BAD_CREDENTIALS: Phrase("Check the name and the password file of the identity."),
    NO_RIGHT: Phrase(
        "Give this identity the right in the server's ACLs; `piactl doctor` shows which one lacks."
    ),
    BUSY: Phrase("Try again later."),
    UNAVAILABLE: Phrase("Try again later, or look at the server's log."),
    UNWILLING: Phrase("The server or its database may be read-only: look at its log and at `readonly`."),
    OTHER: Phrase(
        "The server could not store it: look at its log, at the free disk space and at `maxsize` of mdb."
    ),
}


@dataclass(frozen=True, slots=True)
class Result:
    """The result of an operation. `controls` are the encoded values of the response controls by OID; `cookie`
    is the cookie of the paged results control, None if there was none; `value` the value of an extended
    operation."""

    code: int
    matched: str = ""
    text: str = ""
    referrals: tuple[str, ...] = ()
    controls: Mapping[str, bytes] = field(default_factory=dict)
    cookie: bytes | None = None
    value: bytes = b""


def named(code: int) -> str:
    """The result's name and code, as in `busy (51)`."""
    return f"{RESULT_CODES.get(code, 'unknown result')} ({code})"


def described(result: Result) -> str:
    """Name and code, the message of the server, and the target of a referral."""
    words = named(result.code)
    if result.text:
        words += f": {result.text}"
    if result.referrals:
        return Phrase("{result}, see {servers}", result=words, servers=", ".join(result.referrals))
    return words


def refusal(result: Result, uri: str, doing: str) -> PiactlError:
    """The error for a failed operation: unreachable if the server is busy or unavailable, else refused."""
    text = _advised(uri, Phrase("{doing}: {described}.", doing=doing, described=described(result)), result)
    if result.code in AGAIN:
        return DirectoryUnreachable(text)
    return DirectoryRefused(text, result.code)


def unfinished(result: Result, uri: str, doing: str) -> PiactlError:
    """The error for a search that failed: its result must not be used."""
    if result.code not in TRUNCATING:
        return refusal(result, uri, doing)
    words = described(result)
    what = Phrase("{doing}: truncated, {described}; the result is not used.", doing=doing, described=words)
    return DirectoryTruncated(_advised(uri, what, result))


_AT = Phrase("{uri}: {what}")


def _advised(uri: str, what: str, result: Result) -> Phrase:
    """What failed on a server, with advice if there is any."""
    advice = _ADVICE.get(result.code)
    return Phrase(_AT, uri=uri, what=joined([what, advice], "{first}\n{second}") if advice else what)


def without_server(error: BaseException) -> str:
    """What an error says, without the server that it names first."""
    words = str(error)
    return str(words.values["what"]) if isinstance(words, Phrase) and words.form == _AT else words


class ConnectionLost(DirectoryUnreachable):
    """The connection broke, or no answer came in time; the requests sent may have been executed.

    `late`: the deadline passed.
    """

    def __init__(self, message: str, *, late: bool = False) -> None:
        self.late = late
        super().__init__(message)


@contextmanager
def translated(uri: str, doing: str) -> Iterator[None]:
    """Turns transport errors into ConnectionLost with the server and the operation."""
    try:
        yield
    except PiactlError:
        raise
    except TimeoutError as error:
        raise ConnectionLost(_at(uri, doing, reason(error)), late=True) from None
    except Exception as error:
        if not of_transport(error):
            raise
        raise ConnectionLost(_at(uri, doing, reason(error))) from None


def _at(uri: str, doing: str, why: str) -> Phrase:
    return Phrase(_AT, uri=uri, what=Phrase("{doing}: {why}", doing=doing, why=why))


def of_transport(error: BaseException) -> bool:
    """Whether this is an error of the socket or of the received data. A request that ldap3 or pyasn1 refuses
    is not, because nothing was sent."""
    if isinstance(error, PyAsn1Error):
        return False
    return isinstance(error, OSError | ValueError | IndexError | LDAPCommunicationError)


def reason(error: BaseException) -> str:
    """The reason why a server cannot be used, with advice if there is any."""
    if isinstance(error, ssl.SSLError):
        return _tls(error)
    if isinstance(error, TimeoutError):
        return str(error) if str(error) not in ("", "timed out") else Phrase("no answer in time")
    if isinstance(error, ConnectionRefusedError):
        return Phrase("connection refused: is the server running?")
    if isinstance(error, OSError):
        words = error.strerror or str(error) or type(error).__name__
        return words if isinstance(words, Phrase) else Phrase(words.lower())
    if isinstance(error, (ValueError, IndexError)):
        return Phrase("the answer is not LDAP ({error})", error=str(error))
    return str(error)


def _tls(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return _certificate(error)
    return Phrase("TLS failed ({value}): check that this port speaks TLS", value=error.reason or "handshake")


def _certificate(error: ssl.SSLCertVerificationError) -> str:
    why = error.verify_message or str(error)
    if error.verify_code == 10:
        return Phrase("TLS: the server's certificate has expired: renew it")
    if error.verify_code in (62, 64):
        return Phrase(
            "TLS: the server's certificate is for another name ({why}): use its name in `servers`", why=why
        )
    if error.verify_code in (24, 79):
        return Phrase(
            "TLS: the CA's certificate is not marked as a CA ({why}): create it again with `CA:TRUE`", why=why
        )
    return Phrase(
        "TLS: the server's certificate is not trusted ({why}): set `ca_file` to the CA that signed it",
        why=why,
    )


# Object identifiers in DER. Only the text of a message depends on them, so a search for the bytes is enough.
_KEY_USAGE = bytes.fromhex("0603551d0f")
_AUTHORITY_KEY_IDENTIFIER = bytes.fromhex("0603551d23")


def lacking(link: ssl.SSLSocket, message: str) -> str:
    """What the certificates of a connection lack for the strict check, and what to do. `message` is the fault
    that OpenSSL reports, used if none is found here."""
    faults = list(_faults(link)) or [
        Phrase("a certificate does not conform to RFC 5280 ({message})", message=message)
    ]
    return Phrase("TLS: {names}; or set `strict: false` under directory.tls", names=joined(faults))


def _faults(link: ssl.SSLSocket) -> Iterator[str]:
    """The faults of the server's certificate and of its issuers in `ca_file`."""
    facts: Any = link.getpeercert()
    der = link.getpeercert(binary_form=True) or b""
    if facts["issuer"] != facts["subject"] and _AUTHORITY_KEY_IDENTIFIER not in der:
        yield (
            Phrase(
                "the server's certificate '{name}' has no authorityKeyIdentifier extension (sign it again "
                "with `authorityKeyIdentifier=keyid`)",
                name=_name(facts["subject"]),
            )
        )
    authorities: list[Any] = link.context.get_ca_certs()
    for authority, content in zip(authorities, link.context.get_ca_certs(binary_form=True), strict=True):
        if authority["subject"] == facts["issuer"] and _KEY_USAGE not in content:
            yield (
                Phrase(
                    "the certificate of the CA '{name}' has no keyUsage extension (create it again with "
                    "`keyUsage=critical,keyCertSign,cRLSign`)",
                    name=_name(authority["subject"]),
                )
            )


def _name(subject: Any) -> str:
    """A subject in OpenSSL's order, with short attribute names."""
    short = {"commonName": "CN", "organizationName": "O", "organizationalUnitName": "OU", "countryName": "C"}
    return ", ".join(f"{short.get(kind, kind)}={value}" for part in subject for kind, value in part)
