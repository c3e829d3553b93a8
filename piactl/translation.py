"""The language of texts for people, by gettext, at the place where a text is printed.

Code makes sentences as Phrases, which are English text for all programs: what is stored and what `-o json`
prints never changes. The catalogue is piactl/locale/fr/LC_MESSAGES/piactl.po; piactl.mo is compiled from it
(see CONTRIBUTING.md).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from datetime import date
from functools import lru_cache
from gettext import GNUTranslations, translation
from importlib.resources import files

from piactl.core.text import search_words
from piactl.phrase import Phrase

_used = "en"


def use(language: str) -> None:
    """From now on texts for people are in this language: en, fr, or "" for the language of the
    environment."""
    global _used
    _used = language or _of_environment()


def used() -> str:
    return _used


def _of_environment() -> str:
    names = ("LC_ALL", "LC_MESSAGES", "LANG")
    locale = next((value for value in map(os.environ.get, names) if value), "")
    return "fr" if locale.partition("_")[0].partition(".")[0].lower() == "fr" else "en"


@lru_cache(maxsize=1)
def _french() -> GNUTranslations:
    return translation("piactl", str(files("piactl").joinpath("locale")), ["fr"])


def translate(text: str) -> str:
    """A Phrase, a day or an instant in the language of the process. Other text stays as it is."""
    if _used != "fr":
        return text
    return in_french(text) if isinstance(text, Phrase) else str(_french_value(text))


def translate_word(text: str) -> str:
    """A heading of a table or a code in a cell (`active`, `yes`), in the language of the process."""
    return in_french(text) if _used == "fr" else text


def read_word(text: str, words: Iterable[str]) -> str:
    """The one of `words` that somebody typed: itself, or in French, as tables show it, whatever its case,
    accents and hyphens. A text that means none of them, or two, stays as it is."""
    words = [*words]
    plain = search_words(text)
    meant = [word for word in words if search_words(in_french(word)) == plain]
    return meant[0] if text not in words and len(meant) == 1 else text


TYPED = "reason"
"""The value of a sentence, and the column of a table, that somebody typed, or that is a Phrase."""

_TIME = r"[ T](\d\d:\d\d(?::\d\d)?)(?:\.\d+)?(\+00:00|Z)?"
_DAY = re.compile(rf"(\d{{4}})-(\d\d)-(\d\d)(?:{_TIME})?")


def _french_value(value: object) -> object:
    """A value of a sentence: `31/12/2026` for a day, `31/12/2026 09:30:00 UTC` for an instant."""
    if isinstance(value, Phrase):
        return in_french(value)
    match = _DAY.fullmatch(str(value)) if isinstance(value, str | date) else None
    if match is None:
        return value
    year, month, day, time, utc = match.groups()
    return f"{day}/{month}/{year}" + (f" {time}" if time else "") + (" UTC" if utc else "")


def in_french(text: str) -> str:
    """A Phrase or a word in French, whatever the language of the process, for pages that have French
    readers."""
    phrase = text if isinstance(text, Phrase) else Phrase(text)
    if not phrase.form:
        return text
    if phrase.plural:
        return _french().ngettext(phrase.form, phrase.plural, phrase.number)
    values = {
        name: value if name == TYPED and not isinstance(value, Phrase) else _french_value(value)
        for name, value in phrase.values.items()
    }
    form = _french().gettext(phrase.form)
    if form == phrase.form:  # it may be the singular of a noun
        form = _french().ngettext(form, form, 1)
    return form.format_map(values) if values else form
