"""Wrong files, each with a name: refused with the right reason, or people are held; never fewer people."""

from __future__ import annotations

import bz2
import gzip
import io
import os
import zipfile
from collections.abc import Callable

import pytest

from piactl.core.model.settings import SourceLimits, SourceSettings
from piactl.errors import FeedRefused
from piactl.feed.error_codes import REFUSALS, REJECTIONS, refusal
from piactl.feed.read_feed import read_feed
from tests.feed.test_scanned_rows import scanned

Made = Callable[..., bytes]


def _plain(s) -> bytes:
    return s.text(*s.four()).encode()


def _zipped(*names: str) -> bytes:
    """An archive of these files; the content of `mimetype` is that of LibreOffice."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in names:
            kind = "application/vnd.oasis.opendocument.spreadsheet"
            archive.writestr(name, kind if name == "mimetype" else "x")
    return content.getvalue()


def _wide(s) -> str:
    """Thirty people, all with accents."""
    rows = (
        s.row(matricule=str(n), numen="", prenom="Élodie", nom_famille="Lefèvre") for n in range(100, 130)
    )
    return s.text(*rows)


REFUSED: dict[str, tuple[Made, list[str], dict]] = {
    "empty": (lambda s: b"", ["empty"], {}),
    "one line end": (lambda s: b"\n", ["empty"], {}),
    "blank lines": (lambda s: b"\n \n\n", ["empty"], {}),
    "byte order mark only": (lambda s: b"\xef\xbb\xbf", ["bom-only"], {}),
    "byte order mark and a line end": (lambda s: b"\xef\xbb\xbf\n", ["empty"], {}),
    "header only": (lambda s: s.text().encode(), ["header-only"], {}),
    "header only, cut": (lambda s: s.text().encode()[:-1], ["cut", "header-only"], {}),
    "header and trailer": (lambda s: s.with_trailer(s.text().encode(), 0), ["header-only"], {}),
    "trailer only": (lambda s: b"#FIN;rows=0;date=2026-09-01\n", ["empty"], {}),
    "no header": (lambda s: "\n".join([*s.four(), ""]).encode(), ["missing-column"] * 6, {}),
    "matricule missing": (lambda s: _plain(s).replace(b"matricule", b"agent", 1), ["missing-column"], {}),
    "two columns missing": (
        lambda s: _plain(s).replace(b"uai;fonction", b"rne;code", 1),
        ["missing-column", "missing-column"],
        {},
    ),
    "column of the mapping missing": (_plain, ["missing-column"], {"columns": {"uai": "RNE"}}),
    "required column twice": (lambda s: _plain(s).replace(b"quotite", b"UAI", 1), ["doubled-column"], {}),
    "optional column twice": (lambda s: _plain(s).replace(b"quotite", b"fin ", 1), ["doubled-column"], {}),
    "wrong delimiter configured": (_plain, ["other-delimiter"], {"delimiter": "|"}),
    "fields apart by |": (lambda s: _plain(s).replace(b";", b"|"), ["other-delimiter"], {}),
    "wrong constant": (_plain, ["bad-constant"], {"constants": {"uai": "0800009B"}}),
    "header with an open quote": (lambda s: b'"' + _plain(s), ["unclosed-quote"], {}),
    "two files in one": (lambda s: _plain(s) * 2, ["second-header"], {}),
    "two whole files in one": (
        lambda s: s.with_trailer(_plain(s), 5) * 2,
        ["after-trailer"],
        {},
    ),
    "cut in a row": (lambda s: _plain(s)[:-40], ["cut"], {}),
    "line end lost": (lambda s: _plain(s)[:-1], ["cut"], {}),
    "cut between CR and LF": (lambda s: _plain(s).replace(b"\n", b"\r\n")[:-1], ["cut"], {}),
    "cut in a row, trailer asked": (lambda s: _plain(s)[:-40], ["cut", "no-trailer"], {"trailer": True}),
    "no trailer": (_plain, ["no-trailer"], {"trailer": True}),
    "trailer cut in its count": (lambda s: _plain(s) + b"#FIN;rows=5\n", ["bad-trailer"], {}),
    "trailer cut in its date": (lambda s: _plain(s) + b"#FIN;rows=5;date=2026-09-0\n", ["bad-trailer"], {}),
    "trailer with a day that is none": (
        lambda s: _plain(s) + b"#FIN;rows=5;date=2026-02-30\n",
        ["bad-trailer"],
        {},
    ),
    "trailer with a cut digest": (
        lambda s: s.with_trailer(_plain(s), 5, sha256=True)[:-9],
        ["bad-trailer"],
        {"trailer": True},
    ),
    "trailer with an unknown part": (
        lambda s: _plain(s) + b"#FIN;rows=5;date=2026-09-01;people=4\n",
        ["bad-trailer"],
        {},
    ),
    "one row fewer than the trailer says": (
        lambda s: s.with_trailer(s.text(*s.four()[1:]).encode(), 5),
        ["wrong-count"],
        {"trailer": True},
    ),
    "one row more than the trailer says": (lambda s: s.with_trailer(_plain(s), 4), ["wrong-count"], {}),
    "one letter changed under a digest": (
        lambda s: s.with_trailer(_plain(s), 5, sha256=True).replace(b"Claire", b"Clairo"),
        ["wrong-digest"],
        {},
    ),
    "row after the trailer": (
        lambda s: s.with_trailer(_plain(s), 5) + s.row().encode() + b"\n",
        ["after-trailer"],
        {},
    ),
    "blank line after the trailer": (
        lambda s: s.with_trailer(_plain(s), 5) + b"\n",
        ["after-trailer"],
        {},
    ),
    "quote opened in a row": (lambda s: _plain(s).replace(b"Claire", b'"Claire'), ["unclosed-quote"], {}),
    "two quotes that swallow rows": (
        lambda s: _plain(s).replace(b"Dubreuil", b'"Dubreuil').replace(b"Louis;", b'Louis";'),
        ["unclosed-quote"],
        {},
    ),
    "line break in quotes": (lambda s: _plain(s).replace(b"Claire", b'"Cl\naire"'), ["unclosed-quote"], {}),
    "Windows-1252 read as UTF-8": (lambda s: _wide(s).encode("cp1252"), ["wrong-encoding"], {}),
    "UTF-8 read as Windows-1252": (
        lambda s: _wide(s).encode(),
        ["wrong-encoding"],
        {"encoding": "windows-1252"},
    ),
    "UTF-8 read as ISO-8859-15": (
        lambda s: _wide(s).encode(),
        ["wrong-encoding"],
        {"encoding": "iso-8859-15"},
    ),
    "UTF-8 twice": (lambda s: _wide(s).encode().decode("cp1252", "replace").encode(), ["wrong-encoding"], {}),
    "UTF-8 with a mark read as Windows-1252": (
        lambda s: b"\xef\xbb\xbf" + _plain(s),
        ["wrong-encoding"],
        {"encoding": "windows-1252"},
    ),
    "UTF-16": (lambda s: _wide(s).encode("utf-16"), ["wrong-encoding"], {}),
    "header in Windows-1252": (
        lambda s: s.text(s.row() + ";x", header=s.header + ";Numéro").encode("cp1252"),
        ["wrong-encoding"],
        {},
    ),
    "too many rows": (_plain, ["too-many-rows"], {"limits": SourceLimits(max_rows=4)}),
    "too many bytes": (_plain, ["too-many-bytes"], {"limits": SourceLimits(max_bytes=500)}),
    "field too long": (
        lambda s: _plain(s).replace(b"Claire", b"C" * 1001),
        ["field-too-long"],
        {},
    ),
    "line without end": (lambda s: _plain(s) + b"\0" * 1_000_000, ["line-too-long"], {}),
    "no text at all": (lambda s: bytes(range(128)) * 20, None, {}),
    "a page of HTML": (lambda s: b"<html>\n<body>Erreur 502</body>\n</html>\n", ["not-csv"], {}),
    "a table of HTML": (lambda s: b"\n<TABLE border=0>\n<tr><td>1</td></tr>\n", ["not-csv"], {}),
    "an Excel workbook": (lambda s: _zipped("[Content_Types].xml", "xl/workbook.xml"), ["not-csv"], {}),
    "a LibreOffice workbook": (lambda s: _zipped("mimetype", "content.xml"), ["not-csv"], {}),
    "an archive": (lambda s: _zipped("rh.csv"), ["not-csv"], {}),
    "an old Excel workbook": (lambda s: bytes.fromhex("d0cf11e0a1b11ae1") + b"\n" * 99, ["not-csv"], {}),
    "compressed": (lambda s: gzip.compress(_plain(s)), ["not-csv"], {}),
    "compressed by bzip2": (lambda s: bz2.compress(_plain(s)), ["not-csv"], {}),
    "a PDF": (lambda s: b"%PDF-1.7\n%\xe2\xe3\n", ["not-csv"], {}),
    "XML": (lambda s: b"\xef\xbb\xbf<?xml version='1.0'?>\n<rows/>\n", ["not-csv"], {}),
    "a hint for Excel": (lambda s: b"sep=;\n" + _plain(s), ["title-line"], {}),
    "a hint for Excel after a mark": (lambda s: b"\xef\xbb\xbfSEP=,\r\n" + _plain(s), ["title-line"], {}),
    "a title": (lambda s: b"Extraction EPP du 01/09/2026\n\n" + _plain(s), ["title-line"], {}),
    "a title with fields": (lambda s: b"EPP" + b";" * 16 + b"\n" + _plain(s), ["title-line"], {}),
    "lines end with CR": (lambda s: _plain(s).replace(b"\n", b"\r"), ["cr-only"], {}),
    "lines end with CR, the last with LF": (
        lambda s: _plain(s).replace(b"\n", b"\r") + b"\n",
        ["cr-only"],
        {},
    ),
    "UTF-16 without a mark": (lambda s: _wide(s).encode("utf-16-le"), ["wrong-encoding"], {}),
    "UTF-16 without a mark, the other way": (lambda s: _wide(s).encode("utf-16-be"), ["wrong-encoding"], {}),
}

AS_CSV = "HR: open it, then File > Save as > CSV UTF-8"
SAYS = {
    "a page of HTML": "the file is a page of HTML, not CSV; HR: fetch the export again",
    "an Excel workbook": f"the file is an Excel workbook, not CSV; {AS_CSV}",
    "an old Excel workbook": f"the file is an Excel workbook, not CSV; {AS_CSV}",
    "a LibreOffice workbook": f"the file is a LibreOffice workbook, not CSV; {AS_CSV}",
    "an archive": "the file is an archive, not CSV; HR: unpack it first",
    "compressed": "the file is compressed (gzip), not CSV; HR: unpack it first",
    "a hint for Excel": "line 1 is `sep=;`, a hint for Excel, and no header; HR: remove it",
    "a title": "line 1 is a title, and the header is line 3; HR: remove the lines before the header",
    "fields apart by |": 'the fields are apart by "|", not ";"; HR: save it with ";"; '
    "administrator: or set `delimiter` of the source",
    "lines end with CR": "lines end with CR alone, as on old Macs; "
    "HR: save it with Windows or Unix line ends",
    "UTF-16": "utf-8 is expected, but the file is UTF-16; HR: export the file again, in UTF-8",
    "UTF-16 without a mark": "utf-8 is expected, but the file is UTF-16; HR: export the file again, in UTF-8",
}

HELD: dict[str, tuple[Made, set[str], int, set[str], dict]] = {
    # name -> (bytes, held, number of rows that belong to nobody, codes, settings)
    "field too few": (
        lambda s: _plain(s).replace(b"Claire;", b"Claire"),
        {"0001"},
        1,
        {"too-few-fields"},
        {},
    ),
    "field too many": (
        lambda s: _plain(s).replace(b"Claire", b"Cl;aire"),
        {"0001"},
        1,
        {"too-many-fields"},
        {},
    ),
    "empty line": (lambda s: _plain(s) + b"\n", set(), 1, {"empty-row"}, {}),
    "line of delimiters": (
        lambda s: _plain(s) + b";" * (len(s.columns) - 1) + b"\n",
        set(),
        1,
        {"empty-row"},
        {},
    ),
    "line of delimiters and blanks": (
        lambda s: _plain(s) + b" ; ;;\t;" + b";" * (len(s.columns) - 5) + b"\r\n",
        set(),
        1,
        {"empty-row"},
        {},
    ),
    "line of empty quotes, and too short": (lambda s: _plain(s) + b'"";"";\n', set(), 1, {"empty-row"}, {}),
    "a comment": (lambda s: _plain(s) + b"# end of file\n", set(), 1, {"too-few-fields"}, {}),
    "two rows in one line": (
        lambda s: _plain(s).replace(b"\n0002", b"0002"),
        {"0001"},
        1,
        {"too-many-fields"},
        {},
    ),
    "row without its beginning": (
        lambda s: _plain(s).replace(b"0002;01E9501235ABD;MME;;", b""),
        set(),
        1,
        {"too-few-fields"},
        {},
    ),
    "text behind a quote": (
        lambda s: _plain(s).replace(b"Claire", b'"Cl"aire'),
        {"0001"},
        1,
        {"bad-quoting"},
        {},
    ),
    "quote inside a field": (
        lambda s: _plain(s).replace(b"Claire", b'Cl"ai"re'),
        {"0001"},
        1,
        {"bad-quoting"},
        {},
    ),
    "one row in Windows-1252": (
        lambda s: _plain(s).replace("Élodie".encode(), "Élodie".encode("cp1252")),
        {"0002"},
        0,
        {"undecodable"},
        {},
    ),
    "one row in Windows-1252 and cut": (
        lambda s: _plain(s).replace("Élodie;".encode(), "Élodie".encode("cp1252")),
        {"0002"},
        1,
        {"undecodable"},
        {},
    ),
    "one name damaged": (
        lambda s: _plain(s).replace("Zoé".encode(), "ZoÃ©".encode()),
        {"0003"},
        0,
        {"damaged-text"},
        {},
    ),
    "NUL in a column that is not read": (
        lambda s: s.text(s.row() + ";a\0b", s.row(matricule="0002") + ";", header=s.header + ";x").encode(),
        {"0001"},
        0,
        {"control-character"},
        {},
    ),
    "matricule and NUMEN swapped": (
        lambda s: _plain(s).replace(b"0001;01E9501234ABC", b"01E9501234ABC;0001"),
        set(),
        1,
        {"matricule-is-numen", "bad-numen"},
        {},
    ),
    "uai and fonction swapped": (
        lambda s: _plain(s).replace(b"0800009A;ENS", b"ENS;0800009A"),
        {"0001", "0002", "0004"},
        0,
        {"bad-uai"},
        {},
    ),
    "a file with Mac line ends in it": (
        lambda s: _plain(s).replace(b"31/08/2027\n0002", b"31/08/2027\r0002"),
        {"0001"},
        1,
        {"too-many-fields"},
        {},
    ),
}


def test_the_gauntlet_is_long_enough():
    assert len(REFUSED) + len(HELD) >= 40


@pytest.mark.parametrize("case", REFUSED)
def test_a_wrong_file_is_refused(case, sample, refused):
    made, codes, settings = REFUSED[case]
    reported = refused(made(sample), **settings)
    assert set(reported) <= set(REFUSALS)
    if codes is not None:
        assert reported == codes


@pytest.mark.parametrize("case", SAYS)
def test_one_sentence_says_what_a_file_is_and_what_to_do(case, sample, read):
    with pytest.raises(FeedRefused) as caught:
        read(REFUSED[case][0](sample))
    ((code, message),) = caught.value.refusals
    assert message == SAYS[case]
    assert str(caught.value).endswith(f": feed refused: {message} [{code}]")


@pytest.mark.parametrize("case", HELD)
def test_a_file_with_wrong_rows_holds_their_people(case, sample, read):
    made, matricules, unattributed, codes, settings = HELD[case]
    feed = read(made(sample), **settings)
    assert set(feed.held) == matricules
    assert feed.facts.unattributed == unattributed
    assert {r.code for r in feed.rejections} == codes
    assert codes <= set(REJECTIONS)
    assert not set(feed.people) & matricules
    if not unattributed:
        assert feed.present >= {"0001", "0002"}


def test_all_refusals_are_reported_at_once(sample, refused):
    content = _plain(sample).replace(b"uai", b"rne", 1).replace(b"quotite", b"debut", 1)[:-3]
    assert refused(content, trailer=True) == ["missing-column", "doubled-column", "cut", "no-trailer"]


def test_a_refusal_names_the_nearest_header_and_no_value(sample, read):
    with pytest.raises(FeedRefused, match="nom_famile"):
        read(_plain(sample).replace(b"nom_famille", b"nom_famile", 1))
    with pytest.raises(FeedRefused) as caught:
        read("\n".join([*sample.four(), ""]))
    assert "E9501234ABC" not in str(caught.value)
    assert "Dubreuil" not in str(caught.value)


def test_the_encoding_that_would_do_is_named(sample, read):
    with pytest.raises(FeedRefused, match=r"utf-8 is expected, but .* windows-1252"):
        read(_wide(sample).encode("cp1252"))
    with pytest.raises(FeedRefused, match=r"windows-1252 is expected, but .* utf-8"):
        read(_wide(sample).encode(), encoding="windows-1252")


def test_a_file_of_only_bad_rows_is_refused(sample, refused):
    assert "mostly-rejected" in refused(sample.text(*["x;y"] * 50_100))


@pytest.mark.parametrize("kind", ["missing", "folder", "pipe", "device"])
def test_what_is_no_file_is_refused_at_once(kind, tmp_path):
    path = tmp_path / "feed.csv"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    with pytest.raises(FeedRefused) as caught:
        read_feed(path, SourceSettings("epp"))
    assert caught.value.refusals[0][0] == ("unreadable" if kind == "missing" else "not-a-file")
    with pytest.raises(FeedRefused) as scanning:
        scanned(path, SourceSettings("epp"))
    assert scanning.value.refusals == caught.value.refusals


@pytest.mark.parametrize("values", [{}, {"position": {"AC": "activite", "CP": "conge_parental"}}])
def test_skipped_lines_count_as_if_they_were_read(values, sample, tmp_path):
    rows = [
        sample.row(matricule="0001", position="AC"),
        sample.row(matricule="0002", position=" ", fonction="DIR", fin=""),
        sample.row(matricule="0003", position="X", corps=""),
        sample.row(matricule="0003", position="CP", uai="0800002T"),
        sample.row(matricule="0004", position="AC", numen="X", fonction=" DOC"),
        ";" * (len(sample.columns) - 1),
    ]
    path = tmp_path / "feed.csv"
    path.write_text(sample.text(*rows), encoding="utf-8")
    source = SourceSettings("epp", values=values)
    facts = read_feed(path, source).facts
    assert facts.values["fonction"] == {"ENS": 3, "DIR": 1, "DOC": 1}
    assert sorted(facts.values["position"].values()) == [1, 2, 2]
    assert facts.values["corps"][""] == 1
    assert (facts.distinct["matricule"], facts.distinct["uai"]) == (4, 2)
    assert "fonction" not in facts.distinct
    for people in ((), ("0001", "0003"), ("0001", "0002", "0003", "0004")):
        feed, _ = scanned(path, source, people)
        assert feed.facts == facts


def test_every_code_has_a_meaning_and_a_next_step():
    for table in (REJECTIONS, REFUSALS):
        for code, (meaning, advice) in table.items():
            assert code == code.lower().replace(" ", "-")
            assert meaning
            assert advice
    assert refusal("cut") == ("cut", "; ".join(REFUSALS["cut"]))
