"""Reads a file that people write as the types that define it: the one walk over types and YAML nodes.

It reports every mistake once, in plain words and with its place. A mistyped key is read as the key that is
probably meant, so what is below it and what refers to it is no mistake, too. `core/model/field_notes.py`
has the notes of the types; messages show their texts after "expected".
"""

from __future__ import annotations

import re
import types
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from functools import cache
from pathlib import Path
from typing import Annotated, Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from piactl.config.nearest_word import hint, nearest
from piactl.config.strict_yaml import Document, Node, Unclear, quoted, read_document
from piactl.core.model.field_notes import (
    Bounds,
    Key,
    Mark,
    Names,
    Needs,
    NotBeside,
    Only,
    Section,
    Spread,
    Text,
    Unfit,
    Usually,
    Words,
    WrittenAs,
)
from piactl.core.model.settings import CREDENTIAL
from piactl.phrase import Phrase, joined

T = TypeVar("T")

WRONG: Any = object()
"""In place of a value that has a mistake."""
_REMOVED = ("drift_days", "journal_heads", "page_size", "user")
"""Keys of version 0.2.0 that are gone."""
_SURELY = 75
"""How near a mistyped key must be to be read as the key that is probably meant."""
_FEW = 5
"""Of more words a message shows a sorted list."""
_YES = ("yes", "on", "y", "True", "TRUE", "Yes", "On", "YES", "ON")
_NO = ("no", "off", "n", "False", "FALSE", "No", "Off", "NO", "OFF")


class Kind:
    """A type hint, taken apart: the `type` without notes and None, and the `form` that stands in the file.
    `item` is the kind of the members of a list or of the values of a mapping, `key` that of free keys."""

    def __init__(self, hint: Any, expected: str = "") -> None:
        notes: tuple[Any, ...] = ()
        while get_origin(hint) in (Annotated, Union, types.UnionType):
            if get_origin(hint) is Annotated:
                notes = (*hint.__metadata__, *notes)
                hint = hint.__origin__
            else:
                hint = next(choice for choice in get_args(hint) if choice is not type(None))
        self.notes: dict[Any, Any] = {note if isinstance(note, Mark) else type(note): note for note in notes}
        said = [n if isinstance(n, str) else getattr(n, "expected", "") for n in notes]
        self.expected: str = expected or next((text for text in reversed(said) if text), "")
        self.type = get_origin(hint) or hint
        written = self.notes.get(WrittenAs) or self.notes.get(Spread)
        self.form: Any = written.form if written else self.type
        self.key = self.item = None
        if self.form is Mapping or (self.form in (tuple, frozenset) and Text not in self.notes):
            *free, item = (argument for argument in get_args(hint) if argument is not ...)
            self.item = Kind(item)
            named = _hints(cast(Any, self.item.form)).values() if is_dataclass(self.item.form) else ()
            self.key = next(
                (kind for kind in named if Mark.NAME in kind.notes), Kind(free[0]) if free else None
            )


@cache
def _hints(form: Any) -> dict[str, Kind]:
    return {name: Kind(hint) for name, hint in get_type_hints(form, include_extras=True).items()}


@dataclass(frozen=True)
class Slot:
    """A key of a mapping: the field of its class, and what may stand there."""

    field: str
    kind: Kind
    required: bool
    default: Any


@dataclass(frozen=True)
class Group:
    """A key of a mapping that holds fields of the same class."""

    expected: str
    keys: dict[str, Slot]


@cache
def keys_of(form: Any) -> dict[str, Slot | Group]:
    """The keys of a mapping that is written as this class."""
    keys: dict[str, Any] = {}
    for field in fields(form):
        kind = _hints(form)[field.name]
        if not field.init or any(mark in kind.notes for mark in Mark if mark.is_no_key):
            continue
        key, section = kind.notes.get(Key), kind.notes.get(Section)
        place = keys.setdefault(section.key, Group(section.expected, {})).keys if section else keys
        needed = field.default is MISSING and field.default_factory is MISSING
        slot = Slot(field.name, kind, needed or Mark.REQUIRED in kind.notes, field.default)
        place[key.key if key else field.name] = slot
    return keys


def matches(pattern: str, text: str) -> bool:
    """Whether an ECMA pattern matches in a text: `$` is the end, not the place before a last newline."""
    return re.search(re.sub(r"\$$", r"\\Z", pattern), text) is not None


def read_typed(path: Path, form: type[T], name: str) -> tuple[T, Document]:
    """The value in a file, and its document for further checks and for its mistakes: the value counts only if
    `document.refuse_mistakes` finds none. Raises ConfigurationInvalid if the file has no such document;
    `name` is what the file should be."""
    keys = keys_of(cast(Any, form))
    required = [key for key, slot in keys.items() if isinstance(slot, Slot) and slot.required]
    document = read_document(path, name, required)
    walk = _Walk(document, path.absolute())
    value = walk.value(document.root, Kind(form, Phrase("a mapping that begins with `version: 1`")), "")
    walk.check_names(form)
    return value, document


class _Walk:
    """One reading of the document of a file. Relative paths start at its folder."""

    def __init__(self, document: Document, file: Path) -> None:
        self.document = document
        self.file = file
        self.names: dict[tuple[Names, str], list[tuple[Node, str]]] = {}

    def value(self, node: Node, kind: Kind, label: str, name: str = "", key_line: int = 0) -> Any:
        words, alone = kind.notes.get(Words), Mark.ONE_OR_LIST in kind.notes
        if node.value is None:
            return self._mistake(
                node,
                label,
                Phrase("the value is missing; expected {expected}", expected=Phrase(kind.expected)),
            )
        if words and isinstance(node.value, str):
            return self._word(node, kind, dict(words.meanings), label)
        if alone and node.value != "" and not isinstance(node.value, list | dict):
            value = self.value(node, kind.item, label) if kind.item else WRONG
            return value if value is WRONG else kind.type([value])
        form = dict if kind.key or is_dataclass(kind.form) else list if kind.item else None
        if form and (not isinstance(node.value, form) or (Mark.FILLED in kind.notes and not node.value)):
            return self._unexpected(node, kind, label)
        if kind.key and kind.item:
            return self._entries(node, kind, kind.key, kind.item, label)
        if kind.item:
            return self._items(node, kind, kind.item, label)
        if form:
            return self._object(node, kind.form, kind, label, {Mark.NAME: name, Mark.KEY_LINE: key_line})
        if kind.form in (bool, int, float, dict):
            return self._plain(node, kind, label)
        return self._text(node, kind, kind.notes.get(Text) or Text(""), label)

    def _mistake(self, node: Node, label: str, message: str) -> Any:
        self.document.mistake(node, Phrase("{name}: {text}", name=label or Phrase("the file"), text=message))
        return WRONG

    def _unexpected(self, node: Node, kind: Kind, label: str) -> Any:
        return self._mistake(
            node,
            label,
            Phrase("expected {expected}, found {found}", expected=Phrase(kind.expected), found=quoted(node)),
        )

    def _word(self, node: Node, kind: Kind, meanings: Mapping[str, Any], label: str) -> Any:
        if node.value in meanings:
            return meanings[node.text()]
        advice = hint(node.text(), meanings)
        if not advice.startswith("did you mean") and len(meanings) <= _FEW:
            advice = Phrase("expected {expected}", expected=Phrase(kind.expected))
        return self._mistake(
            node, label, Phrase("{found} is not valid; {advice}", found=quoted(node), advice=advice)
        )

    def _plain(self, node: Node, kind: Kind, label: str) -> Any:
        value, only, bounds = node.value, kind.notes.get(Only), kind.notes.get(Bounds)
        if kind.form is bool and node.raw in _YES + _NO and not isinstance(value, bool):
            said = "true" if node.raw in _YES else "false"
            return self._mistake(
                node, label, Phrase("write {said}, not {found}", said=said, found=quoted(node))
            )
        fits = isinstance(value, bool) == (kind.form is bool)
        fits = fits and isinstance(value, (int, float) if kind.form is float else kind.form)
        if not fits or (only and value != only.value) or (bounds and not bounds.include(value)):
            return self._unexpected(node, kind, label)
        return value

    def _text(self, node: Node, kind: Kind, text: Text, label: str) -> Any:
        unclear = node.plain and isinstance(node.value, int | float | Unclear)
        if unclear and matches(text.pattern, node.raw):
            wrong = (
                Phrase('code {raw} must be quoted: "{raw}"', raw=node.raw)
                if node.raw[:1].isdigit()
                else Phrase('{raw} must be quoted: "{raw}"', raw=node.raw)
            )
            return self._mistake(node, label, wrong)
        if not isinstance(node.value, str) or not matches(text.pattern, node.value):
            return self._unexpected(node, kind, label)
        names = kind.notes.get(Names)
        if names:
            self.names.setdefault((names, node.value), []).append((node, label))
        try:
            value = text.read(node.value)
        except Unfit as unfit:
            return self._mistake(node, label, unfit.of(quoted(node)))
        relative = Mark.PATH in kind.notes and not value.startswith(CREDENTIAL)
        return str(self.file.parent / value) if relative else value

    def _items(self, node: Node, kind: Kind, item: Kind, label: str) -> Any:
        values = [self.value(child, item, label) for child in node.items()]
        if WRONG in values:
            return WRONG
        if Mark.UNIQUE in kind.notes and len(set(values)) < len(values):
            return self._mistake(node, label, Phrase("a value appears twice in this list; keep one"))
        return kind.type(values)

    def _entries(self, node: Node, kind: Kind, key_kind: Kind, item: Kind, label: str) -> Any:
        """A mapping with free keys: a dict, or a tuple of values that hold their key."""
        words, pattern = key_kind.notes.get(Words), (key_kind.notes.get(Text) or Text("")).pattern
        values = {}
        for key, child in node.entries():
            known = dict(words.meanings) if words else {key: key}
            if key not in known or not matches(pattern, key):
                advice = (
                    hint(key, known)
                    if words
                    else Phrase("expected {expected}", expected=Phrase(key_kind.expected))
                )
                self._key_mistake(
                    node,
                    key,
                    Phrase(
                        "{key} is not allowed as a key in {label}; {advice}",
                        key=key,
                        label=label,
                        advice=advice,
                    ),
                )
            values[key] = self.value(child, item, f"{label}.{key}", key, node.key_places[key][0])
        if WRONG in values.values():
            return WRONG
        return values if kind.type is Mapping else kind.type(values.values())

    def _object(self, node: Node, form: Any, kind: Kind, label: str, own: dict[Mark, Any]) -> Any:
        """A mapping with the keys of a class, as a value of the class."""
        given: dict[str, Any] = {}
        self._keys(node, keys_of(form), label, given)
        if WRONG in given.values():
            return WRONG
        own |= {Mark.LINE: node.line, Mark.GIVEN: frozenset(given), Mark.FILE: str(self.file)}
        own[Mark.KEY_LINE] = own[Mark.KEY_LINE] or node.line
        hints = _hints(form)
        marked = {f: own[mark] for f, field_kind in hints.items() for mark in own if mark in field_kind.notes}
        value = form(**given, **marked)
        usual = {f: k.notes.get(Usually) for f, k in hints.items() if f not in given}
        late = {f: usually.make(getattr(value, usually.field)) for f, usually in usual.items() if usually}
        value = replace(value, **late) if late else value
        return value if form is kind.type else value.value()

    def _keys(self, node: Node, keys: Mapping[str, Any], label: str, given: dict[str, Any]) -> None:
        present = self._present(node, keys, label)
        where = Phrase(" in {label}", label=label) if label else ""
        for key, slot in keys.items():
            inner, child = f"{label}.{key}" if label else key, present.get(key)
            if isinstance(slot, Group):
                if child is not None and isinstance(child.value, dict):
                    self._keys(child, slot.keys, inner, given)
                elif child is not None:
                    given[key] = self.value(child, Kind(dict, slot.expected), inner)
                continue
            spread, needs, beside = (slot.kind.notes.get(note) for note in (Spread, Needs, NotBeside))
            if child is not None:
                value = self.value(child, slot.kind, inner, key_line=node.key_places[key][0])
                given.update(value if spread and value is not WRONG else {slot.field: value})
            elif slot.required:
                given[slot.field] = WRONG
                self.document.mistake(
                    node,
                    Phrase(
                        "{key} is missing{where}; expected {expected}",
                        key=key,
                        where=where,
                        expected=Phrase(slot.kind.expected),
                    ),
                )
            elif spread:
                given.update(spread.form().value())
            if child is not None and needs and not present.keys() & set(needs.keys):
                lacking = needs.keys[0]
                expected = Phrase(keys[lacking].kind.expected)
                self.document.mistake(
                    node,
                    Phrase(
                        "{lacking} is missing{where}; expected {expected}",
                        lacking=lacking,
                        where=where,
                        expected=expected,
                    ),
                )
            if child is not None and beside and beside.key in present:
                other = present[beside.key]
                instead = Phrase(
                    "expected {expected}, found {found}", expected=Phrase(beside.instead), found=quoted(other)
                )
                self._mistake(other, f"{label}.{beside.key}", instead)

    def _present(self, node: Node, keys: Mapping[str, Any], label: str) -> dict[str, Node]:
        """The values by key. Reports unknown keys, and gives the values of mistyped ones to the keys that are
        probably meant, in the document too."""
        present = node.value if isinstance(node.value, dict) else {}
        missing = set(keys) - present.keys()
        for key in [key for key in present if key not in keys]:
            where = Phrase(" in {label}", label=label) if label else ""
            advice = hint(key, missing)
            if (twice := nearest(key, keys)) in present:
                advice = Phrase("{twice} is there already", twice=twice)
            advice = Phrase("it was removed; delete the line") if key in _REMOVED else advice
            self._key_mistake(
                node, key, Phrase("unknown key {key}{where}; {advice}", key=key, where=where, advice=advice)
            )
            child, meant = present.pop(key), nearest(key, missing, _SURELY)
            if meant and key not in _REMOVED:
                missing.discard(meant)
                present[meant], node.key_places[meant] = child, node.key_places[key]
        return present

    def _key_mistake(self, node: Node, key: str, message: str) -> None:
        place = node.key_places.get(key, (node.line, node.column))
        if not self.document.has_mistake(*place):
            self.document.mistake(place, message)

    def check_names(self, form: Any) -> None:
        """Adds a mistake for each name that its section does not define: one, with the other lines."""
        sections, keys = dict(self.document.root.entries()), keys_of(form)
        for (names, text), ((node, label), *more) in self.names.items():
            there = {name: sections[name] for name in names.sections if name in sections}
            if any(not isinstance(section.value, dict) for section in there.values()) or any(
                getattr(keys[name], "required", False) for name in names.sections if name not in there
            ):
                continue  # the section itself has a mistake
            defined = {key for section in there.values() for key, _ in section.entries()}
            if text not in defined:
                lines = ", ".join(str(place.line) for place, _ in more)
                said = joined([Phrase(names.wrong, name=text), hint(text, defined)])
                if len(more) == 1:
                    said = Phrase("{said} (also on line {lines})", said=said, lines=lines)
                elif more:
                    said = Phrase("{said} (also on lines {lines})", said=said, lines=lines)
                self._mistake(node, label, said)
