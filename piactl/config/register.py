"""Reads the establishment register: a CSV of UAI, name, nature, degree, sector, commune."""

from __future__ import annotations

import csv
import hashlib
import re
from io import StringIO
from pathlib import Path

from piactl.config.nearest_word import hint
from piactl.config.strict_yaml import read_content
from piactl.core.model.person import Establishment, Register, read_uai
from piactl.errors import ConfigurationInvalid, Mistake
from piactl.phrase import counted

MAX_REGISTER_BYTES = 50_000_000

FIELDS = ("uai", "name", "nature", "degree", "sector", "commune")
_HEADERS = {**{name: name for name in FIELDS}, "nom": "name", "degre": "degree", "secteur": "sector"}
_HEADER = "uai;nom;nature;degre;secteur;commune"
_NATURE = re.compile(r"([0-9A-Z]{1,10})?")
DEGREES = ("", "1D", "2D")


def read_register(path: Path) -> Register:
    """The establishments by UAI. Raises ConfigurationInvalid with every mistake in the file.

    The header is `uai;nom;nature;degre;secteur;commune` in any order, or the English names. The delimiter is
    `;`, `,` or tab. Only `uai` is required. Lines that begin with `#` are comments.
    """
    content = read_content(path, max_bytes=MAX_REGISTER_BYTES)
    reader = _RegisterReader(str(path), content.text)
    register = reader.register()
    if reader.mistakes:
        raise ConfigurationInvalid(reader.mistakes)
    return register


def register_digest(path: Path) -> str:
    """The SHA-256 of the file of a register, in hex. Raises ConfigurationInvalid."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        read_register(path)  # its error says what is wrong
        raise


class _RegisterReader:
    """Reads one register and collects its mistakes in file order."""

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self.mistakes: list[Mistake] = []
        header = next((line for line in text.split("\n") if line.strip() and line[0] != "#"), "")
        delimiter = max(";,\t", key=header.count)
        self.rows = csv.reader(StringIO(text, newline=""), delimiter=delimiter, strict=True)

    def mistake(self, line: int, column: int, message: str) -> None:
        self.mistakes.append(Mistake(self.file, line, column, message))

    def register(self) -> dict[str, Establishment]:
        establishments: dict[str, Establishment] = {}
        lines: dict[str, int] = {}
        columns: list[str] | None = None
        try:
            for row in self.rows:
                line = self.rows.line_num
                if not any(map(str.strip, row)) or row[0].startswith("#"):
                    continue
                if columns is None:
                    if not any(cell.strip().casefold() in _HEADERS for cell in row):
                        # another file, perhaps a password file: show none of its content
                        self.mistake(
                            line, 0, f"this is not a register, with the header {_HEADER}; check the path"
                        )
                        break
                    columns = self._columns(row, line)
                    if "uai" not in columns:
                        break
                    continue
                establishment = self._establishment(columns, row, line)
                if establishment is None:
                    continue
                if establishment.uai in establishments:
                    first = lines[establishment.uai]
                    self.mistake(
                        line, 0, f"{establishment.uai} appears twice, first on line {first}; keep one"
                    )
                    continue
                establishments[establishment.uai], lines[establishment.uai] = establishment, line
        except csv.Error as error:
            self.mistake(self.rows.line_num, 0, f"not CSV: {error}; check the quotes of this line")
        if not establishments and not self.mistakes:
            self.mistake(
                0, 0, "the file has a header but no establishment; add the lines, or name another file"
            )
        return establishments

    def _columns(self, row: list[str], line: int) -> list[str]:
        columns: list[str] = []
        for number, cell in enumerate(row, 1):
            name = cell.strip().casefold()
            column = _HEADERS.get(name, "")
            if not column:
                self.mistake(line, number, f"unknown column {name!r}; {hint(name, _HEADERS)}")
            elif column in columns:
                self.mistake(line, number, f"column {name} appears twice; keep one")
            columns.append(column)
        if "uai" not in columns:
            self.mistake(line, 0, f"column uai is missing; write the header as {_HEADER}")
        return columns

    def _establishment(self, columns: list[str], row: list[str], line: int) -> Establishment | None:
        if len(row) != len(columns):
            values = counted(len(row), "value", "values")
            self.mistake(line, 0, f"{values} for {len(columns)} columns; check the separators and quotes")
            return None
        cells = dict(zip(columns, map(str.strip, row), strict=True))
        before = len(self.mistakes)
        uai, why = read_uai(cells["uai"])
        if uai is None:
            self.mistake(line, columns.index("uai") + 1, why)
        degree, nature = cells.get("degree", "").upper(), cells.get("nature", "").upper()
        if degree not in DEGREES:
            self.mistake(
                line, columns.index("degree") + 1, f"degree {degree!r} is not valid; write 1D, 2D or nothing"
            )
        if not _NATURE.fullmatch(nature):
            self.mistake(
                line,
                columns.index("nature") + 1,
                f"nature {nature!r} is not valid; write a code such as 300, or nothing",
            )
        if uai is None or len(self.mistakes) > before:
            return None
        return Establishment(
            uai, cells.get("name", ""), nature, degree, cells.get("sector", ""), cells.get("commune", "")
        )
