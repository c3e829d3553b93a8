"""`otp enroll`: a new one-time-code device, shown once."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from piactl.cli import acting
from piactl.cli.accountnames import read_names
from piactl.cli.acting import ActOutput, DryRun, Names, Yes
from piactl.cli.context import put, say
from piactl.cli.options import Reason
from piactl.cli.otp import AsAdministrator, desk_manner
from piactl.errors import PiactlError, UsageError

if TYPE_CHECKING:
    from piactl.flows.enrolling import Enrolment


def enroll(
    names: Names,
    png: Annotated[
        str | None, typer.Option("--png", metavar="FILE", help="The QR code as a new file of mode 0600.")
    ] = None,
    uri_file: Annotated[
        str | None,
        typer.Option(
            "--uri-file",
            metavar="FILE",
            help="The otpauth URI in a new file of mode 0600; of several accounts one line each, as TSV.",
        ),
    ] = None,
    reason: Reason = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    output: ActOutput = None,
    administrator: AsAdministrator = False,
) -> int:
    """Make a new device for accounts, and show it once: its QR code in the terminal, or in files.

    It takes over only when a code of it was given: `otp verify`. Until then an older device stays in force,
    and an account that has none logs in with the password alone.
    """
    from piactl.clock import utc_now
    from piactl.flows.enrolling import prepare_enrolment

    wanted = read_names(names)
    on_screen = sys.stdout.isatty() and len(wanted) == 1 and output is None
    _need_a_way(wanted, png, uri_file, on_screen or dry_run)
    manner = desk_manner(reason or "enrolment", administrator, dry_run, yes, output)
    site, order, author = acting.begin(manner)
    prepared: list[Enrolment] = []
    made: list[Enrolment] = []

    def make(reader: Any) -> Any:
        preparation, enrolments = prepare_enrolment(reader, site, wanted, author, utc_now(), manner.identity)
        prepared.extend(enrolments)
        return preparation

    with _files(None if dry_run else png, None if dry_run else uri_file) as keep:

        def done(outcomes: Mapping[str, str]) -> None:
            made.extend(one for one in prepared if outcomes.get(one.uid) == "applied")
            keep(made, len(wanted) == 1)

        code = acting.decide(make, manner, site, order, done)
    if on_screen and made:
        _show_once(made[0])
    return code


def _need_a_way(names: Sequence[str], png: str | None, uri_file: str | None, otherwise: bool) -> None:
    """Raises UsageError where the secret could reach nobody, or somebody it is not meant for."""
    if png and len(names) != 1:
        raise UsageError("--png is for one account; for several: --uri-file FILE")
    if not (png or uri_file or otherwise):
        raise UsageError(
            "the secret of a device is shown on a terminal or written to a new file, never to a pipe: "
            "add --png FILE or --uri-file FILE"
        )


@contextmanager
def _files(png: str | None, uri_file: str | None) -> Iterator[Callable[[Sequence[Enrolment], bool], None]]:
    """Makes the files before anything is changed, gives what fills them, and leaves no empty one behind."""
    from piactl.privatefiles import create_private

    open_: dict[str, int] = {}
    filled: set[str] = set()

    def fill(path: str, content: bytes) -> None:
        with os.fdopen(open_[path], "wb", closefd=False) as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        filled.add(path)

    def keep(enrolments: Sequence[Enrolment], one: bool) -> None:
        from piactl.otp.drawing import png as picture

        if not enrolments:
            return
        try:
            if png:
                fill(png, picture(enrolments[0].uri))
            if uri_file:
                fill(uri_file, _uris(enrolments, one))
        except OSError as error:
            again = "enrol once more, with a file that can be written"
            raise PiactlError(
                f"the device is made, but its file is not ({error.strerror}); {again}"
            ) from None

    try:
        for path in filter(None, (png, uri_file)):
            open_[path] = create_private(Path(path))
        yield keep
    finally:
        for path, descriptor in open_.items():
            os.close(descriptor)
            if path not in filled:
                Path(path).unlink(missing_ok=True)


def _uris(enrolments: Sequence[Enrolment], one: bool) -> bytes:
    if one:
        return f"{enrolments[0].uri}\n".encode()
    rows = [f"{e.uid}\t{e.address}\t{e.uri}\n" for e in enrolments]
    return "".join(["uid\taddress\turi\n", *rows]).encode()


def _show_once(enrolment: Enrolment) -> None:
    from piactl.otp.drawing import drawn

    put([drawn(enrolment.uri), f"{enrolment.uri}\n"])
    say("scan it now: it is shown only once. Whoever photographs it has the device; clear the screen after")
