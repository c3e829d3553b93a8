"""`otp enroll`: a new one-time-code device, shown once."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from piactl.cli.framework.account_batch import begin, desk_manner
from piactl.cli.framework.context import put, say
from piactl.cli.framework.options import (
    ActOutput,
    AsAdministrator,
    DryRun,
    Names,
    SometimesReason,
    Yes,
    read_names,
)
from piactl.clock import utc_now
from piactl.errors import UsageError
from piactl.private_files import refuse_output

if TYPE_CHECKING:
    from piactl.directory.port import Reader
    from piactl.flows.accounts.batch import Batch
    from piactl.flows.helpdesk.otp import Enrolment


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
    reason: SometimesReason = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    output: ActOutput = None,
    administrator: AsAdministrator = False,
) -> int:
    """Make a new device for accounts, and show it once: its QR code in the terminal, or in files.

    It takes over only when a code of it was given: `otp verify`. Until then an older device stays in force,
    and an account that has none logs in with the password alone.
    """
    from piactl.flows.helpdesk.otp import EnrolmentDelivery

    wanted = read_names(names)
    on_screen = sys.stdout.isatty() and len(wanted) == 1 and output is None
    _need_a_way(wanted, png, uri_file, on_screen or dry_run)
    manner = desk_manner(reason or "enrolment", administrator, dry_run, yes, output)
    command = begin(manner)
    configuration = command.configuration
    files = (None, None) if dry_run else (png, uri_file)
    with EnrolmentDelivery(*files, alone=len(wanted) == 1) as delivery:

        def prepare(reader: Reader) -> Batch:
            batch = delivery.prepare(
                configuration.accounts(reader),
                configuration.policy.otp_issuer,
                wanted,
                command.author,
                utc_now(),
                manner.identity,
            )
            if on_screen and delivery.prepared:
                _picture(delivery.prepared[0])
            return batch

        def show() -> None:
            if on_screen and delivery.made:
                _show_once(delivery.made[0])

        return command.decide(prepare, delivery, show)


def _need_a_way(names: Sequence[str], png: str | None, uri_file: str | None, otherwise: bool) -> None:
    """Raises UsageError if the secret would reach nobody, or would go into a pipe."""
    for option, file in (("--png", png), ("--uri-file", uri_file)):
        if file:
            refuse_output(option, file)
    if png and len(names) != 1:
        raise UsageError("--png is for one account; for several: --uri-file FILE")
    if not (png or uri_file or otherwise):
        raise UsageError(
            "the secret of a device is shown on a terminal or written to a new file, never to a pipe: "
            "add --png FILE or --uri-file FILE"
        )


def _picture(enrolment: Enrolment) -> str:
    """The QR code as this terminal can show it. Raises UsageError if it cannot."""
    from piactl.otp_secret import drawn

    try:
        blocks = "▀▄█".encode(sys.stdout.encoding) != b""
    except UnicodeEncodeError:
        blocks = False
    picture, columns = drawn(enrolment.uri, blocks=blocks)
    instead = "add --png FILE, or --uri-file FILE. Nothing was changed"
    if not blocks and os.environ.get("TERM", "dumb") == "dumb":
        raise UsageError(f"this terminal cannot show a QR code (it has no UTF-8): {instead}")
    there = shutil.get_terminal_size((columns, 24)).columns
    if there < columns:
        raise UsageError(
            f"a QR code takes {columns} columns here, and this terminal has {there}: widen it, or {instead}"
        )
    return picture


def _show_once(enrolment: Enrolment) -> None:
    put([_picture(enrolment), f"{enrolment.uri}\n"])
    say("scan it now: it is shown only once. A photograph of it is a copy of the device: clear the screen")
