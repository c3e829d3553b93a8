"""The nearest valid word or establishment, for messages about a mistyped one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rapidfuzz import fuzz, process

from piactl.core.model.establishment import UAI_SHAPE, Establishment, Register, establishments_named, read_uai
from piactl.core.text import few, search_words
from piactl.phrase import Phrase, joined

_NEAR_ENOUGH = 55
_MOST_LISTED = 16
_NEAR_NAME = 80
"""Of 100: one wrong letter in five is near, as in a name of a person."""
_MOST_NAMED = 5


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


def read_establishment(text: str, register: Register) -> tuple[str | None, str]:
    """As `read_uai`, also for the name of an establishment of the register, or words that fit one alone."""
    uai, why = read_uai(text)
    if uai is not None or not text.strip() or UAI_SHAPE.fullmatch(text.strip().upper()):
        return uai, why
    found = establishments_named(register, text)
    if len(found) == 1:
        return found[0].uai, ""
    if found:
        return None, Phrase(
            "{text} fits several establishments: {names}", text=repr(text), names=_names(found)
        )
    near = _near(register, text)
    if near:
        return None, Phrase(
            "{text} is neither a UAI nor a name in the register of establishments; the nearest: {names}",
            text=repr(text),
            names=_names(near),
        )
    return None, Phrase(
        "{text} is neither a UAI nor a name in the register of establishments; to find one: "
        "piactl establishment list WORD",
        text=repr(text),
    )


def _near(register: Register, text: str) -> list[Establishment]:
    """The establishments of which a piece of the name is nearly the text, the nearest first."""
    names = {uai: " ".join(search_words(establishment.name)) for uai, establishment in register.items()}
    best = process.extract(
        " ".join(search_words(text)), names, scorer=fuzz.partial_token_sort_ratio, score_cutoff=_NEAR_NAME
    )
    return [register[uai] for _, _, uai in best]


def _names(establishments: Sequence[Establishment]) -> str:
    return few([f"{e.uai} ({e.name})" if e.name else e.uai for e in establishments], _MOST_NAMED)
