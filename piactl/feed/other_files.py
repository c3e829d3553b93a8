"""Recognises files that are no CSV file in the layout of a source, and says what they are and what to do."""

from __future__ import annotations

import re

from piactl.core.model.settings import SourceSettings
from piactl.feed.error_codes import Refusal, refusal
from piactl.feed.header import CODECS, DELIMITERS, REQUIRED, read_layout
from piactl.phrase import Phrase

HEAD = 8_192
"""The bytes at the beginning of a file by which it is recognised."""
_TITLE_LINES = 20
_WORKBOOK = Phrase("open it and save it as CSV UTF-8")
_UNPACK = Phrase("unpack it first")
_AS_CSV = Phrase("request the export as CSV")
_ARCHIVE, _XML_FILE = (Phrase("an archive"), _UNPACK), (Phrase("XML"), _AS_CSV)
_GZIP = Phrase("compressed (gzip)"), _UNPACK
_BZIP2 = Phrase("compressed (bzip2)"), _UNPACK
_XZ = Phrase("compressed (xz)"), _UNPACK
_EXCEL = Phrase("an Excel workbook"), _WORKBOOK
_OF_SETS = (_ARCHIVE, _XML_FILE, _GZIP, _BZIP2, _XZ)
_BEGINNINGS = {
    bytes.fromhex("d0cf11e0a1b11ae1"): _EXCEL,
    b"\x1f\x8b": _GZIP,
    b"BZh": _BZIP2,
    b"\xfd7zXZ\0": _XZ,
    b"\x28\xb5\x2f\xfd": (Phrase("compressed (zstd)"), _UNPACK),
    b"7z\xbc\xaf\x27\x1c": _ARCHIVE,
    b"Rar!": _ARCHIVE,
    b"%PDF": (Phrase("a PDF"), _AS_CSV),
}
_HTML = re.compile(rb"\s*<(?:!doctype html|html|head|body|table|meta)\b", re.IGNORECASE)
_XML = re.compile(rb"\s*<\?xml\b")
_ZIP = b"PK\x03\x04"
_HINT = re.compile(r"sep=(.?)", re.IGNORECASE)


def other_kind(head: bytes, *, may_be_set: bool = False) -> Refusal | None:
    """The refusal of a file that is not text with separated fields, by its first bytes; None if it may be. A
    file that `may_be_set` of a national feed may also be XML, compressed or an archive."""
    bare = head.removeprefix(b"\xef\xbb\xbf")
    kind = next((kind for beginning, kind in _BEGINNINGS.items() if head.startswith(beginning)), None)
    if head.startswith(_ZIP):
        if b"opendocument.spreadsheet" in head:
            kind = Phrase("a LibreOffice workbook"), _WORKBOOK
        elif b"[Content_Types].xml" in head or b"xl/" in head:
            kind = _EXCEL
        else:
            kind = _ARCHIVE
    elif _HTML.match(bare):
        kind = Phrase("a page of HTML"), Phrase("fetch the export again")
    elif _XML.match(bare):
        kind = _XML_FILE
    if kind is None or (may_be_set and kind in _OF_SETS):
        return None
    return refusal("not-csv", Phrase("the file is {kind}, not CSV", kind=kind[0]), kind[1])


def other_header(head: bytes, header: str, source: SourceSettings) -> Refusal | None:
    """The refusal of a file whose first line is not the header, or whose fields are apart by another mark;
    None if there is no such explanation of missing columns."""
    hint = _HINT.fullmatch(header.strip())
    if hint:
        return refusal(
            "title-line",
            Phrase("line 1 is `{header}`, a hint for Excel, and no header", header=header.strip().lower()),
        )
    if _delimiter_of(header, source, ()):
        return None
    lines = head.decode(CODECS[source.encoding], "replace").splitlines()[1:_TITLE_LINES]
    for number, line in enumerate(lines, 2):
        if _delimiter_of(line, source, DELIMITERS):
            detail = Phrase("line 1 is a title, and the header is line {number}", number=number)
            return refusal("title-line", detail, Phrase("remove the lines before the header"))
    other = _delimiter_of(header, source, (*DELIMITERS, "|"))
    if other:
        usual = _named(source.delimiter or DELIMITERS[0])
        detail = Phrase("the fields are apart by {mark}, not {usual}", mark=_named(other), usual=usual)
        advice = Phrase("save it with {usual}, or set `delimiter` of the source", usual=usual)
        return refusal("other-delimiter", detail, advice)
    return None


def _named(delimiter: str) -> str:
    return Phrase("tabs") if delimiter == "\t" else f'"{delimiter}"'


def _delimiter_of(line: str, source: SourceSettings, others: tuple[str, ...]) -> str:
    """The delimiter with which a line is a header with all required columns, "" if none is."""
    needed = {*REQUIRED} - source.constants.keys()
    for delimiter in others or ((source.delimiter,) if source.delimiter else DELIMITERS):
        layout, _ = read_layout(line, source, (delimiter,))
        if layout is not None and needed <= layout.places.keys():
            return delimiter
    return ""
