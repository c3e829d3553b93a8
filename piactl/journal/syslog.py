"""Heads of the journal in syslog, where the user that writes the journal cannot change them.

Anybody on the host can send syslog a line that looks like a head, so a head that the journal does not have is
a reason to look who sent it. It stops no run.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable

from piactl.core.journal_line import Anchor, read_anchor

SYSLOG = "/dev/log"
_NOTICE_OF_AUTHPRIV = 10 << 3 | 5
_PATIENCE = 1.0
_BEFORE_HEAD = "journal head "


def log_head(anchor: Anchor) -> bool:
    """Sends the head to syslog (authpriv.notice, in the form that syslog(3) writes); false if nothing
    listens. Waits at most one second."""
    return _sent(f"<{_NOTICE_OF_AUTHPRIV}>piactl[{os.getpid()}]: {_BEFORE_HEAD}{anchor}")


def has_syslog() -> bool:
    """Whether a program takes messages for syslog."""
    return _sent("")


def _sent(text: str) -> bool:
    """Connects, and sends the text if there is any; false if nothing listens."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
            log.settimeout(_PATIENCE)
            log.connect(SYSLOG)
            if text:
                log.send(text.encode())
    except OSError:
        return False
    return True


def heads_in(lines: Iterable[str]) -> list[Anchor]:
    """The heads in lines of syslog, whatever a line has before them; other lines are passed by."""
    anchors = (read_anchor(line.rpartition(_BEFORE_HEAD)[2].rstrip()) for line in lines)
    return [anchor for anchor in anchors if anchor is not None]
