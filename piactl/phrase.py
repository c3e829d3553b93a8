"""A sentence for people: English text that keeps its form and values, so that it can be printed in another
language."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import reduce
from typing import Any


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


FORMS = "forms"
"""The key of the forms and values of the sentences of a JSON object, by their keys in it."""


def keep_forms(facts: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """The JSON object with the forms and values of these sentences of it, which are one Phrase or a list of
    them. A sentence without values is its own form."""
    forms = {name: kept for name in names if (kept := _kept(facts.get(name)))}
    return {**facts, FORMS: forms} if forms else facts


def _kept(sentences: object) -> object:
    if isinstance(sentences, (list, tuple)):
        each = [_kept(sentence) for sentence in sentences]
        return each if any(each) else None
    return _facts(sentences) if isinstance(sentences, Phrase) and sentences.values else None


def _facts(phrase: Phrase) -> dict[str, Any]:
    values = {name: _facts(v) if isinstance(v, Phrase) else v for name, v in phrase.values.items()}
    values = {n: v if isinstance(v, (dict, str, int, float)) else str(v) for n, v in values.items()}
    plural = {"plural": phrase.plural, "number": phrase.number} if phrase.plural else {}
    return {"form": phrase.form, **({"values": values} if values else {}), **plural}


def with_phrases(facts: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """The JSON object without its forms, and with these sentences as Phrases. One whose form and values are
    missing or do not give it stays as it is, in English."""
    forms = facts.get(FORMS) or {}
    restored = {name: _restored(facts[name], forms.get(name)) for name in names if name in facts}
    return {name: value for name, value in {**facts, **restored}.items() if name != FORMS}


def _restored(sentences: Any, kept: Any) -> Any:
    if isinstance(sentences, (list, tuple)):
        each = kept if isinstance(kept, list) and len(kept) == len(sentences) else [None] * len(sentences)
        return [_restored(sentence, one) for sentence, one in zip(sentences, each, strict=True)]
    if not isinstance(sentences, str):
        return sentences
    try:
        phrase = _phrase(kept) if kept else Phrase(sentences)
    except (LookupError, TypeError, ValueError, AttributeError):
        return Phrase(sentences)
    return phrase if phrase == sentences else Phrase(sentences)


def _phrase(kept: Mapping[str, Any]) -> Phrase:
    values = kept.get("values", {})
    made = Phrase(kept["form"], **{n: _phrase(v) if isinstance(v, dict) else v for n, v in values.items()})
    if plural := kept.get("plural"):
        number = int(kept["number"])
        made = Phrase(kept["form"] if number == 1 else plural)
        made.form, made.plural, made.number = kept["form"], plural, number
    return made
