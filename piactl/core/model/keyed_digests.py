"""The NUMEN, an identifier that is a secret, and keyed digests.

Digests are stored in place of the NUMEN and of other values, to compare them without revealing them.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

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
    """`text` with everything that looks like a NUMEN masked; the same object if nothing does."""

    def mask(match: re.Match[str]) -> str:
        numen = read_numen(match[0])
        return match[0] if numen is None else str(numen)

    hidden = _WORD.sub(mask, text)
    return text if hidden == text else hidden


NUMEN = "numen"
"""The purpose of the digests of NUMENs."""


@dataclass(frozen=True, slots=True)
class DigestKeys:
    """HMAC-SHA-256 keys by id. `current` makes new digests; every key verifies.

    A digest is written `{id}hex`. `purpose` makes digests of different kinds of values differ. `matching` is
    a second secret of the digests of NUMENs (purpose NUMEN), which only hosts that match feeds have; b"" if
    there is none. Digests without it verify too: they were made before there was one.
    """

    current: str
    keys: Mapping[str, bytes] = field(repr=False)
    matching: bytes = field(default=b"", repr=False)

    def digest(self, purpose: str, value: str) -> str:
        return self._with(self.current, purpose, value)

    def candidates(self, purpose: str, value: str) -> tuple[str, ...]:
        """The digest of `value` under every key, the current one first."""
        others = [key for key in self.keys if key != self.current]
        digests = [self._with(key, purpose, value) for key in [self.current, *others]]
        if self.matching and purpose == NUMEN:
            digests += [self._plain(key, purpose, value) for key in [self.current, *others]]
        return tuple(digests)

    def matches(self, stored: str, purpose: str, value: str) -> bool:
        """Whether `stored` is a digest of `value` under the key it names. Compares in constant time."""
        key = digest_key_id(stored)
        if key not in self.keys:
            return False
        keyed = hmac.compare_digest(stored.encode(), self._with(key, purpose, value).encode())
        plain = hmac.compare_digest(stored.encode(), self._plain(key, purpose, value).encode())
        return keyed or plain

    def is_older(self, stored: str) -> bool:
        """Whether the key of `stored` is not the current one."""
        return digest_key_id(stored) != self.current

    def _with(self, key: str, purpose: str, value: str) -> str:
        if self.matching and purpose == NUMEN:
            value = hmac.digest(self.matching, value.encode(), "sha256").hex()
        return self._plain(key, purpose, value)

    def _plain(self, key: str, purpose: str, value: str) -> str:
        digest = hmac.digest(self.keys[key], f"{purpose}\0{value}".encode(), "sha256")
        return "{" + key + "}" + digest.hex()


def digest_key_id(stored: str) -> str:
    """The id of the key of a digest."""
    return stored[1 : stored.find("}")] if stored.startswith("{") else ""
