"""The register of establishments, and their numbers (UAI)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from piactl.core.text import search_words
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


UAI_SHAPE = re.compile(r"([0-9]{7})([A-Z])")


def uai_letter(digits: str) -> str:
    """The key letter of seven digits."""
    return _LETTERS[int(digits) % 23]


def read_uai(text: str) -> tuple[str | None, str]:
    """`(uai, "")`, or `(None, reason)`; the reason gives the right letter if only the letter is wrong."""
    value = text.strip().upper()
    match = UAI_SHAPE.fullmatch(value)
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
