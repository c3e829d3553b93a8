"""Entries as LDIF (RFC 2849), which slapadd loads.

ldap3's writer makes change records of its own requests; slapadd takes entries.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping

_SAFE = re.compile(rb"(?:[!-9;=-~](?:[ -~]*[!-~])?)?\Z")
"""Printable ASCII that neither begins with a blank, a colon or `<` nor ends with a blank."""


def ldif_entry(dn: str, values: Mapping[str, tuple[bytes, ...]]) -> bytes:
    """One entry and the blank line after it; values that RFC 2849 does not take as they are, in base64."""
    lines = [_line("dn", dn.encode())]
    lines += [_line(name, value) for name, found in values.items() for value in found]
    return b"".join(lines) + b"\n"


def _line(name: str, value: bytes) -> bytes:
    if _SAFE.match(value):
        return b"%b: %b\n" % (name.encode(), value)
    return b"%b:: %b\n" % (name.encode(), b64encode(value))
