"""Asking a person: for a yes, or for a secret, without echo on a terminal, from a private file or stdin
elsewhere."""

from __future__ import annotations

import os
import sys

from piactl.errors import UsageError


def confirmed(question: str) -> bool:
    """Whether the person at the terminal says yes; anything else is a no."""
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    try:
        return sys.stdin.readline().strip().lower() in ("y", "yes", "o", "oui")
    except UnicodeDecodeError:
        return False


def ask_secret(what: str, source: str | None, option: str) -> str:
    """A secret: from `source` (`-` is the next line of stdin, else a file of mode 0600), and without one
    asked for on a terminal. `option` is the option that names the source, for the message.

    Raises UsageError where there is none to be had, SecretUnusable for a file that others can read. Never
    waits for somebody who is not there.
    """
    if source == "-":
        return _line_of_stdin(what, option)
    if source is not None:
        from piactl.secrets import read_password

        return read_password(os.path.abspath(source)).decode("utf-8", "replace")  # noqa: PTH100 the text it takes
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(
            f"{what} is asked for on a terminal, and this is none: give it with {option} FILE (mode 0600), "
            f"or {option} - for a line of stdin"
        )
    return _without_echo(what)


def _line_of_stdin(what: str, option: str) -> str:
    try:
        line = sys.stdin.readline()
    except UnicodeDecodeError:
        raise UsageError(f"{what}: stdin is no UTF-8 text") from None
    if not line.strip("\r\n"):
        raise UsageError(f"{what}: {option} - was given, and stdin holds no line for it")
    return line.rstrip("\r\n")


def _without_echo(what: str) -> str:
    import getpass

    try:
        text = getpass.getpass(f"{what} (not shown): ", stream=sys.stderr)
    except EOFError:
        raise UsageError(f"{what}: none was given; nothing was changed") from None
    if not text:
        raise UsageError(f"{what}: none was given; nothing was changed")
    return text
