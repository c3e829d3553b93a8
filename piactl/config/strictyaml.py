"""YAML without its surprises: no double keys, aliases, anchors, tags, or second documents.

Built on PyYAML's parser events, where anchors and tags can still be seen, so that every mistake of a
file is found in one reading and every value keeps its line and column.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from piactl.config.content import read_content
from piactl.config.nodes import Node, Unclear, plain_value
from piactl.errors import ConfigurationInvalid, Mistake

MAX_DEPTH = 20
"""The deepest of our files needs seven levels."""

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_RESOLVERS: dict[str | None, list[tuple[str, Any]]] = yaml.SafeLoader.yaml_implicit_resolvers


@dataclass(slots=True)
class Document:
    """A YAML file as read. `mistakes` grows as it is checked; `digest` is the SHA-256 of its bytes."""

    file: str
    digest: str
    root: Node
    mistakes: list[Mistake] = field(default_factory=list)
    refused: set[tuple[int, int]] = field(default_factory=set)
    """Places whose value is known to be unusable: nothing more need be said of them."""
    _told: set[tuple[int, int]] = field(default_factory=set)

    def mistake(self, place: Node | tuple[int, int], message: str) -> None:
        """Notes a mistake; of one plain value only the first that is found."""
        line, column = (place.line, place.column) if isinstance(place, Node) else place
        if (
            isinstance(place, Node)
            and not isinstance(place.value, list | dict)
            and self.has_mistake(line, column)
        ):
            return
        self.mistakes.append(Mistake(self.file, line, column, message))
        self._told.add((line, column))

    def has_mistake(self, line: int, column: int) -> bool:
        return (line, column) in self._told

    def refuse_mistakes(self) -> None:
        """Raises ConfigurationInvalid with all of them, in the order of the file, where there are any."""
        if self.mistakes:
            unique = dict.fromkeys(self.mistakes)
            raise ConfigurationInvalid(sorted(unique, key=lambda m: (m.line, m.column)))


def read_document(path: Path) -> Document:
    """The document in a YAML file, with the mistakes of its form that do not hinder reading on.

    Raises ConfigurationInvalid where there is nothing to read on: no file, not UTF-8, empty, not YAML.
    """
    content = read_content(path)
    return parse_document(str(path), content.text, content.digest)


def parse_document(file: str, text: str, digest: str = "") -> Document:
    """Like `read_document`, of text already read."""
    document = Document(file, digest, Node(None, 1, 1))
    _refuse_tabs(document, text)
    builder = _Builder(document)
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            if not builder.take(event):
                break
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = (mark.line + 1, mark.column + 1) if mark is not None else (0, 0)
        document.mistake(place, _plain_words(error))
        builder.root = None
    except yaml.YAMLError as error:
        document.mistake((0, 0), f"this is not YAML: {str(error).splitlines()[0]}")
        builder.root = None
    if builder.root is None:
        if not document.mistakes:
            document.mistake((0, 0), "the file is empty; write it, or put back the version that worked")
        document.refuse_mistakes()
    else:
        document.root = builder.root
    return document


def _refuse_tabs(document: Document, text: str) -> None:
    """YAML forbids tabs in indentation and says so badly; all of them are named here."""
    for number, line in enumerate(text.split("\n"), 1):
        column = line[: len(line) - len(line.lstrip())].find("\t") + 1
        if column and line.strip():
            document.mistake((number, column), "a tab in the indentation; use blanks")
    document.refuse_mistakes()


def _plain_words(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or "cannot be read"
    if "mapping values are not allowed" in problem:
        problem = "a `:` where none can be; put text that holds `: ` in quotes, and check the indentation"
    elif "did not find expected key" in problem or "block end" in problem:
        problem = "the indentation does not fit the lines above, or a quote or bracket is left open"
    elif "cannot start any token" in problem:
        problem = "a character that cannot stand here; put the text in quotes, use blanks for tabs"
    return f"this is not YAML here: {problem}"


@dataclass(slots=True)
class _Open:
    """A list or mapping whose end has not come yet."""

    node: Node
    is_mapping: bool
    key: str | None = None
    key_place: tuple[int, int] = (0, 0)
    wants_key: bool = True


class _Builder:
    """Puts the events of one document together; `take` returns False where reading on makes no sense."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.root: Node | None = None
        self.stack: list[_Open] = []
        self.documents = 0

    def take(self, event: Any) -> bool:
        place = (event.start_mark.line + 1, event.start_mark.column + 1)
        if isinstance(event, yaml.DocumentStartEvent):
            self.documents += 1
            if self.documents > 1:
                self.document.mistake(place, "a second document begins here; one file holds one document")
                return False
        elif isinstance(event, yaml.AliasEvent):
            self.document.mistake(place, f"alias *{event.anchor} is refused; write the value out")
            self.document.refused.add(place)
            self._put(Node("", *place, raw=f"*{event.anchor}"), place)
        elif isinstance(event, yaml.NodeEvent):
            self._refuse_anchor_and_tag(event, place)
            return self._start(event, place)
        elif isinstance(event, yaml.CollectionEndEvent):
            done = self.stack.pop()
            if not self.stack:
                self.root = done.node
        return True

    def _refuse_anchor_and_tag(self, event: Any, place: tuple[int, int]) -> None:
        if event.anchor is not None:
            self.document.mistake(
                place, f"anchor &{event.anchor} is refused; write the value out where it is used"
            )
        if event.tag is not None:
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            self.document.mistake(place, f"tag {tag} is refused; write plain values, and text in quotes")

    def _start(self, event: Any, place: tuple[int, int]) -> bool:
        if isinstance(event, yaml.ScalarEvent):
            plain = event.style is None or event.style == ""
            value = plain_value(event.value, is_text_to_yaml=_is_text(event.value)) if plain else event.value
            self._put(Node(value, *place, raw=event.value, plain=plain), place)
            return True
        is_mapping = isinstance(event, yaml.MappingStartEvent)
        node = Node({} if is_mapping else [], *place)
        self._put(node, place)
        self.stack.append(_Open(node, is_mapping))
        if len(self.stack) > MAX_DEPTH:
            self.document.mistake(
                place, f"more than {MAX_DEPTH} levels deep; check the brackets and the indentation"
            )
            self.root = None
            return False
        return True

    def _put(self, node: Node, place: tuple[int, int]) -> None:
        if not self.stack:
            self.root = node
            return
        parent = self.stack[-1]
        if isinstance(parent.node.value, list):
            parent.node.value.append(node)
        elif parent.wants_key:
            parent.wants_key = False
            parent.key, parent.key_place = self._key(parent, node), place
        else:
            parent.wants_key = True
            if parent.key is not None and isinstance(parent.node.value, dict):
                parent.node.value[parent.key] = node
                parent.node.key_places[parent.key] = parent.key_place

    def _key(self, parent: _Open, node: Node) -> str | None:
        """The text of a key, None where its value is to be dropped; the mistakes in it are noted."""
        if isinstance(node.value, list | dict):
            self.document.mistake(node, "a list or mapping cannot be a key")
            return None
        if node.raw == "<<" and node.plain:
            self.document.mistake(node, "`<<` is refused; write the values out")
            return None
        if not isinstance(node.value, str):
            word = node.raw if node.value is not None or node.raw else "the empty key"
            self.document.mistake(node, f'key {word} must be quoted: "{node.raw}"')
        first = parent.node.key_places.get(node.raw)
        if first is not None:
            self.document.mistake(node, f"key {node.raw} stands twice, first on line {first[0]}; keep one")
            return None
        return node.raw


def _is_text(raw: str) -> bool:
    """Whether YAML 1.1 reads an unquoted scalar as text."""
    candidates = _RESOLVERS.get(raw[:1], []) + _RESOLVERS.get(None, [])
    return not any(pattern.match(raw) for _tag, pattern in candidates)


def quoted(node: Node) -> str:
    """A value as a message shows it: as it stands in the file, shortened."""
    if isinstance(node.value, dict):
        return "a mapping" if node.value else "an empty mapping"
    if isinstance(node.value, list):
        return "a list" if node.value else "an empty list"
    shown = node.raw if len(node.raw) <= 40 else node.raw[:37] + "..."
    shown = shown.encode("unicode_escape").decode("ascii") if not shown.isprintable() else shown
    if node.value is None:
        return "nothing"
    return shown if node.plain else f'"{shown}"'


def unclear(node: Node) -> bool:
    """Whether it is a scalar that must be quoted where text is wanted."""
    return node.plain and isinstance(node.value, int | float | Unclear)
