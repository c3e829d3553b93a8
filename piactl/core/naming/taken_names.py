"""Homonyms: the digit that tells people with the same name apart, and the names that are taken."""

from __future__ import annotations

from collections.abc import Container, Iterable


def has_base(local: str, base: str) -> bool:
    """Whether `local` is `base`, with or without the digits of a homonym."""
    return local == base or (local.startswith(base) and local[len(base) :].isdigit())


class TakenNames:
    """The local parts in use, now or before, by accounts, archived accounts and unmanaged entries, and
    `also`."""

    def __init__(self, taken: Iterable[str], first_digit: int, also: Container[str] = ()) -> None:
        self._taken = {name.lower() for name in taken}
        self._also = also
        self._first = first_digit
        # the next number of each base; without it n homonyms would take n * n look-ups
        self._next: dict[str, int] = {}

    def __contains__(self, local: str) -> bool:
        return local in self._taken or local in self._also

    def take(self, base: str) -> str:
        """Takes and returns the first free local part of a base: without digit, then from the first digit."""
        if base not in self:
            self._taken.add(base)
            return base
        number = self._next.get(base, self._first)
        while f"{base}{number}" in self:
            number += 1
        self._next[base] = number + 1
        self._taken.add(f"{base}{number}")
        return f"{base}{number}"
