"""A file is found to be the same, with or without what is known of the lines of the file before it."""

from __future__ import annotations

from pathlib import Path

import pytest

from piactl.core.model.settings import SourceSettings
from piactl.feed import csv_row_parser
from piactl.feed.fingerprints import KnownLines, digest_lines

HEADER = "matricule;nom_famille;prenom;uai;fonction;corps;debut"
SOURCE = SourceSettings("rh")
FILES = [
    [f"{n:04};Nom {n};Ada;0800009A;ENS;{n % 3};2026-09-{n % 28 + 1:02}" for n in range(90)],
    [f"{n:04};Nom {n};Ada;0800010B;ENS; ;2026-09-01" for n in range(40, 60)],
    ["1;Nom;Ada", '0002;"Nom;quoté";Ada;0800009A;DIR;1;X', "0003;Nom;Léa;0800009A;ENS;;2026-09-01", "X"],
]


def write(path: Path, rows: list[str], header: str = HEADER) -> Path:
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def found(path: Path, key: bytes, known: KnownLines | None) -> tuple:
    lines = digest_lines(path, SOURCE, key, known)
    assert lines is not None
    people = (lines.owners, lines.people, [lines.patterns[number] for number in lines.numbers])
    return (*people, list(lines.patterns), lines.sample, lines.digest)


@pytest.mark.parametrize("most", [1_000, 3])
def test_known_lines_change_nothing_but_the_time(
    most: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # columns with more distinct values are no longer sampled from the next multiple of so many lines on
    monkeypatch.setattr(csv_row_parser, "MOST_DISTINCT", most)
    monkeypatch.setattr("piactl.feed.fingerprints.PRUNE", 16)
    first, second, third = FILES
    known = KnownLines()
    for number, rows in enumerate([first, first[5:] + second, third + first[::-1], third + second, first]):
        path = write(tmp_path / f"{number}.csv", rows)
        assert found(path, b"k", known) == found(path, b"k", None), number


def test_lines_of_another_header_or_key_are_not_taken(tmp_path: Path) -> None:
    known = KnownLines()
    path = write(tmp_path / "a.csv", FILES[0])
    before = found(path, b"k", known)
    assert found(path, b"another", known) == found(path, b"another", None) != before
    turned = write(tmp_path / "b.csv", FILES[0], HEADER.replace("nom_famille;prenom", "prenom;nom_famille"))
    assert found(turned, b"another", known) == found(turned, b"another", None)


def test_a_known_line_is_not_split_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known, path = KnownLines(), write(tmp_path / "a.csv", FILES[0])
    found(path, b"k", known)
    split: list[bytes] = []
    owner = csv_row_parser.RowParser.owner
    monkeypatch.setattr(
        csv_row_parser.RowParser, "owner", lambda self, raw: (split.append(raw), owner(self, raw))[1]
    )
    found(write(tmp_path / "b.csv", [*FILES[0], FILES[1][0]]), b"k", known)
    assert [raw.decode() for raw in split] == [FILES[1][0]]
