"""Keyed digests, stored in place of values that must be recognised but not readable."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class DigestKeys:
    """HMAC-SHA-256 keys by id. `current` makes new digests; every key verifies.

    A digest is written `{id}hex`. `purpose` makes digests of different kinds of values differ.
    """

    current: str
    keys: Mapping[str, bytes] = field(repr=False)

    def digest(self, purpose: str, value: str) -> str:
        return self._with(self.current, purpose, value)

    def candidates(self, purpose: str, value: str) -> tuple[str, ...]:
        """The digest of `value` under every key, the current one first."""
        others = [key for key in self.keys if key != self.current]
        return tuple(self._with(key, purpose, value) for key in [self.current, *others])

    def matches(self, stored: str, purpose: str, value: str) -> bool:
        """Whether `stored` is a digest of `value` under the key it names. Compares in constant time."""
        key = digest_key_id(stored)
        return key in self.keys and hmac.compare_digest(
            stored.encode(), self._with(key, purpose, value).encode()
        )

    def keep_or_renew(self, stored: str | None, purpose: str, value: str) -> str:
        """The digest of `value` under the current key; `stored` itself if it is one. Digests move to a new
        key this way when a feed repeats their value; until then the older digest verifies."""
        if stored is not None and not self.is_older(stored) and self.matches(stored, purpose, value):
            return stored
        return self.digest(purpose, value)

    def is_older(self, stored: str) -> bool:
        """Whether the key of `stored` is not the current one."""
        return digest_key_id(stored) != self.current

    def _with(self, key: str, purpose: str, value: str) -> str:
        text = f"{purpose}\0{value}".encode()
        return "{" + key + "}" + hmac.digest(self.keys[key], text, "sha256").hex()


def digest_key_id(stored: str) -> str:
    """The id of the key of a digest."""
    return stored[1 : stored.find("}")] if stored.startswith("{") else ""
