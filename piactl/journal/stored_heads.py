"""The head of the journal outside the directory: in the log of the host, and in a file."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from piactl.core.journal_line import Anchor, read_anchor
from piactl.errors import PiactlError

SYSLOG = "/dev/log"
_NOTICE_OF_AUTHPRIV = 10 << 3 | 5
_PATIENCE = 1.0


def log_head(anchor: Anchor, address: str = SYSLOG) -> bool:
    """Sends the head to syslog (authpriv.notice, in the form that syslog(3) writes); false where nothing
    listens. Waits a second at most."""
    text = f"<{_NOTICE_OF_AUTHPRIV}>piactl[{os.getpid()}]: journal head {anchor}"
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
            log.settimeout(_PATIENCE)
            log.connect(address)
            log.send(text.encode())
    except OSError:
        return False
    return True


def has_syslog(address: str = SYSLOG) -> bool:
    """Whether a program takes messages at `address`."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
            log.settimeout(_PATIENCE)
            log.connect(address)
    except OSError:
        return False
    return True


def append_head(path: str, anchor: Anchor | None = None) -> None:
    """Appends the head to a file that is there, which may be append-only, and syncs it; without a head only
    opens it. Raises PiactlError."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            if anchor is not None:
                os.write(fd, f"{anchor}\n".encode())
                os.fsync(fd)
        finally:
            os.close(fd)
    except OSError as error:
        raise PiactlError(f"{path}: the head of the journal cannot be appended ({error.strerror})") from None


def read_heads(path: str) -> list[Anchor]:
    """The heads in a file, without lines that are no head. Raises PiactlError where it cannot be read."""
    try:
        text = Path(path).read_text(encoding="ascii", errors="replace")
    except OSError as error:
        raise PiactlError(f"{path}: the heads of the journal cannot be read ({error.strerror})") from None
    anchors = map(read_anchor, text.splitlines())
    return [anchor for anchor in anchors if anchor is not None]
