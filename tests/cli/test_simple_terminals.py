"""The forms of the output on machines of all kinds: old locales, spreadsheets, simple terminals."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import struct
import subprocess
import termios
from typing import Any

import openpyxl
import pytest

from tests.story.academy import Academy
from tests.story.feeds import row

from .streams import shared_forks

UID = "clemence.saint-omer"
NAME = "Clémence Saint-Omer"
LATIN = {"PYTHONIOENCODING": "latin-1"}
BARE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.fixture
def clemence(academy: Academy) -> Academy:
    person = row(matricule="0012345", prenom="Clémence", nom_famille="Saint-Omer", debut="2020-09-01")
    academy.night("2026-09-01", academy.feed(person))
    return academy


def program(academy: Academy, environment: dict[str, str]) -> list[str]:
    """Words that start piactl: in an interpreter of its own if that reads the locale."""
    own = academy.words()
    return own if "LC_ALL" in environment else [str(shared_forks().program(academy.folder / "piactl"))]


def printed(academy: Academy, *words: str, **environment: str) -> bytes:
    """What the command prints into a pipe, as bytes."""
    ran = subprocess.run(
        [*program(academy, environment), *words],
        env={**academy.environment(), **environment},
        capture_output=True,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_data_are_utf8_in_any_locale(clemence: Academy) -> None:
    for form in ("json", "csv"):
        assert NAME.encode() in printed(clemence, "account", "list", "-o", form, **LATIN), form
    assert NAME.encode() in printed(clemence, "account", "show", UID, "-o", "json", **BARE)
    assert NAME.encode() in printed(clemence, "account", "list", **BARE), "tsv without being asked for"
    assert NAME.encode() in printed(clemence, "why", UID, "login", "-o", "json", **LATIN)
    assert NAME.encode("latin-1") in printed(clemence, "account", "show", UID, **LATIN), "text for people"


def sheet_in(content: bytes) -> list[list[Any]]:
    """The cells of a workbook, each of which must be text."""
    sheet = openpyxl.load_workbook(io.BytesIO(content)).worksheets[0]
    cells = [cell for row in sheet.iter_rows() for cell in row if cell.value is not None]
    assert {(cell.data_type, cell.number_format) for cell in cells} == {("s", "@")}
    return [[cell.value for cell in row] for row in sheet.iter_rows()]


def test_a_workbook_has_text_cells_in_the_language_of_people(clemence: Academy) -> None:
    """A matricule keeps its zeros, a name that looks like a formula is none, in any locale."""
    reason = "=HYPERLINK(1) #N/A"
    assert clemence.run("account", "lock", UID, "--reason", reason).code == 0
    for environment, heading in ((LATIN, "display_name"), ({"LC_ALL": "fr_FR.UTF-8"}, "nom affiché")):
        content = printed(clemence, "account", "list", "-o", "xlsx", **environment)
        header, person = sheet_in(content)
        account = dict(zip(header, person, strict=True))
        assert account["matricule"] == "0012345"
        assert (account["uid"], account[heading]) == (UID, NAME)
    _, *changes = sheet_in(printed(clemence, "journal", "show", "--account", UID, "-o", "xlsx"))
    assert any(reason in change for change in changes)
    assert len(sheet_in(printed(clemence, "account", "show", UID, "-o", "xlsx"))) == 2
    code, text = on_terminal(clemence, "account", "list", "-o", "xlsx")
    assert (code, b">FILE.xlsx" in text) == (2, True), text
    assert clemence.run("account", "list", "-o", "excel").code == 2


def on_terminal(academy: Academy, *words: str, columns: int = 120, **environment: str) -> tuple[int, bytes]:
    command = [*program(academy, environment), *words]
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 60, columns, 0, 0))
    environment = {**academy.environment(), "TERM": "xterm", **environment}
    for name in ("COLUMNS", "LINES"):
        environment.pop(name, None)
    streams = {"stdin": follower, "stdout": follower, "stderr": follower}
    with subprocess.Popen(command, env=environment, **streams) as process:
        os.close(follower)
        shown = b""
        try:
            while piece := os.read(leader, 65536):
                shown += piece
        except OSError:
            pass
        code = process.wait(timeout=60)
    os.close(leader)
    return code, shown


def test_a_qr_code_is_drawn_only_if_the_terminal_can_show_it(clemence: Academy) -> None:
    def devices() -> int:
        return len(clemence.sandbox.entries(clemence.sandbox.accounts, "(objectClass=oathTOTPToken)"))

    enroll = ("otp", "enroll", UID, "--yes")
    for refused in ({**LATIN, "TERM": "dumb"}, {"columns": 40}, {**LATIN, "columns": 60}):
        code, shown = on_terminal(clemence, *enroll, **refused)  # type: ignore[arg-type]
        assert code == 2, shown
        assert b"--png FILE" in shown
        assert b"otpauth" not in shown
    assert devices() == 0, "none is made that nobody could scan"
    code, shown = on_terminal(clemence, *enroll, **BARE)
    assert code == 0, shown
    assert b"\x1b[7m" in shown, "drawn in blanks, light and dark"
    assert b"u2588" not in shown
    assert b"otpauth://" in shown
    code, shown = on_terminal(clemence, *enroll)
    assert (code, "▄".encode() in shown, devices()) == (0, True, 1)
