"""The nearest valid word, for messages about a mistyped one."""

from __future__ import annotations

from collections.abc import Iterable

from rapidfuzz import fuzz, process

from piactl.phrase import Phrase, joined

_NEAR_ENOUGH = 55
_MOST_LISTED = 16


def nearest(word: str, valid: Iterable[str], enough: float = _NEAR_ENOUGH) -> str | None:
    """The valid word that somebody probably meant, or None if none is near enough (0 to 100)."""
    words = {valid_word: valid_word.casefold() for valid_word in sorted(set(valid))}
    best = process.extractOne(word.casefold(), words, scorer=fuzz.ratio)
    return best[2] if best is not None and best[1] >= enough else None


def hint(word: str, valid: Iterable[str]) -> str:
    """`did you mean X?`, a list of the valid words if none is close, or `none is defined`.
    Words that are Phrases are printed in the language of people."""
    words = sorted(set(valid))
    if not words:
        return Phrase("none is defined")
    meant = nearest(word, words)
    if meant is not None:
        return Phrase("did you mean {word}?", word=meant)
    rest = ["..."] if len(words) > _MOST_LISTED else []
    listed = joined([*words[:_MOST_LISTED], *rest], "{first}, {second}")
    return Phrase("valid values: {words}", words=listed)
