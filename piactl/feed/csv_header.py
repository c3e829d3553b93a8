"""Reads the header of a feed: the field index of each canonical column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from piactl.core.model.settings import SourceSettings
from piactl.dataclass import dataclass
from piactl.feed.csv_syntax import StrayQuote, UnclosedQuote, split_record
from piactl.feed.encoding_check import BLANKS, shown
from piactl.feed.error_codes import refusal

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

_DELIMITERS = (";", ",", "\t")


@dataclass(frozen=True, slots=True)
class Layout:
    """`places`: canonical column -> index of its field. `extras`: names that are not read."""

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


def read_layout(header: str, source: SourceSettings) -> tuple[Layout | None, list[tuple[str, str]]]:
    """The layout of a feed with this header line, and the refusals; the layout is None if there are refusals.

    If the source sets no delimiter, the one that gives the most known columns is used.
    """
    layouts = []
    for delimiter in (source.delimiter,) if source.delimiter else _DELIMITERS:
        try:
            names = tuple(_plain(name) for name in split_record(header, delimiter))
        except UnclosedQuote:
            return None, [refusal("unclosed-quote", "line 1: a quote is not closed on its line")]
        except StrayQuote:
            continue
        layouts.append(_placed(delimiter, names, source))
    if not layouts:
        return None, [refusal("missing-column", "the header is not quoted as RFC 4180 requires")]
    best = max(layouts, key=lambda layout: len(layout.places))
    refusals = [*_missing(best, source), *_doubled(best, source)]
    return (None if refusals else best), refusals


def _plain(name: str) -> str:
    return name.strip(BLANKS).lower()


def _header_name(column: str, source: SourceSettings) -> str:
    return _plain(source.columns.get(column, column))


def _placed(delimiter: str, names: tuple[str, ...], source: SourceSettings) -> Layout:
    places = {}
    for column in COLUMNS:
        name = _header_name(column, source)
        if column not in source.constants and name in names:
            places[column] = names.index(name)
    used = set(places.values())
    extras = tuple(n for i, n in enumerate(names) if i not in used and n != REJECT_COLUMN)
    return Layout(delimiter, names, places, extras)


def _missing(layout: Layout, source: SourceSettings) -> list[tuple[str, str]]:
    refusals = []
    for column in REQUIRED:
        if column in layout.places or column in source.constants:
            continue
        name = _header_name(column, source)
        problem = f"column {column} is missing" + (f" (header {shown(name)})" if name != column else "")
        near = get_close_matches(name, layout.names, 1, 0.75)
        refusals.append(
            refusal("missing-column", problem + (f"; the file has {shown(near[0])}" if near else ""))
        )
    return refusals


def _doubled(layout: Layout, source: SourceSettings) -> list[tuple[str, str]]:
    doubled = [c for c in layout.places if layout.names.count(_header_name(c, source)) > 1]
    return [refusal("doubled-column", f"column {column} appears twice in the header") for column in doubled]
