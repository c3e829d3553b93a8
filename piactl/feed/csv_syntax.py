"""Splits one CSV record as RFC 4180 says, except that a record never spans lines.

A line break inside quotes looks the same as a lost closing quote, and a lost quote hides rows. So a quote
that is not closed on its line is an error of the whole file.
"""

from __future__ import annotations


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
