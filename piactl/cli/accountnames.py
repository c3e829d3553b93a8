"""The accounts that a command is for: named on the command line, or on stdin."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from piactl.errors import UsageError

_BOM = b"\xef\xbb\xbf"


def read_names(arguments: Sequence[str]) -> list[str]:
    """The names on the command line; `-` reads stdin: one per line, plain, as JSON text, or as an object
    with a uid, as `account list -o ndjson` prints them. Raises UsageError."""
    names: list[str] = []
    for argument in arguments:
        names += _names_of_stdin() if argument == "-" else [argument]
    return names


def _names_of_stdin() -> Iterator[str]:
    # as bytes: what is no text is told with its line, whatever the locale
    for number, raw in enumerate(sys.stdin.buffer, 1):
        try:
            line = (raw.removeprefix(_BOM) if number == 1 else raw).decode().strip()
        except UnicodeDecodeError:
            raise UsageError(f"stdin, line {number}: is no UTF-8 text; nothing was changed") from None
        if line:
            yield _name_in_json(line, number) if line[0] in '{"' else line


def _name_in_json(line: str, number: int) -> str:
    import json

    try:
        value = json.loads(line)
        name = value.get("uid") if isinstance(value, dict) else value
        usable = isinstance(name, str) and name.encode() != b""
    except (ValueError, RecursionError):
        usable = False
    if not usable:
        raise UsageError(
            f"stdin, line {number}: neither a name nor a JSON object with a uid; nothing was changed"
        )
    return str(name)
