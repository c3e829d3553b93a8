"""A sentence for people: English text that keeps its form and values, so that it can be printed in another
language."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from string import Formatter
from typing import Any


class Phrase(str):
    """An English sentence, made of a form and its values: `Phrase("{uid} is locked", uid=uid)`.

    It is an ordinary string in English wherever it is compared, stored or read by programs. `form` is its
    `msgid` in the catalogue; piactl.translation prints it in another language. A value that is a Phrase is
    translated, too; others stay as they are. Without values the form is the sentence, braces and all.
    """

    __slots__ = ("form", "number", "plural", "values")

    form: str
    values: Mapping[str, object]
    plural: str
    """The form of more than one, where `form` is that of one, and the number: see `counted`."""
    number: int

    def __new__(cls, form: str, /, **values: object) -> Phrase:
        made = super().__new__(cls, form.format_map(values) if values else form)
        made.form, made.values = form, values
        made.plural, made.number = "", 1
        return made

    def __str__(self) -> str:
        return self  # so that the text of an exception is the Phrase that it was raised with


_BOTH = Phrase("{first}; {second}")


def joined(parts: Iterable[str], form: str = _BOTH) -> str:
    """The parts as one sentence, two and two by a form of the catalogue; "" for none."""
    left = [*parts] or [""]
    while len(left) > 1:  # by halves: of a thousand parts, the last one is ten deep
        pairs = [Phrase(form, first=a, second=b) for a, b in zip(left[::2], left[1::2], strict=False)]
        left = [*pairs, *left[2 * len(pairs) :]]
    return left[0]


def first_line(text: str) -> str:
    """The first line of a text, with its form if the lines were `joined`."""
    if isinstance(text, Phrase) and text.form == "{first}\n{second}":
        return first_line(str(text.values["first"]))
    return text.partition("\n")[0] if "\n" in text else text


def counted(number: int, singular: str, plural: str) -> Phrase:
    """`1 row`, `2 rows`; `singular` and `plural` are the `msgid` and the `msgid_plural` of the noun."""
    return Phrase("{number} {noun}", number=number, noun=_noun(singular, plural, number))


def _noun(singular: str, plural: str, number: int) -> Phrase:
    noun = Phrase(singular if number == 1 else plural)
    noun.form, noun.plural, noun.number = singular, plural, number
    return noun


FORMS = "forms"
"""The key of the forms and values of the sentences of a JSON object, by their keys in it."""


def keep_forms(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON object with the forms and values of those of its texts that are Phrases, in its lists and
    objects, too. A Phrase without values is its own form: `true`."""
    forms = {name: kept for name, text in facts.items() if (kept := _kept(text))}
    return {**facts, FORMS: forms} if forms else {**facts}


def _kept(sentences: object) -> object:
    if isinstance(sentences, (list, tuple)):
        each = [_kept(sentence) for sentence in sentences]
        return each if any(each) else None
    if isinstance(sentences, Mapping):
        if FORMS in sentences:
            return None  # it has its own
        return {name: kept for name, one in sentences.items() if (kept := _kept(one))}
    if not isinstance(sentences, Phrase):
        return None
    return True if sentences == sentences.form else _facts(sentences)


def _facts(phrase: Phrase) -> list[Any]:
    """`[form, {name: value}]`, and the plural and the number of a counted noun."""
    plain = {n: v if isinstance(v, (str, int, float)) else str(v) for n, v in phrase.values.items()}
    used = {name for _, name, _, _ in Formatter().parse(phrase.form) if name} & plain.keys()
    values = {n: _facts(v) if isinstance(v, Phrase) else v for n, v in plain.items() if n in used}
    plural = [phrase.plural, phrase.number] if phrase.plural else []
    return [phrase.form, values, *plural]


def with_phrases(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON object without its forms, and with those of its texts as Phrases that were Phrases. One whose
    form and values do not give it stays as it is, in English."""
    forms = facts.get(FORMS)
    if not isinstance(forms, dict):
        return {**facts}
    restored = {name: _restored(facts[name], kept) for name, kept in forms.items() if name in facts}
    return {name: value for name, value in {**facts, **restored}.items() if name != FORMS}


def _restored(sentences: Any, kept: Any) -> Any:
    if isinstance(sentences, (list, tuple)):
        each = kept if isinstance(kept, list) and len(kept) == len(sentences) else [None] * len(sentences)
        return [_restored(sentence, one) for sentence, one in zip(sentences, each, strict=True)]
    if isinstance(sentences, Mapping) and isinstance(kept, Mapping):
        return {**sentences, **{n: _restored(sentences[n], one) for n, one in kept.items() if n in sentences}}
    if not isinstance(sentences, str) or not kept:
        return sentences
    try:
        phrase = Phrase(sentences) if kept is True else _phrase(*kept)
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError):
        return sentences
    return phrase if phrase == sentences else sentences


def _phrase(form: str, values: Mapping[str, Any], *plural: Any) -> Phrase:
    if plural:
        return _noun(form, *plural)
    return Phrase(form, **{n: _phrase(*v) if isinstance(v, list) else v for n, v in values.items()})
