"""The language of texts for people.

Code makes every sentence in English, and plans, journals and the records of the directory keep it in English.
It is translated when a person sees it. So a night of another day or host can be read in French too, and what
programs read never changes. The catalogue is piactl/locale/fr/LC_MESSAGES/piactl.po. Its `msgid` is the form
of a sentence, with a placeholder for each value; see `_KINDS`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from functools import cached_property, lru_cache
from importlib.resources import files
from pathlib import Path

import polib

from piactl.phrase import Phrase

_PLACEHOLDER = re.compile(r"\{([a-z]+)[0-9]*\}")
_KINDS = {
    "day": r"[0-9]{4}-[0-9]{2}-[0-9]{2}",
    "number": r"[0-9]+",
    "word": r"[^\s;]+",
    "names": r"(?:(?!; ).)+?",
    "text": r".+?",
    "said": r".+?",
}
"""The values that a placeholder matches: a day, a number, a word without blanks, text without `; `, any text,
and any text that stays as it is because somebody typed it. Values of `names` and `text` are translated, too.
A digit after the name makes another placeholder of the same kind."""
_AT_END = "()"
_JOINTS = ("\n", "; ", _AT_END, ": ", ", ", "", " (", " [", " and ", " or ")
"""Where a sentence without a form of its own is split, the loosest joint first. _AT_END: brackets at its end.
At "" it is not split: the forms that contain no joint are tried."""
_BRACKETS = (" (", " [")
_MOST = 100
"""A text with more joints is not a sentence: somebody made it to slow piactl down."""
_COLUMNS = re.compile(r"( {2,})")


def _closing(text: str, position: int) -> int:
    """Where the bracket at this place ends; the end of the text if it does not."""
    depth = 0
    for place in range(position, len(text)):
        depth += (text[place] in "([") - (text[place] in ")]")
        if depth == 0:
            return place
    return len(text)


def _opening(text: str) -> int:
    """The place of the bracket, after a blank, that closes at the end of the text; 0 if there is none."""
    if not text.endswith((")", "]")):
        return 0
    depth = 0
    for place in range(len(text) - 1, 0, -1):
        depth += (text[place] in ")]") - (text[place] in "([")
        if depth == 0:
            return place if text[place - 1] == " " else 0
    return 0


def _outside(text: str, joint: str) -> int:
    """The first place of a joint outside brackets; -1 if there is none."""
    position = text.find(joint)
    opened = min((place for place in map(text.find, "([") if place >= 0), default=-1)
    while 0 <= opened < position:
        after = _closing(text, opened) + 1
        position = text.find(joint, after)
        opened = min((place for place in (text.find(sign, after) for sign in "([") if place >= 0), default=-1)
    return position


class _Form:
    """A sentence of the catalogue that has placeholders."""

    def __init__(self, english: str, other: str) -> None:
        pieces = _PLACEHOLDER.split(english)
        self.literals = pieces[::2]
        self.rare = max(self.literals, key=len)
        self.other = other
        self._english = english

    @cached_property
    def joint(self) -> str:
        """The loosest joint that the form contains: it is tried before a sentence is split there. Since ": "
        is in many sentences, a form that begins with words of its own is tried there too."""
        for joint in ("\n", "; "):
            if any(joint in literal for literal in self.literals):
                return joint
        if self.literals[-1].endswith((")", "]")):
            return _AT_END
        if self.literals[0] or any(": " in literal for literal in self.literals):
            return ": "
        return ", " if any(", " in literal for literal in self.literals) else ""

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        seen: set[str] = set()

        def group(match: re.Match[str]) -> str:
            name = match[0][1:-1]
            if name in seen:
                return f"(?P={name})"
            seen.add(name)
            return f"(?P<{name}>{_KINDS[match[1]]})"

        parts, position = [], 0
        for placeholder in _PLACEHOLDER.finditer(self._english):
            parts += [re.escape(self._english[position : placeholder.start()]), group(placeholder)]
            position = placeholder.end()
        return re.compile("".join([*parts, re.escape(self._english[position:])]), re.DOTALL)

    def values(self, text: str) -> Mapping[str, str] | None:
        if self.rare not in text:
            return None
        match = self._pattern.fullmatch(text)
        return match.groupdict() if match else None


_ENGLISH = (
    r"(?<![\w-])(?:the|is|are|was|were|been|of|and|or|not|until|since|from|by|at|to|with|has|have|its|it|that|"
    r"which|this|these|another|nothing|no|be|as|for)(?![\w-])"
)
"""Words that show that a sentence is English; they are rare in French and in names. Options are not words.
Compiled at its first use."""


class Catalogue:
    """The sentences of one language. `entries` are pairs of an English sentence and its translation."""

    def __init__(self, entries: Iterable[tuple[str, str]]) -> None:
        self._whole: dict[str, str] = {}
        forms = []
        for english, other in entries:
            if _PLACEHOLDER.search(english):
                forms.append(_Form(english, other))
            else:
                self._whole[english] = other
        # the form with the most words of its own fits best
        forms.sort(key=lambda form: -sum(map(len, form.literals)))
        self._forms = {joint: [form for form in forms if form.joint == joint] for joint in _JOINTS}
        self.sentence = lru_cache(maxsize=20_000)(self._sentence)

    def _sentence(self, text: str) -> str:
        """A sentence in the other language; parts that are not known stay as they are."""
        entry = self._whole.get(text)
        if entry is not None:
            return entry
        if " " not in text or not any(map(str.isalpha, text)):
            return text
        if text.endswith(";"):
            return f"{self.sentence(text[:-1])} ;"
        for joint, forms in self._forms.items():
            translation = self._by_form(text, forms)
            if translation is None and joint in ("; ", _AT_END):
                translation = self._behind_names(text, forms)
            if translation is None:
                translation = self._apart(text, joint)
            if translation is not None:
                return translation
        return text

    def _by_form(self, text: str, forms: Iterable[_Form]) -> str | None:
        for form in forms:
            values = form.values(text)
            if values is not None:
                translations = {name: self._value(name, value) for name, value in values.items()}
                return form.other.format_map(translations)
        return None

    def _behind_names(self, text: str, forms: Iterable[_Form]) -> str | None:
        """Translates `claire.dubreuil: applied: SENTENCE`; None if none of the forms fits the sentence."""
        for joint in re.finditer(": ", text):
            translation = self._by_form(text[joint.end() :], forms)
            if translation is not None:
                return f"{self.sentence(text[: joint.start()])} : {translation}"
        return None

    def _value(self, name: str, value: str) -> str:
        return self.sentence(value) if name.rstrip("0123456789") in ("names", "text") else value

    def _apart(self, text: str, joint: str) -> str | None:
        """The text with each part translated on its own; None if it has no such joint or no part is known."""
        if joint == _AT_END:
            return self._in_brackets(text, _opening(text))
        if joint in _BRACKETS:
            return self._in_brackets(text, text.find(joint) + 1)
        position = _outside(text, joint) if joint else -1
        if position < 0:
            return None
        parts = [text[:position], text[position + len(joint) :]]
        translations = [self.sentence(part) for part in parts]
        if joint == ": " and " " not in parts[0]:  # a uid, a file, a word that somebody typed
            translations[0] = parts[0]
        # French has a blank before these signs; a text that is already French has it
        if joint in ("; ", ": "):
            translations[0] = translations[0].rstrip(" ")
        other = {"; ": " ; ", ": ": " : ", " and ": " et ", " or ": " ou "}.get(joint, joint)
        return other.join(translations) if translations != parts else None

    def _in_brackets(self, text: str, position: int) -> str | None:
        """Translates the text before, in and after the brackets that open at this place; 0: there are
        none."""
        if position <= 0:
            return None
        end = _closing(text, position)
        parts = [text[: position - 1], text[position + 1 : end], text[end + 1 :]]
        before, inside, after = translations = [self.sentence(part) for part in parts]
        return (
            f"{before} {text[position]}{inside}{text[end : end + 1]}{after}"
            if translations != parts
            else None
        )

    def whole(self, text: str) -> str:
        """A sentence in the other language; as it is if a part is not known, so that no sentence mixes two
        languages."""
        if sum(map(text.count, filter(None, _JOINTS))) > _MOST:
            return text
        translation = self.sentence(text)
        return text if re.search(_ENGLISH, translation) else translation

    def text(self, text: str) -> str:
        """Translates lines for people. Columns stay where they were as far as there is room."""
        return "\n".join(map(self._line, text.split("\n")))

    def _line(self, line: str) -> str:
        body = line.lstrip(" ")
        if not body:
            return line
        pieces = _COLUMNS.split(body)
        out, moved = [line[: len(line) - len(body)]], 0
        for piece, gap in zip(pieces[::2], [*pieces[1::2], ""], strict=True):
            translation = self.whole(piece)
            moved += len(translation) - len(piece)
            room = max(2, len(gap) - moved) if gap else 0
            moved += room - len(gap)
            out += [translation, " " * room]
        return "".join(out)


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
def _catalogue() -> Catalogue:
    content = files("piactl").joinpath("locale/fr/LC_MESSAGES/piactl.po").read_text(encoding="utf-8")
    return Catalogue((entry.msgid, entry.msgstr) for entry in polib.pofile(content) if entry.msgstr)


@lru_cache(maxsize=1)
def _phrases() -> Mapping[str, tuple[str, ...]]:
    forms: dict[str, tuple[str, ...]] = {}
    for file in sorted(Path(str(files("piactl").joinpath("locale/fr/LC_MESSAGES"))).glob("phrases*.po")):
        for e in polib.pofile(file.read_text(encoding="utf-8")):
            forms[e.msgid] = (*e.msgstr_plural.values(),) or (e.msgstr,)
    return forms


def _of_phrase(phrase: Phrase) -> str:
    forms = _phrases().get(phrase.form) or (phrase.form, phrase.plural)
    if not forms[0]:
        return phrase
    form = forms[-1] if phrase.number > 1 and phrase.plural else forms[0]
    values = {name: _of_value(value) for name, value in phrase.values.items()}
    return form.format_map(values) if values else form


def _of_value(value: object) -> object:
    if isinstance(value, Phrase):
        return _of_phrase(value)
    return recognised(value) if isinstance(value, str) else value


def recognised(text: str) -> str:
    translation = _catalogue().whole(text)
    if (path := os.environ.get("PIACTL_FR_LOG")) and translation != text:
        import json
        import sys

        frame, where = sys._getframe(1), []
        while frame and len(where) < 8:
            where.append(f"{frame.f_code.co_filename.rpartition('/piactl/')[2]}:{frame.f_lineno}")
            frame = frame.f_back
        with open(f"{path}.{os.getpid()}", "a") as file:  # noqa: PTH123
            file.write(json.dumps([text, translation, where], ensure_ascii=False) + "\n")
    return translation


def translated(text: str) -> str:
    """A text for people, of one or more lines, in the language of the process."""
    if _used == "en" and not os.environ.get("PIACTL_FR_LOG"):
        return text
    if isinstance(text, Phrase):
        translation = _of_phrase(text)
    else:
        translation = _catalogue().text(text)
        if translation != text:
            [recognised(line) for line in text.split("\n")]
    return translation if _used == "fr" else text


def word(text: str) -> str:
    """A heading of a table or a code in a cell (`active`, `yes`), in the language of the process."""
    return in_french(text) if _used == "fr" else text


def in_french(text: str) -> str:
    """A sentence or a word in French, whatever the language of the process, for pages that have French
    readers."""
    if not isinstance(text, Phrase) and text in _phrases():
        text = Phrase(text)
    return _of_phrase(text) if isinstance(text, Phrase) else recognised(text)


def sentence(text: str) -> str:
    """One sentence, or one cell of a table, in the language of the process."""
    if _used == "en" and not os.environ.get("PIACTL_FR_LOG"):
        return text
    translation = _of_phrase(text) if isinstance(text, Phrase) else recognised(text)
    return translation if _used == "fr" else text
