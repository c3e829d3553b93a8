"""A file is read the same, with or without the known lines of the previous file."""

from __future__ import annotations

from pathlib import Path

import pytest

from piactl.core.model.numen_and_digests import DigestKeys
from piactl.core.model.settings import SourceSettings
from piactl.feed import csv_row_validator, fingerprints
from piactl.feed.fingerprints import KnownLines, digest_lines, packed, unpacked
from piactl.flows.plan.cache_file import LINES, KeptLines

HEADER = "matricule;numen;nom_famille;prenom;uai;fonction;corps;debut"
SOURCE = SourceSettings("rh")
FILES = [
    [f"{n:04};;Nom {n};Ada;0800009A;ENS;{n % 3};2026-09-{n % 28 + 1:02}" for n in range(90)],
    [f"{n:04};01E95{n:05}ABC;Nom {n};Ada;0800010B;ENS; ;2026-09-01" for n in range(40, 60)],
    ["1;Nom;Ada", '0002;;"Nom;quoté";Ada;0800009A;DIR;1;X', "0003;X;Nom;Léa;0800009A;ENS;;2026-09-01", "X"],
]
TRAILER = ["#FIN;rows=1;date=2026-09-01"]


def write(path: Path, rows: list[str], header: str = HEADER) -> Path:
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def found(path: Path, key: bytes, known_lines: KnownLines | None) -> tuple:
    lines = digest_lines(path, SOURCE, key, known_lines)
    assert lines is not None
    people = (lines.owners, lines.people, lines.others, [lines.patterns[number] for number in lines.numbers])
    file = lines.digest, lines.before_trailer, lines.offsets, lines.not_ascii
    return (*people, list(lines.patterns), lines.sample, *file)


def again(known_lines: KnownLines) -> KnownLines:
    """The same lines, written and read back."""
    return unpacked(memoryview(b"".join(packed(known_lines.basis, known_lines.lines))))


@pytest.mark.parametrize("size", [1, 4, 16])
@pytest.mark.parametrize("most", [1_000, 3])
def test_known_lines_do_not_change_what_is_read(
    most: int, size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # a column with more distinct values is no longer sampled from the next multiple of PRUNE lines on
    monkeypatch.setattr(csv_row_validator, "MOST_DISTINCT", most)
    monkeypatch.setattr(fingerprints, "PRUNE", 16)
    monkeypatch.setattr(fingerprints, "LINES", size)
    first, second, third = FILES
    files = [
        first,
        first[5:] + second,
        third + first[::-1],
        third + second + TRAILER,
        first,
        first + third[:1],
    ]
    known_lines, kept_lines = KnownLines(), KnownLines()
    for number, rows in enumerate(files):
        path, kept_lines = (
            write(tmp_path / f"{number}.csv", rows),
            again(kept_lines) if number else kept_lines,
        )
        expected = found(path, b"k", None)
        assert found(path, b"k", known_lines) == found(path, b"k", kept_lines) == expected, number


def test_lines_of_another_header_or_key_are_not_taken(tmp_path: Path) -> None:
    known_lines = KnownLines()
    path = write(tmp_path / "a.csv", FILES[0])
    before = found(path, b"k", known_lines)
    assert found(path, b"another", known_lines) == found(path, b"another", None) != before
    turned = write(tmp_path / "b.csv", FILES[0], HEADER.replace("nom_famille;prenom", "prenom;nom_famille"))
    assert found(turned, b"another", known_lines) == found(turned, b"another", None)


@pytest.mark.parametrize("place", [0, 33, 89])
def test_a_new_row_makes_only_the_lines_of_its_block_be_read(
    place: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known_lines, path = KnownLines(), write(tmp_path / "a.csv", FILES[0])
    found(path, b"k", known_lines)
    split: list[str] = []
    owner = csv_row_validator.RowValidator.owner
    monkeypatch.setattr(
        csv_row_validator.RowValidator,
        "owner",
        lambda self, raw: (split.append(raw.decode()), owner(self, raw))[1],
    )
    found(write(tmp_path / "same.csv", FILES[0]), b"k", known_lines)
    assert not known_lines.changed
    assert split == []
    rows = [*FILES[0][:place], FILES[1][0], *FILES[0][place:]]
    found(write(tmp_path / "b.csv", rows), b"k", known_lines)
    assert known_lines.changed
    assert FILES[1][0] in split
    blocks = list(fingerprints.blocks([[f"{row}\n".encode() for row in rows]]))
    assert len(split) == max(len(block) for block in blocks if f"{FILES[1][0]}\n".encode() in block)


def test_a_file_without_ends_of_blocks_is_read(tmp_path: Path) -> None:
    path, known_lines = write(tmp_path / "a.csv", ["x"] * 70_000), KnownLines()
    expected = found(path, b"k", None)
    assert found(path, b"k", known_lines) == found(path, b"k", again(known_lines)) == expected


def test_kept_lines_hold_no_personal_data_and_must_be_intact(tmp_path: Path) -> None:
    keys = DigestKeys("a", {"a": b"k" * 32})
    path, kept_lines = write(tmp_path / "a.csv", FILES[1]), KeptLines(tmp_path, keys)
    found(path, b"k", kept_lines["rh"])
    kept_lines.keep()
    file = tmp_path / LINES / "rh"
    content = file.read_bytes()
    assert file.stat().st_mode & 0o777 == 0o600
    assert b"0800010B" in content
    assert not [secret for secret in (b"01E95", b"Nom 4", b"Ada") if secret in content]
    assert KeptLines(tmp_path, keys)["rh"].basis
    for wrong in (content[:-1], content[:40] + b"x" + content[41:], b""):
        file.write_bytes(wrong)
        assert not KeptLines(tmp_path, keys)["rh"].basis
    file.write_bytes(content)
    assert not KeptLines(tmp_path, DigestKeys("a", {"a": b"x" * 32}))["rh"].basis
