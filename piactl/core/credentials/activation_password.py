"""The activation password: a password for one log in, easy to dictate, and how long it is valid."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

ALPHABET = "2346789cfhkmprtwx"
"""Characters that differ clearly in handwriting and on the telephone, in French too: no 0 and o,
1 and l, 5 and s; of letters that rhyme (b c d g p t v) only c, p and t, whose spelling words are common;
and no vowel, so that none is a word."""
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
    """A new one; `choose` picks one of a sequence by chance that nobody can foresee (`secrets.choice`)."""
    groups = ("".join(choose(ALPHABET) for _ in range(LENGTH)) for _ in range(GROUPS))
    return ActivationPassword("-".join(groups))


def valid_until(now: datetime, opens: datetime | None, hours: int) -> datetime:
    """When an activation password of now ends: its hours begin when the account opens, if that is later."""
    begin = max(now, opens) if opens is not None else now
    return (begin + timedelta(hours=hours)).replace(microsecond=0)
