"""The register of establishments, and their numbers (UAI)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rapidfuzz import fuzz, process

from piactl.core.text import few, search_words
from piactl.phrase import Phrase


@dataclass(frozen=True, slots=True)
class Establishment:
    """One line of the establishment register; "" means no value."""

    uai: str
    name: str = ""
    nature: str = ""
    degree: str = ""
    sector: str = ""
    commune: str = ""
    telephone: str = ""


Register = Mapping[str, Establishment]
"""Establishments by UAI."""


_LETTERS = "ABCDEFGHJKLMNPRSTUVWXYZ"


_SHAPE = re.compile(r"([0-9]{7})([A-Z])")


def uai_letter(digits: str) -> str:
    """The key letter of seven digits."""
    return _LETTERS[int(digits) % 23]


def read_uai(text: str) -> tuple[str | None, str]:
    """`(uai, "")`, or `(None, reason)`; the reason gives the right letter if only the letter is wrong."""
    value = text.strip().upper()
    match = _SHAPE.fullmatch(value)
    if match is None:
        return None, Phrase(
            "{value} is not a UAI: expected seven digits and a letter, such as {example}",
            value=repr(value),
            example="0800009A",
        )
    digits, letter = match.groups()
    right = uai_letter(digits)
    if letter != right:
        return None, Phrase(
            "the key letter of UAI {value} is wrong: {right} would be right",
            value=value,
            right=digits + right,
        )
    return value, ""


def words_of(establishment: Establishment) -> list[str]:
    """The words by which an establishment is searched for."""
    e = establishment
    return [word for part in (e.uai, e.name, e.commune, e.telephone) for word in search_words(part)]


def establishments_named(register: Register, text: str) -> list[Establishment]:
    """The establishments in whose UAI, name, commune or telephone each word of the text begins a word; only
    those of exactly this name, if there are some."""
    words = search_words(text)
    found = [
        establishment
        for establishment in register.values()
        if words and all(any(own.startswith(word) for own in words_of(establishment)) for word in words)
    ]
    return [e for e in found if search_words(e.name) == words] or found


def read_establishment(text: str, register: Register) -> tuple[str | None, str]:
    """As `read_uai`, also for the name of an establishment of the register, or words that fit one alone."""
    uai, why = read_uai(text)
    if uai is not None or not text.strip() or _SHAPE.fullmatch(text.strip().upper()):
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
        " ".join(search_words(text)), names, scorer=fuzz.partial_token_sort_ratio, score_cutoff=_NEAR
    )
    return [register[uai] for _, _, uai in best]


def _names(establishments: Sequence[Establishment]) -> str:
    return few([f"{e.uai} ({e.name})" if e.name else e.uai for e in establishments], _MOST_NAMED)


_NEAR = 80
"""Of 100: one wrong letter in five is near, as in a name of a person."""
_MOST_NAMED = 5
