"""Entries as LDIF (RFC 2849), read as slapcat and ldapsearch write them.

ldap3's writer makes change records of its own requests.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from pathlib import Path

from piactl.directory.interfaces import RawEntry
from piactl.errors import UsageError, system_words
from piactl.phrase import Phrase

_SAFE = re.compile(rb"(?:[!-9;=-~](?:[ -~]*[!-~])?)?\Z")
"""Printable ASCII that neither begins with a blank, a colon or `<` nor ends with a blank."""


def ldif_entry(dn: str, values: Mapping[str, tuple[bytes, ...]]) -> bytes:
    """One entry and the blank line after it; values that RFC 2849 does not allow unencoded are in base64."""
    lines = [_line("dn", dn.encode())]
    lines += [_line(name, value) for name, attribute_values in values.items() for value in attribute_values]
    return b"".join(lines) + b"\n"


def _line(name: str, value: bytes) -> bytes:
    if _SAFE.match(value):
        return b"%b: %b\n" % (name.encode(), value)
    return b"%b:: %b\n" % (name.encode(), b64encode(value))


def read_ldif(path: Path) -> Iterator[RawEntry]:
    """The entries of a file. Raises UsageError with the line for anything that is not part of an entry:
    changes, references to files, text that is not LDIF."""
    dn, values = "", dict[str, list[bytes]]()
    for number, line in _logical_lines(path):
        if not line:
            if dn:
                yield RawEntry(
                    dn, {name: tuple(attribute_values) for name, attribute_values in values.items()}
                )
            dn, values = "", {}
            continue
        name, value = _read_line(path, number, line)
        if name == "dn" and not dn:
            dn = value.decode("utf-8", "replace")
        elif not dn and name in ("version", "search", "result"):
            continue
        elif not dn or name in ("changetype", "dn"):
            raise UsageError(
                Phrase(
                    "{path}:{number}: an entry begins with `dn:`, and changes are not read",
                    path=path,
                    number=number,
                )
            )
        else:
            values.setdefault(name, []).append(value)


def _logical_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines, each with its number: folded lines are joined, comments are left out, and an empty line is
    added at the end."""
    logical_line, first_number = b"", 0
    try:
        with path.open("rb") as stream:
            for number, raw in enumerate(stream, 1):
                line = raw.rstrip(b"\r\n")
                if line.startswith(b" ") and first_number:
                    logical_line += line[1:]
                    continue
                if first_number and not logical_line.startswith(b"#"):
                    yield first_number, logical_line
                logical_line, first_number = line, number
    except OSError as error:
        raise UsageError(
            Phrase("{path}: cannot be read ({strerror})", path=path, strerror=system_words(error))
        ) from None
    if first_number and logical_line and not logical_line.startswith(b"#"):
        yield first_number, logical_line
    yield first_number, b""


def _read_line(path: Path, number: int, line: bytes) -> tuple[str, bytes]:
    name, sign, rest = line.partition(b":")
    try:
        text = name.decode("ascii")
        if rest.startswith(b":"):
            return text, b64decode(rest[1:].strip(), validate=True)
    except ValueError:
        sign = b""
    if not sign or not name or rest.startswith(b"<"):
        raise UsageError(
            Phrase("{path}:{number}: not a line of LDIF with a value in the file", path=path, number=number)
        )
    return text, rest.lstrip(b" ")
