"""Days of the year, as periods of guards and limits name them."""

from __future__ import annotations

from datetime import date

from piactl.config.nodes import Node
from piactl.config.strictyaml import Document, quoted

_LEAP_YEAR = 2028


def day_of_year(document: Document, node: Node, label: str) -> tuple[int, int]:
    """(month, day) of a text MM-DD; one that is no day of any year is a mistake of the document.

    Where the text has not that shape at all its schema has said so, and (1, 1) stands in.
    """
    parts = node.text().split("-")
    if len(parts) != 2 or not all(part.isascii() and part.isdigit() for part in parts):
        return (1, 1)
    month, day = (int(part) for part in parts)
    try:
        date(_LEAP_YEAR, month, day)
    except ValueError:
        if 1 <= month <= 12 and 1 <= day <= 31:  # the schema refuses the others
            document.mistake(node, f"{label}: {quoted(node)} is no day of the year; that month is shorter")
        return (1, 1)
    return (month, day)
