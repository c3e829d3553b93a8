"""The NUMEN: an identifier that is a secret."""

from __future__ import annotations

import re

_EXACT = re.compile(r"[0-9]{2}[A-Z][0-9]{2}[0-9]{5}[A-Z]{3}")
_LOOSE = re.compile(r"[0-9]{2}[A-Z][0-9]{2}[0-9A-Z]{8}")
_BLANK = re.compile(r"\s+")
_WORD = re.compile(r"(?<![0-9A-Za-z])[0-9A-Za-z]{13}(?![0-9A-Za-z])")


class Numen:
    """A NUMEN. `str` and `repr` mask it; only code that makes digests calls `reveal()`."""

    __slots__ = ("_value", "unusual")

    def __init__(self, value: str, *, unusual: bool = False) -> None:
        self._value = value
        self.unusual = unusual

    def reveal(self) -> str:
        return self._value

    def __str__(self) -> str:
        return self._value[:3] + "*" * (len(self._value) - 3)

    __repr__ = __str__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Numen) and self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)


def read_numen(text: str) -> Numen | None:
    """The NUMEN in `text`, blanks removed and in upper case; None if it is not one.

    An ending of another form is accepted as `unusual`, with a warning: no check key is documented.
    """
    value = _BLANK.sub("", text).upper()
    if not value.isascii():
        return None
    if _EXACT.fullmatch(value):
        return Numen(value)
    if _LOOSE.fullmatch(value):
        return Numen(value, unusual=True)
    return None


def masked(text: str) -> str:
    """`text` with everything that looks like a NUMEN masked."""

    def mask(match: re.Match[str]) -> str:
        numen = read_numen(match[0])
        return match[0] if numen is None else str(numen)

    return _WORD.sub(mask, text)
