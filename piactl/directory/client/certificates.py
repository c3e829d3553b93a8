"""Explains what a certificate chain lacks of the requirements of RFC 5280, and how to correct it."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from typing import Any

# Object identifiers as DER spells them. Only the words of a message depend on them, so it is enough to look
# whether they are there.
_KEY_USAGE = bytes.fromhex("0603551d0f")
_AUTHORITY_KEY_IDENTIFIER = bytes.fromhex("0603551d23")


def lacking(link: ssl.SSLSocket, message: str) -> str:
    """What the strict check misses in the certificates that a connection without it was made with, and what
    to do; `message` is OpenSSL's own word of the first fault, for those that are not looked for here."""
    faults = list(_faults(link)) or [f"a certificate does not conform to RFC 5280 ({message})"]
    return f"TLS: {'; '.join(faults)}; or set `strict: false` under directory.tls"


def _faults(link: ssl.SSLSocket) -> Iterator[str]:
    """Goes up from the server's certificate, as far as the issuers are in `ca_file`."""
    facts: Any = link.getpeercert()
    der = link.getpeercert(binary_form=True) or b""
    if facts["issuer"] != facts["subject"] and _AUTHORITY_KEY_IDENTIFIER not in der:
        yield (
            f"the server's certificate '{_name(facts['subject'])}' has no authorityKeyIdentifier extension "
            "(sign it again with `authorityKeyIdentifier=keyid`)"
        )
    known: list[Any] = link.context.get_ca_certs()
    for authority, content in zip(known, link.context.get_ca_certs(binary_form=True), strict=True):
        if authority["subject"] == facts["issuer"] and _KEY_USAGE not in content:
            yield (
                f"the certificate of the CA '{_name(authority['subject'])}' has no keyUsage extension "
                "(create it again with `keyUsage=critical,keyCertSign,cRLSign`)"
            )


def _name(subject: Any) -> str:
    """A subject in OpenSSL's order, with the usual short names."""
    short = {"commonName": "CN", "organizationName": "O", "organizationalUnitName": "OU", "countryName": "C"}
    return ", ".join(f"{short.get(kind, kind)}={value}" for part in subject for kind, value in part)
