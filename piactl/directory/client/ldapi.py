"""The Unix socket of an ldapi URI, as people know it: a path, and the sandbox that it may belong to."""

from __future__ import annotations

import shlex
from pathlib import Path
from urllib.parse import unquote


def shown_uri(uri: str) -> str:
    """A server's URI for a message: the path of a socket is shown as it is, not with %2F."""
    return f"ldapi://{unquote(uri[8:])}" if uri.lower().startswith("ldapi://") else uri


def sandbox_start(uri: str, why: str) -> list[str]:
    """The command that starts the sandbox whose socket this is, where `why` says that nobody listens there.

    A sandbox with a long path has its socket elsewhere, and is not recognised.
    """
    if not uri.lower().startswith("ldapi://"):
        return []
    path = Path(unquote(uri[8:]))
    folder = path.parent.parent
    if path.parts[-2:] != ("slapd", "ldapi"):
        return []
    try:
        stopped = not path.exists() or why.startswith("connection refused")
        own = (folder / "piactl.yaml").is_file() and (folder / "slapd" / "busy").is_file()
    except OSError:  # another user's
        return []
    return [f"piactl sandbox start --dir {shlex.quote(str(folder))}"] if stopped and own else []
