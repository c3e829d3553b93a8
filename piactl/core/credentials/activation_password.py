"""The activation password: a password for one log in, easy to dictate, and how long it is valid."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

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
