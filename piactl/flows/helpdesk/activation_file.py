"""The file that hands out activation passwords: it holds each that was set, and none that was not.

All are written and synced to FILE.unfinished before the first is set. FILE, made empty before, gets those
that were set at the end, and then FILE.unfinished is deleted. If the command dies in between, every one that
was set can be read, and a FILE with content is complete and true.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from piactl.errors import PiactlError
from piactl.private_files import create_private, write_private
from piactl.report.table import rendered

Row = Mapping[str, str]
COLUMNS = ("uid", "address", "display_name", "activation_password", "valid_until", "outcome")


class ActivationFileUnfinished(PiactlError):
    """FILE could not be finished; the activation passwords are in FILE.unfinished."""


class ActivationFile:
    """A new file of mode 0600, fit for a mail merge: CSV, one row for each activation password that was set.

    `private_mail`: with a column of that name. Raises PiactlError where FILE or FILE.unfinished is there
    already or cannot be made.
    """

    def __init__(self, path: str, *, private_mail: bool) -> None:
        self.path, self.unfinished = Path(path), Path(path + ".unfinished")
        mail = ("private_mail",) if private_mail else ()
        self.columns = (*COLUMNS[:3], *mail, *COLUMNS[3:])
        if os.path.lexists(self.unfinished):
            raise PiactlError(
                f"{self.unfinished}: left by a command that did not end; any of its passwords may be set.\n"
                "Give those accounts new ones, then delete it; or name another file"
            )
        os.close(create_private(self.path))

    def promise(self, rows: Iterable[Row]) -> None:
        """Keeps all of them before the first is set. Raises PiactlError, and nothing is left behind."""
        try:
            write_private(self.unfinished, self._content(rows))
        except PiactlError:
            self.drop()
            raise

    def keep(self, rows: Sequence[Row]) -> None:
        """Keeps those that were set, or may have been. Raises ActivationFileUnfinished."""
        if not rows:
            self.drop()
            return
        try:
            write_private(self.path, self._content(rows))
        except PiactlError as error:
            raise ActivationFileUnfinished(
                f"{error}\nThe activation passwords are in {self.unfinished}"
            ) from None
        self.unfinished.unlink(missing_ok=True)

    def drop(self) -> None:
        """Nothing was set: both files go."""
        self.unfinished.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)

    def _content(self, rows: Iterable[Row]) -> bytes:
        return "".join(rendered(list(rows), self.columns, "csv")).encode()
