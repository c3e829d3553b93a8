"""UAI: the number of an establishment, seven digits and a key letter."""

from __future__ import annotations

import re

_LETTERS = "ABCDEFGHJKLMNPRSTUVWXYZ"
_SHAPE = re.compile(r"([0-9]{7})([A-Z])")


def uai_letter(digits: str) -> str:
    """The key letter of seven digits."""
    return _LETTERS[int(digits) % 23]


def read_uai(text: str) -> tuple[str | None, str]:
    """`(uai, "")`, or `(None, reason)`; the reason gives the right letter if only the letter is wrong."""
    value = text.strip().upper()
    match = _SHAPE.fullmatch(value)
    if match is None:
        return None, f"{value!r} is not a UAI: expected seven digits and a letter, such as 0800009A"
    digits, letter = match.groups()
    right = uai_letter(digits)
    if letter != right:
        return None, f"the key letter of UAI {value} is wrong: {digits}{right} would be right"
    return value, ""
