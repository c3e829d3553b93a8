"""One record of a CSV file, by the letter of RFC 4180, save that it never goes beyond its line.

A line break inside quotes cannot be told from a quote that was lost, and a lost quote swallows rows: so
a quote that is not closed on its line is an error of the whole file.
"""

from __future__ import annotations


class UnclosedQuote(Exception):
    """A quoted field does not end on its line."""


class StrayQuote(Exception):
    """A quote inside an unquoted field, or text behind a closing quote."""


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
            found = text.find(delimiter, place)
            end = len(text) if found < 0 else found
            field = text[place:end]
            if '"' in field:
                raise StrayQuote
        fields.append(field)
        if end >= len(text):
            return fields
        place = end + 1


def _quoted(text: str, place: int) -> tuple[str, int]:
    """The field whose opening quote stands before `place`, and where its closing quote ends."""
    pieces: list[str] = []
    while True:
        quote = text.find('"', place)
        if quote < 0:
            raise UnclosedQuote
        pieces.append(text[place:quote])
        if not text.startswith('"', quote + 1):
            return '"'.join(pieces), quote + 1
        place = quote + 2
