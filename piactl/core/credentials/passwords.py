"""Passwords: the activation password, for one log in and easy to dictate, and the rules for new passwords.

The rules follow the CNIL's recommendation of 2022 and ANSSI.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from piactl.core.model.keyed_digests import read_numen
from piactl.phrase import Phrase

ALPHABET = "2346789cfhkmprtwx"
"""Characters that are hard to confuse in handwriting and on the telephone, also in French: no 0 or o, 1 or l,
5 or s; of the letters that rhyme (b c d g p t v) only c, p and t. Without vowels no password is a word."""
GROUPS, LENGTH = 5, 4
"""Twenty characters of seventeen: 81 bits."""


class ActivationPassword:
    """A password that must not be shown: `str` and `repr` hide it, `reveal()` returns it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "ActivationPassword(***)"

    __str__ = __repr__


def new_activation_password(choose: Callable[[Sequence[str]], str]) -> ActivationPassword:
    """A new activation password. `choose` picks one item at random; it must be `secrets.choice` or as
    safe."""
    groups = ("".join(choose(ALPHABET) for _ in range(LENGTH)) for _ in range(GROUPS))
    return ActivationPassword("-".join(groups))


def valid_until(now: datetime, opens: datetime | None, hours: int) -> datetime:
    """When an activation password issued now expires. If the account opens later, the hours count from
    then."""
    begin = max(now, opens) if opens is not None else now
    return (begin + timedelta(hours=hours)).replace(microsecond=0)


COMMON = (
    "motdepasse", "password", "passw0rd", "azertyuiop", "azerty", "qwertyuiop", "qwerty", "qsdfghjklm",
    "wxcvbn", "bonjour", "soleil", "doudou", "loulou", "chouchou", "coucou", "jetaime", "iloveyou",
    "bienvenue", "welcome", "administrateur", "administrator", "admin", "intranet", "portail",
    "academie", "amiens", "picardie", "education", "rectorat", "college", "lycee", "ecole",
    "professeur", "marseille", "printemps", "automne", "hiver", "janvier", "fevrier", "juillet",
    "septembre", "octobre", "novembre", "decembre", "changeme", "secret", "dragon", "football",
    "abcdef", "letmein",
)  # fmt: skip
"""Words of common French and school passwords, without accents, longer words first."""

FEWEST = 5
"""The fewest different characters of a password."""
LEFT = 8
"""Characters that must be left of a password after its easily guessed parts are removed."""
_NUMEN = re.compile(r"[0-9]{2}[a-z][0-9]{2}[0-9]{5}[a-z]{3}")
_DATES = (
    re.compile(r"(?<!\d)(0[1-9]|[12]\d|3[01])[-/. ]?(0[1-9]|1[0-2])[-/. ]?(19[3-9]\d|20[0-2]\d)(?!\d)"),
    re.compile(r"(?<!\d)(19[3-9]\d|20[0-2]\d)[-/. ]?(0[1-9]|1[0-2])[-/. ]?(0[1-9]|[12]\d|3[01])(?!\d)"),
)
_RUN = re.compile(r"(.)\1{2,}")
_ROWS = ("01234567890", "09876543210", "abcdefghijklmnopqrstuvwxyz", "azertyuiop", "qsdfghjklm")


@dataclass(frozen=True, slots=True)
class Owner:
    """The person of the password: words it must not contain (names, identifiers), each with its
    description."""

    words: Collection[tuple[str, str]] = ()


def password_problems(password: str, minimum: int, owner: Owner = Owner()) -> list[str]:
    """Everything that is wrong with a password; empty if it is good. The messages never quote it."""
    return list(_problems(password, minimum, owner))


def _problems(password: str, minimum: int, owner: Owner) -> Iterator[str]:
    if len(password) < minimum:
        yield Phrase(
            "it has {number} characters; {minimum} are needed: four or five words make a good one",
            number=len(password),
            minimum=minimum,
        )
    if any(unicodedata.category(char) == "Cc" for char in password):
        yield Phrase("it holds a control character, which not every keyboard and form can send")
    elif password != password.strip():
        yield Phrase("it begins or ends with a blank, which forms cut off")
    low = folded(password)
    # any NUMEN, not only the owner's: to refuse only the owner's would confirm a guess
    if read_numen(password) is not None or _NUMEN.search(re.sub(r"[^a-z0-9]", "", low)):
        yield Phrase("it holds a NUMEN, which others know too")
    for pattern in _DATES:
        if pattern.search(low):
            yield Phrase("it holds a date, such as one of birth")
            break
    reasons = dict.fromkeys(reason for word, reason in owner.words if _holds(low, word))
    for reason in reasons:
        yield Phrase("it holds {reason}", reason=reason)
    if len(set(low)) < FEWEST:
        yield Phrase("it has fewer than {number} different characters", number=FEWEST)
    elif len(_uncommon(low)) < min(LEFT, minimum) <= len(password):
        yield Phrase("little is left of it without the commonest words, rows of keys, and numbers at the end")


def folded(text: str) -> str:
    """`text` in lower case, without accents."""
    plain = unicodedata.normalize("NFD", text.casefold())
    return "".join(char for char in plain if unicodedata.category(char) != "Mn")


def _holds(low: str, word: str) -> bool:
    word = folded(word)
    return len(word) >= 4 and word in low  # shorter words occur in others by chance


def _uncommon(low: str) -> str:
    """What is left without common words, repetitions, rows of keys, and digits or signs at the ends."""
    for word in COMMON:
        low = low.replace(word, "")
    low = _RUN.sub(r"\1", low)
    for row in _ROWS:
        for length in range(len(row), 3, -1):
            for start in range(len(row) - length + 1):
                low = low.replace(row[start : start + length], "")
    return low.strip("0123456789!?.,;:-_*+$ ")
