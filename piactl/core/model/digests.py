"""Keyed digests: what is stored of values that must be recognised and not read."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class DigestKeys:
    """HMAC-SHA-256 keys by id; new digests are made with `current`, all of them verify.

    A digest is written `{id}hex`. `purpose` keeps digests of different kinds of value apart.
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
        """Whether `stored` is a digest of `value` under the key it names, in constant time."""
        key = digest_key_id(stored)
        return key in self.keys and hmac.compare_digest(
            stored.encode(), self._with(key, purpose, value).encode()
        )

    def keep_or_renew(self, stored: str | None, purpose: str, value: str) -> str:
        """The digest of `value` under the current key, which is `stored` where that is one. A value that is
        told anew moves to a new key so; until then its older digest verifies."""
        if stored is not None and not self.is_older(stored) and self.matches(stored, purpose, value):
            return stored
        return self.digest(purpose, value)

    def is_older(self, stored: str) -> bool:
        """Whether `stored` is under another key than the current one."""
        return digest_key_id(stored) != self.current

    def _with(self, key: str, purpose: str, value: str) -> str:
        text = f"{purpose}\0{value}".encode()
        return "{" + key + "}" + hmac.digest(self.keys[key], text, "sha256").hex()


def digest_key_id(stored: str) -> str:
    """The id of the key a digest names."""
    return stored[1 : stored.find("}")] if stored.startswith("{") else ""
