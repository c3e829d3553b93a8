"""The nearest valid word to a mistyped one."""

from __future__ import annotations

from collections.abc import Iterable

_NEAR_ENOUGH = 55
_MOST_LISTED = 16


def hint(word: str, valid: Iterable[str]) -> str:
    """`did you mean X?`, or the valid words where none is near, or that there are none."""
    from rapidfuzz import fuzz, process  # imported here: only a mistake needs it

    words = sorted(set(valid))
    if not words:
        return "there is none to choose from"
    best = process.extractOne(word.casefold(), {w: w.casefold() for w in words}, scorer=fuzz.ratio)
    if best is not None and best[1] >= _NEAR_ENOUGH:
        return f"did you mean {best[2]}?"
    listed = ", ".join(words[:_MOST_LISTED])
    return f"it may be {listed}" + (", ..." if len(words) > _MOST_LISTED else "")
