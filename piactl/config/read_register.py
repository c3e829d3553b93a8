"""Reads the establishment register: a CSV of UAI, name, nature, degree, sector, commune, telephone."""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from io import StringIO
from pathlib import Path

from piactl.config.nearest_word import hint
from piactl.config.strict_yaml import read_content
from piactl.core.model.establishment import Establishment, Register, read_uai
from piactl.errors import ConfigurationInvalid, Mistake
from piactl.phrase import Phrase, counted

MAX_REGISTER_BYTES = 50_000_000

FIELDS = ("uai", "name", "nature", "degree", "sector", "commune", "telephone")
_HEADERS = {**{name: name for name in FIELDS}, "nom": "name", "degre": "degree", "secteur": "sector"}
_HEADER = "uai;nom;nature;degre;secteur;commune"
_NATURE = re.compile(r"([0-9A-Z]{1,10})?")
DEGREES = ("", "1D", "2D")


def read_register(path: Path) -> Register:
    """The establishments by UAI. Raises ConfigurationInvalid with every mistake in the file.

    The header is `uai;nom;nature;degre;secteur;commune;telephone` in any order, or the English names. The
    delimiter is `;`, `,` or tab. Only `uai` is required. Lines that begin with `#` are comments.
    """
    content = read_content(path, max_bytes=MAX_REGISTER_BYTES)
    mistakes: list[Mistake] = []
    establishments = _establishments(content.text, mistakes, partial(Mistake, str(path)))
    if mistakes:
        raise ConfigurationInvalid(mistakes)
    return establishments


def register_digest(path: Path) -> str:
    """The SHA-256 of the file of a register, in hex. Raises ConfigurationInvalid."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        read_register(path)  # its error says what is wrong
        raise


def _establishments(
    text: str, mistakes: list[Mistake], mistake: Callable[[int, int, str], Mistake]
) -> dict[str, Establishment]:
    """The establishments in a text; adds its mistakes in file order."""
    header = next((line for line in text.split("\n") if line.strip() and line[0] != "#"), "")
    delimiter = max(";,\t", key=header.count)
    rows = csv.reader(StringIO(text, newline=""), delimiter=delimiter, strict=True)
    establishments: dict[str, Establishment] = {}
    lines: dict[str, int] = {}
    columns: list[str] | None = None
    try:
        for row in rows:
            line = rows.line_num
            if not any(map(str.strip, row)) or row[0].startswith("#"):
                continue
            if columns is None:
                if not any(cell.strip().casefold() in _HEADERS for cell in row):
                    # another file, perhaps a password file: show none of its content
                    wrong = Phrase(
                        "this is not a register, with the header {header}; check the path", header=_HEADER
                    )
                    mistakes.append(mistake(line, 0, wrong))
                    break
                columns = [_HEADERS.get(cell.strip().casefold(), "") for cell in row]
                mistakes += (mistake(line, column, wrong) for column, wrong in _wrong_columns(row, columns))
                if "uai" not in columns:
                    break
                continue
            if len(row) != len(columns):
                values = counted(len(row), "value", "values")
                wrong = Phrase(
                    "{values} for {columns} columns; check the separators and quotes",
                    values=values,
                    columns=len(columns),
                )
                mistakes.append(mistake(line, 0, wrong))
                continue
            cells = dict(zip(columns, map(str.strip, row), strict=True))
            found = [(columns.index(name) + 1, wrong) for name, wrong in _wrong_cells(cells)]
            if not found and cells["uai"] in lines:
                found = [
                    (
                        0,
                        Phrase(
                            "{uai} appears twice, first on line {line}; keep one",
                            uai=cells["uai"],
                            line=lines[cells["uai"]],
                        ),
                    )
                ]
            mistakes += (mistake(line, column, wrong) for column, wrong in found)
            if not found:
                lines[cells["uai"]] = line
                establishments[cells["uai"]] = Establishment(*(cells.get(name, "") for name in FIELDS))
    except csv.Error:
        mistakes.append(mistake(rows.line_num, 0, Phrase("not CSV; check the quotes of this line")))
    if not establishments and not mistakes:
        wrong = Phrase("the file has a header but no establishment; add the lines, or name another file")
        mistakes.append(mistake(0, 0, wrong))
    return establishments


def _wrong_columns(row: Sequence[str], columns: Sequence[str]) -> Iterator[tuple[int, str]]:
    for number, (cell, column) in enumerate(zip(row, columns, strict=True)):
        name = cell.strip().casefold()
        if not column:
            yield (
                number + 1,
                Phrase("unknown column {name}; {hint}", name=repr(name), hint=hint(name, _HEADERS)),
            )
        elif column in columns[:number]:
            yield number + 1, Phrase("column {name} appears twice; keep one", name=name)
    if "uai" not in columns:
        yield 0, Phrase("column uai is missing; write the header as {header}", header=_HEADER)


def _wrong_cells(cells: dict[str, str]) -> Iterator[tuple[str, str]]:
    """The mistakes in the cells of an establishment, by column; puts valid codes into their usual form."""
    uai, why = read_uai(cells["uai"])
    if uai is None:
        yield "uai", why
    cells["uai"] = uai or ""
    for name in ("degree", "nature"):
        cells[name] = cells.get(name, "").upper()
    if cells["degree"] not in DEGREES:
        yield (
            "degree",
            Phrase("degree {degree} is not valid; write 1D, 2D or nothing", degree=repr(cells["degree"])),
        )
    if not _NATURE.fullmatch(cells["nature"]):
        yield (
            "nature",
            Phrase(
                "nature {nature} is not valid; write a code such as 300, or nothing",
                nature=repr(cells["nature"]),
            ),
        )
