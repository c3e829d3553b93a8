"""Suggests the valid word closest to a mistyped one."""

from __future__ import annotations

from collections.abc import Iterable

_NEAR_ENOUGH = 55
_MOST_LISTED = 16


def hint(word: str, valid: Iterable[str]) -> str:
    """`did you mean X?`, or a list of the valid words if none is close, or that none is defined."""
    from rapidfuzz import fuzz, process  # imported here: only a mistake needs it

    words = sorted(set(valid))
    if not words:
        return "none is defined"
    best = process.extractOne(word.casefold(), {w: w.casefold() for w in words}, scorer=fuzz.ratio)
    if best is not None and best[1] >= _NEAR_ENOUGH:
        return f"did you mean {best[2]}?"
    listed = ", ".join(words[:_MOST_LISTED])
    return f"valid values: {listed}" + (", ..." if len(words) > _MOST_LISTED else "")
