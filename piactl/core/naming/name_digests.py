"""Sets of names stored as digests, as the list of accounts has them."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable
from hashlib import blake2b


def name_digest(local: str) -> int:
    """A local part as a number."""
    return int.from_bytes(blake2b(local.lower().encode(), digest_size=8).digest(), "little")


class NameDigests:
    """A set of names stored as digests. Among a million names, a free name looks taken once in about 10**13
    look-ups; that account then gets a digit."""

    def __init__(self, digests: Iterable[int]) -> None:
        self._digests, self._sorted = array("Q", digests), False

    def __contains__(self, local: object) -> bool:
        if not self._sorted:  # many runs look nothing up
            self._digests, self._sorted = array("Q", sorted(self._digests)), True
        digest = name_digest(str(local))
        index = bisect_left(self._digests, digest)
        return index < len(self._digests) and self._digests[index] == digest
