"""Keyed digests, stored in place of values that must be recognised but not readable."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import field

from piactl.dataclass import dataclass

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
        found = [self._with(key, purpose, value) for key in [self.current, *others]]
        if self.matching and purpose == NUMEN:
            found += [self._plain(key, purpose, value) for key in [self.current, *others]]
        return tuple(found)

    def matches(self, stored: str, purpose: str, value: str) -> bool:
        """Whether `stored` is a digest of `value` under the key it names. Compares in constant time."""
        key = digest_key_id(stored)
        if key not in self.keys:
            return False
        keyed = hmac.compare_digest(stored.encode(), self._with(key, purpose, value).encode())
        plain = hmac.compare_digest(stored.encode(), self._plain(key, purpose, value).encode())
        return keyed or plain

    def keep_or_renew(self, stored: str | None, purpose: str, value: str) -> str:
        """The digest of `value` under the current key; `stored` itself if it is one. Digests move to a new
        key this way when a feed repeats their value; until then the older digest verifies."""
        fresh = self.digest(purpose, value)
        return stored if stored == fresh else fresh

    def is_older(self, stored: str) -> bool:
        """Whether the key of `stored` is not the current one."""
        return digest_key_id(stored) != self.current

    def _with(self, key: str, purpose: str, value: str) -> str:
        if self.matching and purpose == NUMEN:
            value = hmac.digest(self.matching, value.encode(), "sha256").hex()
        return self._plain(key, purpose, value)

    def _plain(self, key: str, purpose: str, value: str) -> str:
        text = f"{purpose}\0{value}".encode()
        return "{" + key + "}" + hmac.digest(self.keys[key], text, "sha256").hex()


def digest_key_id(stored: str) -> str:
    """The id of the key of a digest."""
    return stored[1 : stored.find("}")] if stored.startswith("{") else ""
