"""The language of texts for people, by gettext, at the place where a text is printed.

Code makes sentences as Phrases, which are English text for all programs: what is stored and what `-o json`
prints never changes. The catalogue is piactl/locale/fr/LC_MESSAGES/piactl.po; piactl.mo is compiled from it
(see CONTRIBUTING.md).
"""

from __future__ import annotations

import os
from functools import lru_cache
from gettext import GNUTranslations, translation
from importlib.resources import files

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
    """A Phrase in the language of the process. Other text stays as it is."""
    return in_french(text) if _used == "fr" and isinstance(text, Phrase) else text


def translate_word(text: str) -> str:
    """A heading of a table or a code in a cell (`active`, `yes`), in the language of the process."""
    return in_french(text) if _used == "fr" else text


def in_french(text: str) -> str:
    """A Phrase or a word in French, whatever the language of the process, for pages that have French
    readers."""
    phrase = text if isinstance(text, Phrase) else Phrase(text)
    if not phrase.form:
        return text
    if phrase.plural:
        return _french().ngettext(phrase.form, phrase.plural, phrase.number)
    values = {name: in_french(v) if isinstance(v, Phrase) else v for name, v in phrase.values.items()}
    form = _french().gettext(phrase.form)
    if form == phrase.form:  # it may be the singular of a noun
        form = _french().ngettext(form, form, 1)
    return form.format_map(values) if values else form
