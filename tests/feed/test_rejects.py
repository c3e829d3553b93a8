"""The rejects file: it is written whole and private, corrected and fed again."""

from __future__ import annotations

import re
import stat
from codecs import BOM_UTF8
from dataclasses import replace

import pytest

from piactl.core.model.settings import SourceSettings
from piactl.errors import PiactlError
from piactl.feed.rejects_file import rejects_content, write_rejects

SOURCE = SourceSettings("epp")


def _with_a_wrong_uai(sample) -> str:
    rows = sample.four()
    rows[3] = rows[3].replace("0800002T", "0800002Z")
    return sample.text(*rows)


def _without_reasons(content: bytes, delimiter: str) -> list[bytes]:
    return [line.rpartition(delimiter.encode())[0] for line in content.splitlines()]


def _blanked(row: bytes) -> bytes:
    """The row as it is in a rejects file: without its NUMEN."""
    return re.sub(rb"\b[0-9]{2}[A-Z][0-9]{7}[A-Z]{3}\b", b"", row)


def test_rejected_rows_are_written_beside_their_reasons(sample, read, tmp_path):
    feed = read(_with_a_wrong_uai(sample))
    path = tmp_path / "rejects.csv"
    assert write_rejects(path, feed) == 2
    header, first, second, rest = path.read_bytes().split(b"\n")
    assert rest == b""
    assert header == BOM_UTF8 + sample.header.encode() + b";rejet"
    assert first.startswith(b"'" + _blanked(sample.four()[2].encode()) + b";held")
    wrong = sample.four()[3].replace("0800002T", "0800002Z")
    assert second.startswith(b"'" + _blanked(wrong.encode()) + b";uai: ")
    assert second.endswith(b"[bad-uai]")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_corrected_rejects_give_the_whole_person(sample, read, tmp_path):
    feed = read(sample.text(*sample.four()))
    path = tmp_path / "rejects.csv"
    write_rejects(path, read(_with_a_wrong_uai(sample)))
    corrected = path.read_bytes().replace(b"0800002Z", b"0800002T")
    again = read(corrected, trailer=True)
    # without the NUMEN, which a blank never erases
    assert again.people == {"0003": replace(feed.people["0003"], numen=None)}
    assert (again.facts.full, again.facts.complete) == (False, False)
    assert again.remarks == ("a file of corrected rejects; nobody counts as absent",)
    assert not again.rejections


@pytest.mark.parametrize("delimiter", [";", ",", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_uncorrected_rejects_fed_again_give_the_same_rejects(sample, read, delimiter, end):
    rows = sample.four()
    rows[0] = rows[0].replace("Claire;", "Claire")
    rows[1] = rows[1].replace("ENS;", "ENS;;")
    rows[2] = rows[2].replace("01/09/2026", "31/09/2026")
    rows[4] = ""
    text = sample.text(*rows).replace(";", delimiter).replace("\n", end)
    feed = read(text)
    once = rejects_content(feed)
    again = read(once)
    # The reasons may have other counts of fields; the rows themselves are the same bytes, but for an
    # apostrophe before the zeros of the matricule.
    assert _without_reasons(rejects_content(again), delimiter) == _without_reasons(once, delimiter)
    assert [_blanked(raw.replace(b"\r\n", b"\n")) for raw in feed.raw_lines.values()] == [
        row.removeprefix(b"'") + b"\n" for row in _without_reasons(once, delimiter)[1:]
    ]
    assert not again.people
    assert set(again.held) == set(feed.held)
    assert len(again.raw_lines) == 5


def test_bytes_that_do_not_decode_are_kept(sample, read):
    content = sample.text(*sample.four()).encode().replace("Élodie".encode(), b"\xc9lodie")
    assert b";\xc9lodie;" in rejects_content(read(content))


FORMULAS = ("=HYPERLINK(A1)", "@SUM(1)", "+1", "-1", "\t=1", "\r=1", "'=1", "''@x", "\uff1d1", "a,=1", "l'=1")


@pytest.mark.parametrize("delimiter", [";", ",", "\t"])
def test_no_cell_is_a_formula_and_the_file_fed_again_has_the_values(sample, read, delimiter):
    """As every spreadsheet splits them; also in the column that HR added, and in its name."""
    texts = [t for t in FORMULAS if delimiter not in t]
    rows = [sample.row(matricule=str(n), prenom=t, uai="=cmd") for n, t in enumerate(texts, 2)]
    quoted = sample.row(matricule="1", prenom="PRENOM", uai="=cmd").replace("PRENOM", f'"=1{delimiter}=2"')
    header, *lines = sample.text(quoted, *rows).removesuffix("\n").split("\n")
    text = "".join(f"{line}\n" for line in (f"{header};=note", *(f"{line};+33" for line in lines)))
    feed = read(text.replace(";", delimiter), delimiter=delimiter)
    assert len(feed.raw_lines) == len(texts) + 1
    content = rejects_content(feed)
    for line in content.decode().split("\n"):
        for mark in ";,\t":
            cells = [cell.lstrip('"') for cell in line.split(mark)]
            signs = "=+-@\uff1d" if delimiter == "\t" else "=+-@\uff1d\t\r"
            assert not [cell for cell in cells if cell.startswith(tuple(signs))], line
    again = read(content, delimiter=delimiter)
    assert rejects_content(again) == content
    values = [r.message for r in feed.rejections if r.column == "prenom"]
    assert values
    assert [r.message for r in again.rejections if r.column == "prenom"] == values
    assert {r.code for r in feed.rejections} == {r.code for r in again.rejections}


@pytest.mark.parametrize("encoding", ["utf-8", "windows-1252", "iso-8859-15"])
def test_reasons_are_in_the_encoding_of_the_feed(sample, read, encoding):
    codec = {"windows-1252": "cp1252"}.get(encoding, encoding)
    text = sample.text(sample.row(quotite="moitié"), *sample.four()[1:])
    feed = read(text.encode(codec), encoding=encoding)
    assert "moitié' is not a quotite" in rejects_content(feed).decode(codec)


def test_nothing_is_written_where_nothing_was_rejected(sample, read, tmp_path):
    path = tmp_path / "rejects.csv"
    assert write_rejects(path, read(sample.text(*sample.four()))) == 0
    assert not path.exists()


def test_a_symbolic_link_is_replaced_and_not_followed(sample, read, tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    path = tmp_path / "rejects.csv"
    path.symlink_to(victim)
    write_rejects(path, read(_with_a_wrong_uai(sample)))
    assert victim.read_text() == "untouched"
    assert not path.is_symlink()


def test_a_missing_folder_is_reported(sample, read, tmp_path):
    path = tmp_path / "nowhere" / "rejects.csv"
    with pytest.raises(PiactlError, match="cannot be written"):
        write_rejects(path, read(_with_a_wrong_uai(sample)))


@pytest.mark.parametrize(
    "typed", ["2OE1001371ZQA", "20E1001371Z", "20E1001371ZQAB", "20E-1001371-ZQA", "123", "x y"]
)
def test_a_mistyped_numen_is_masked(sample, read, typed):
    """It reveals the right one; the row stays rejected, with its reason."""
    feed = read(sample.text(sample.row(numen=typed)))
    content = rejects_content(feed)
    row = content.split(b"\n")[1]
    assert b";?????????????;" in row
    assert f";{typed};".encode() not in row
    again = read(content)
    assert [(r.column, r.code) for r in again.rejections] == [("numen", "bad-numen")]


def test_a_matricule_like_a_numen_stays(sample, read):
    row = sample.row(matricule="1234567890AB", uai="x", numen="123")
    content = rejects_content(read(sample.text(row)))
    assert content.split(b"\n")[1].startswith(b"1234567890AB;?????????????;")


def test_a_mistyped_numen_of_a_broken_row_is_masked(sample, read):
    """Its columns may be shifted; other cells stay as they are."""
    row = sample.row(numen="20E-1001371-ZQA", matricule="8571645").replace("8571645;", "")
    content = rejects_content(read(sample.text(row)))
    assert b"1001371" not in content
    cells = [cell for cell in row.split(";") if cell != "20E-1001371-ZQA"]
    assert all(cell.encode("utf-8") in content for cell in cells)


def test_a_target_that_is_a_folder_leaves_nothing_behind(sample, read, tmp_path):
    path = tmp_path / "rejects.csv"
    path.mkdir()
    with pytest.raises(PiactlError):
        write_rejects(path, read(_with_a_wrong_uai(sample)))
    assert [p for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_no_numen_stays_in_a_rejects_file(sample, read):
    rows = [sample.row(uai="0800002Z"), sample.row(matricule="0002", numen="20 e 95 01234 abc", uai="x")]
    feed = read(sample.text(*rows))
    content = rejects_content(feed)
    header, *lines, rest = content.split(b"\n")
    assert rest == b""
    column = header.split(b";").index(b"numen")
    cells = [line.split(b";")[column] for line in lines]
    assert cells == [b"", b""]
    assert b"9501234" not in content.replace(b" ", b"")
