"""The folder of a sandbox: checks it and its owner, and locks it for one command at a time."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from piactl.errors import SandboxUnavailable

_NAMES_TOLD = 4
_BUSY = "busy"
"""The first file that is made in `slapd`: who has it is a sandbox, however far its first start came."""


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Makes the folder a sandbox's where it is none, and has it alone.

    An empty folder becomes private (mode 0700); one that holds anything else is left as it is.
    Raises SandboxUnavailable, also for whatever the system refuses inside.
    """
    with _telling(folder):
        _claim(folder)
        with _alone(folder):
            yield


@contextmanager
def found(folder: Path) -> Iterator[None]:
    """Has the folder of a sandbox alone. Raises SandboxUnavailable like `claimed`, and where it is none."""
    with looked_at(folder), _alone(folder):
        yield


@contextmanager
def looked_at(folder: Path) -> Iterator[None]:
    """Changes nothing. Raises SandboxUnavailable if the folder is not a readable sandbox."""
    with _telling(folder):
        if not (folder / "slapd" / _BUSY).is_file():
            raise SandboxUnavailable(f"{folder} is no sandbox\n`piactl sandbox start` makes one.")
        yield


@contextmanager
def _telling(folder: Path) -> Iterator[None]:
    try:
        yield
    except PermissionError as error:
        raise SandboxUnavailable(
            f"{error.filename or folder} cannot be used by this user ({error.strerror})\n"
            "Run piactl as the user that owns it, or name a folder of your own."
        ) from None
    except OSError as error:
        raise SandboxUnavailable(
            f"{error.filename or folder} cannot be used ({error.strerror})\n"
            "Look at the disk, or name another folder."
        ) from None


def _claim(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise SandboxUnavailable(f"{folder} is a file\nName a new folder.")
    inner = folder / "slapd"
    if folder.is_dir():
        names = sorted(entry.name for entry in folder.iterdir())
        within = {entry.name for entry in inner.iterdir()} if inner.is_dir() else set()
        # looked at after the names: another start makes it before anything else
        if _BUSY in within:
            return
        if within or set(names) - {"slapd"} or ("slapd" in names and not inner.is_dir()):
            listed = ", ".join(names[:_NAMES_TOLD]) + (", ..." if len(names) > _NAMES_TOLD else "")
            raise SandboxUnavailable(
                f"{folder} is not empty and is no sandbox (it has {listed})\nName a new folder."
            )
        folder.chmod(0o700)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    inner.mkdir(mode=0o700, exist_ok=True)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Lets one command at a time work in a sandbox; others wait."""
    with (folder / "slapd" / _BUSY).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
