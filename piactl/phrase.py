"""A sentence for people: English text that keeps its form and values, so that it can be printed in another
language."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import reduce


class Phrase(str):
    """An English sentence, made of a form and its values: `Phrase("{uid} is locked", uid=uid)`.

    It is an ordinary string in English wherever it is compared, stored or read by programs. `form` is its
    `msgid` in the catalogue; piactl.translation prints it in another language. A value that is a Phrase is
    translated, too; others stay as they are. Without values the form is the sentence, braces and all.
    """

    form: str
    values: Mapping[str, object]
    plural = ""
    """The form of more than one, where `form` is that of one: see `counted`."""
    number = 1

    def __new__(cls, form: str, /, **values: object) -> Phrase:
        made = super().__new__(cls, form.format_map(values) if values else form)
        made.form = form
        made.values = values
        return made

    def __str__(self) -> str:
        return self  # so that the text of an exception is the Phrase that it was raised with


def joined(parts: Iterable[str], form: str = "{first}; {second}") -> str:
    """The parts as one sentence, two and two by a form of the catalogue; "" for none."""
    return reduce(lambda first, second: Phrase(form, first=first, second=second), [*parts] or [""])


def first_line(text: str) -> str:
    """The first line of a text, with its form if the lines were `joined`."""
    if isinstance(text, Phrase) and text.form == "{first}\n{second}":
        return first_line(str(text.values["first"]))
    return text.partition("\n")[0] if "\n" in text else text


def counted(number: int, singular: str, plural: str = "") -> Phrase:
    """`1 row`, `2 rows`. `plural` is needed if it is not the singular with an s, as in
    `counted(n, "guard is broken", "guards are broken")`. `singular` is the `msgid`."""
    plural = plural or singular + "s"
    noun = Phrase(singular if number == 1 else plural)
    noun.form, noun.plural, noun.number = singular, plural, number
    return Phrase("{number} {noun}", number=number, noun=noun)
