"""Recognises the delimiter and the header of a feed, and files that are no CSV file in the
layout of a source; splits lines, and formats values for messages.

Lines are split as RFC 4180 says, except that a record never spans lines. A line break inside quotes looks the
same as a lost closing quote, and a lost quote hides rows. So a quote that is not closed on its line is an
error of the whole file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from piactl.core.model.settings import SourceLimits, SourceSettings
from piactl.core.naming.names import MOJIBAKE
from piactl.feed.encoding import CODECS
from piactl.feed.error_codes import Refusal, refusal
from piactl.phrase import Phrase

_DAMAGED = re.compile(f"[\u0080-\u009f\ufffd]|{MOJIBAKE.pattern}|ï»¿|ï¿½")
_CONTROL = re.compile("[\u0000-\u001f\u007f\u2028\u2029]")
SUSPECT = re.compile(f"{_CONTROL.pattern}|{_DAMAGED.pattern}")
"""Matches every line in which `text_fault` could find a fault."""

BLANKS = " \t\u00a0\u2007\u202f"
"""Characters stripped around a value; a tab inside a value is a control character."""

_NUMEN_LIKE = re.compile(r"([0-9]\s*[0-9]\s*[A-Za-z])\s*[0-9]\s*[0-9][0-9A-Za-z\s]*")
_SHOWN = 40
_SMALLEST = 3


def text_fault(text: str) -> tuple[str, str] | None:
    """The fault of a damaged field as (code, detail): control characters, U+FFFD, mojibake. None if valid."""
    text = text.strip(BLANKS)
    control = _CONTROL.search(text)
    if control:
        character = f"U+{ord(control.group()):04X}"
        return "control-character", Phrase(
            "{text} contains the control character {character}", text=shown(text), character=character
        )
    if _DAMAGED.search(text):
        return "damaged-text", Phrase("{text} was damaged by a wrong change of encoding", text=shown(text))
    return None


def shown(value: str) -> str:
    """A value for a message: quoted, escaped, shortened, and with anything like a NUMEN masked.

    Every value in a message is formatted here, because a row with shifted fields may have a NUMEN in any
    column.
    """
    masked = _NUMEN_LIKE.sub(lambda match: match.group(1) + "*" * (len(match.group()) - 3), value)
    return repr(masked if len(masked) <= _SHOWN else masked[: _SHOWN - 1] + "…")


def is_wholesale(bad: int, rows: int, not_ascii: int, limits: SourceLimits) -> bool:
    """Whether so many rows are damaged that the whole file must have another encoding.

    Names in capitals have few accents, so the damaged rows are also compared with the rows that are not
    ASCII.
    """
    if bad >= max(limits.bad_floor, 1) and (bad > limits.bad_share * rows or 2 * bad > not_ascii):
        return True
    return bad >= _SMALLEST and 2 * bad > rows


class UnclosedQuote(Exception):
    """A quoted field does not end on its line."""


class StrayQuote(Exception):
    """A quote inside an unquoted field, or text after a closing quote."""


def split_record(text: str, delimiter: str) -> list[str]:
    """The fields of one line without its end. Raises UnclosedQuote or StrayQuote."""
    if '"' not in text:
        return text.split(delimiter)
    fields: list[str] = []
    place = 0
    while True:
        if text.startswith('"', place):
            field, end = _quoted(text, place + 1)
            if end < len(text) and not text.startswith(delimiter, end):
                raise StrayQuote
        else:
            delimiter_at = text.find(delimiter, place)
            end = len(text) if delimiter_at < 0 else delimiter_at
            field = text[place:end]
            if '"' in field:
                raise StrayQuote
        fields.append(field)
        if end >= len(text):
            return fields
        place = end + 1


def _quoted(text: str, place: int) -> tuple[str, int]:
    """The field whose opening quote is before `place`, and the index after its closing quote."""
    pieces: list[str] = []
    while True:
        quote = text.find('"', place)
        if quote < 0:
            raise UnclosedQuote
        pieces.append(text[place:quote])
        if not text.startswith('"', quote + 1):
            return '"'.join(pieces), quote + 1
        place = quote + 2


COLUMNS = (
    "matricule", "numen", "civilite", "nom_usage", "nom_famille", "prenom", "date_naissance",
    "courriel_prive", "ancien_matricule",
    "corps", "position", "uai", "fonction", "discipline", "modalite", "quotite", "debut", "fin",
)  # fmt: skip
"""The canonical columns; the first nine are the person's, the rest the assignment's."""

PERSON_COLUMNS = COLUMNS[:9]
REQUIRED = ("matricule", "nom_famille", "prenom", "uai", "fonction", "debut")
REJECT_COLUMN = "rejet"
"""The column that a rejects file adds. Its values are ignored, and it makes the feed a delta: a file of
corrected rejects lists only rejected people, so nobody counts as absent."""

DELIMITERS = (";", ",", "\t")

_BEGINS = rb"(^|[;,\t\r])(\"?)"
"""Where a cell begins in some spreadsheet, whatever the delimiter of the file is."""


_ZEROS = rb"0[0-9]+\"?(?:[;,\t\r]|$)"
"""A number of which a spreadsheet would remove the zeros."""


def _signs(delimiter: str, *, zeros: bool = True) -> bytes:
    blank = b"" if delimiter == "\t" else rb"\t\r"
    number = b"|" + _ZEROS if zeros else b""
    return rb"(?='*(?:[=+\-@" + blank + rb"]|\xef\xbc[\x9d\x8b\x8d\xa0]" + number + b"))"


def quote_cells(row: bytes, delimiter: str, *, zeros: bool = True) -> bytes:
    """A row in which an apostrophe begins each cell that a spreadsheet would read as a formula, each number
    of which it would remove the `zeros`, and each that would be taken for one with that apostrophe."""
    return re.sub(_BEGINS + _signs(delimiter, zeros=zeros), rb"\1\2'", row)


def unquote_cells(row: bytes, delimiter: str) -> bytes:
    """The row from which `quote_cells` made this one."""
    return re.sub(_BEGINS + b"'" + _signs(delimiter), rb"\1\2", row) if b"'" in row else row


@dataclass(frozen=True, slots=True)
class ColumnLayout:
    """`places`: canonical column -> index of its field. `extras`: names that are not read, as written."""

    delimiter: str
    names: tuple[str, ...]
    places: Mapping[str, int]
    extras: tuple[str, ...]

    @property
    def width(self) -> int:
        return len(self.names)

    @property
    def is_rejects(self) -> bool:
        return REJECT_COLUMN in self.names

    def is_header(self, fields: Sequence[str]) -> bool:
        """Whether a row repeats the header."""
        return tuple(_plain(field.strip(BLANKS + '"')) for field in fields) == self.names


def read_layout(
    header: str, source: SourceSettings, delimiters: Sequence[str] = ()
) -> tuple[ColumnLayout | None, list[Refusal]]:
    """The layout of a feed with this header line, and the refusals; the layout is None if there are refusals.

    If neither `delimiters` nor the source say which, the delimiter that gives the most known columns is used.
    """
    layouts = []
    known = {c: _header_name(c, source) for c in COLUMNS if c not in source.constants}
    usual = (source.delimiter,) if source.delimiter else DELIMITERS
    for delimiter in delimiters or usual:
        try:
            written = tuple(name.strip(BLANKS) for name in split_record(header, delimiter))
        except UnclosedQuote:
            return None, [refusal("unclosed-quote", Phrase("line 1: a quote is not closed on its line"))]
        except StrayQuote:
            continue
        names = tuple(map(_plain, written))
        places = {c: names.index(name) for c, name in known.items() if name in names}
        others = (i for i, name in enumerate(names) if i not in places.values() and name != REJECT_COLUMN)
        extras = tuple(written[i] for i in others)
        layouts.append(ColumnLayout(delimiter, names, places, extras))
    if not layouts:
        return None, [refusal("missing-column", Phrase("the header is not quoted as RFC 4180 requires"))]
    best = max(layouts, key=lambda layout: len(layout.places))
    refusals = _missing(best, source)
    refusals += [
        refusal("doubled-column", Phrase("column {column} appears twice in the header", column=column))
        for column in best.places
        if best.names.count(known[column]) > 1
    ]
    return (None if refusals else best), refusals


def _plain(name: str) -> str:
    return name.strip(BLANKS).lower()


def _header_name(column: str, source: SourceSettings) -> str:
    return _plain(source.columns.get(column, column))


def _missing(layout: ColumnLayout, source: SourceSettings) -> list[Refusal]:
    refusals = []
    for column in REQUIRED:
        if column in layout.places or column in source.constants:
            continue
        name = _header_name(column, source)
        problem = Phrase("column {column} is missing", column=column)
        if name != column:
            problem = Phrase("{problem} (header {name})", problem=problem, name=shown(name))
        others = {_plain(extra): extra for extra in layout.extras}
        near = get_close_matches(name, others, 1, 0.75)
        if near:
            problem = Phrase("{problem}; the file has {near}", problem=problem, near=shown(others[near[0]]))
        refusals.append(refusal("missing-column", problem))
    return refusals


HEAD = 8_192
"""The bytes at the beginning of a file by which it is recognised."""
_TITLE_LINES = 20
_WORKBOOK = Phrase("HR: open it, then File > Save as > CSV UTF-8")
_UNPACK = Phrase("HR: unpack it first")
_AS_CSV = Phrase("HR: export it as CSV")
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
        kind = Phrase("a page of HTML"), Phrase("HR: fetch the export again")
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
            return refusal("title-line", detail, Phrase("HR: remove the lines before the header"))
    other = _delimiter_of(header, source, (*DELIMITERS, "|"))
    if other:
        usual = _named(source.delimiter or DELIMITERS[0])
        detail = Phrase("the fields are apart by {mark}, not {usual}", mark=_named(other), usual=usual)
        advice = Phrase(
            "HR: save it with {usual}; administrator: or set `delimiter` of the source", usual=usual
        )
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
