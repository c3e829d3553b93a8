"""What every command starts from: the configuration, today, the identities, and the way to talk."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from piactl.cli.framework.terminal import discard
from piactl.core.model.settings import IdentityName
from piactl.errors import ConfigurationInvalid, Mistake, NotPermitted, UsageError
from piactl.private_files import sudo_service, user_name

if TYPE_CHECKING:
    from piactl.cli.framework.configuration import Configuration
    from piactl.directory.port import Reader, Writer

_MOST_UNREADABLE = 5
SYSTEM_CONFIGURATION = Path("/etc/piactl/piactl.yaml")


@dataclass
class Chosen:
    """What the options before the command said."""

    config: str = ""
    on: str = ""
    reason: str = ""


chosen = Chosen()


def configuration_path() -> Path:
    """--config, else PIACTL_CONFIG, else /etc/piactl/piactl.yaml. Raises ConfigurationInvalid, and UsageError
    where the caller names one under sudo: it would decide which server gets the passwords of this user."""
    given = chosen.config or os.environ.get("PIACTL_CONFIG", "")
    user = sudo_service() if given else ""
    if user:
        raise UsageError(
            f"under sudo {user} reads {SYSTEM_CONFIGURATION} only; leave --config and PIACTL_CONFIG out"
        )
    path = Path(given) if given else SYSTEM_CONFIGURATION
    if not given and not _is_there(path):
        raise ConfigurationInvalid(
            [
                Mistake(
                    str(path),
                    0,
                    0,
                    "there is no configuration; name one with --config FILE or PIACTL_CONFIG.\n"
                    "To try piactl out: piactl sandbox start --dir DIR, "
                    "then: piactl --config DIR/piactl.yaml COMMAND\n"
                    "For a real directory: piactl init writes the files to edit.",
                )
            ]
        )
    return path


def _is_there(path: Path) -> bool:
    """Whether there is such a file. Raises ConfigurationInvalid where this user may not know."""
    try:
        path.stat()
    except PermissionError:
        from piactl.private_files import may_not

        raise ConfigurationInvalid([Mistake(str(path), 0, 0, may_not(path))]) from None
    except OSError:
        return False
    return True


def this_configuration() -> Configuration:
    """The configuration that the command line or the environment names. Raises ConfigurationInvalid."""
    from piactl.cli.framework.configuration import open_configuration

    return open_configuration(configuration_path())


def today(configuration: Configuration) -> date:
    from piactl.clock import civil_today

    return civil_today(configuration.policy.timezone)


@contextmanager
def reading(configuration: Configuration, identity: str = IdentityName.READER) -> Iterator[Reader]:
    from piactl.directory.open import open_reader
    from piactl.secrets import read_password

    _refuse_other_user(configuration, identity)
    with (
        open_reader(configuration.settings.directory, identity, read_password) as reader,
        _reporting(configuration),
    ):
        yield reader


@contextmanager
def writing(configuration: Configuration, identity: str = IdentityName.NIGHTLY) -> Iterator[Writer]:
    from piactl.clock import utc_now
    from piactl.flows.apply.writing_server import open_writing_server
    from piactl.journal import who
    from piactl.secrets import read_password

    _refuse_other_user(configuration, identity)
    opened = open_writing_server(
        configuration.settings.directory,
        identity,
        read_password,
        configuration.unreadable,
        on=chosen.on,
        reason=chosen.reason,
        # the preconditions of their writes protect the commands that change single accounts
        ask_all=identity == IdentityName.NIGHTLY,
        actor=who(),
        now=utc_now(),
    )
    with opened as (writer, note), _reporting(configuration):
        if note:
            say(note)
        yield writer


def _refuse_other_user(configuration: Configuration, identity: str) -> None:
    """Raises NotPermitted where the password of an identity is for another Unix user."""
    used = configuration.settings.directory.identities.get(identity)
    if used is not None and used.is_of_another(user_name(os.geteuid())):
        raise NotPermitted(
            f"only user {used.user} has the password of {identity}; run: sudo -u {used.user} piactl ..."
        )


@contextmanager
def _reporting(configuration: Configuration) -> Iterator[None]:
    """Reports, however it ends, the records that could not be read meanwhile."""
    before = len(configuration.unreadable)
    try:
        yield
    finally:
        found = list(configuration.unreadable)[before:]
        for error in found[:_MOST_UNREADABLE]:
            say(f"skipped {error}")
        if len(found) > _MOST_UNREADABLE:
            say(f"skipped {len(found) - _MOST_UNREADABLE} more records of piactl; all of them: piactl doctor")


def say(text: str) -> None:
    """Talk: on stderr, harmless for a terminal; a closed stderr is nobody listening, not an error."""
    from piactl.report.escaping import shown

    try:
        for line in text.split("\n"):
            print(f"piactl: {shown(line)}", file=sys.stderr, flush=True)
    except OSError:
        discard(sys.stderr)


def put(pieces: Iterable[str]) -> None:
    """Data, on stdout. A reader that has gone away is no error: the rest has nowhere to go.

    Raises StdoutLost where it cannot be written for another reason.
    """
    try:
        for piece in pieces:
            sys.stdout.write(piece)
        sys.stdout.flush()
    except BrokenPipeError:
        # caught here, so that a run that wrote keeps its own exit code
        discard(sys.stdout)


def layout_or_default(layout: object) -> str:
    """The chosen layout; without a choice a table on a terminal and tsv elsewhere."""
    if layout is not None:
        return str(getattr(layout, "value", layout))
    return "table" if sys.stdout.isatty() else "tsv"


class ProgressLine:
    """How far a run is, rewritten in place on stderr, on a terminal only."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.shown = False

    def __call__(self, done: int, total: int) -> None:
        if sys.stderr.isatty():
            self.shown = True
            print(f"\r{self.what}: {done} of {total}", end="", file=sys.stderr, flush=True)
            if done >= total:
                self.close()

    def close(self) -> None:
        if self.shown:
            self.shown = False
            print(file=sys.stderr)
