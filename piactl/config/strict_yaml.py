"""Strict YAML: refuses duplicate keys, aliases, anchors, tags and second documents.

PyYAML composes the values; its events still contain anchors and tags. One reading reports every mistake of a
file, what is below an alias after it, and each value keeps its line and column.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from piactl.errors import ConfigurationInvalid, Mistake, system_words
from piactl.host.private_files import exposure, may_not
from piactl.phrase import Phrase

MAX_BYTES = 1_000_000
"""The largest configuration file; a larger one is probably the wrong file."""

_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class FileContent:
    """The text of a file without its byte order mark; `digest` is the SHA-256 of its bytes in hexadecimal."""

    text: str
    digest: str


def read_content(path: Path, *, max_bytes: int = MAX_BYTES) -> FileContent:
    """The content of a UTF-8 file without control characters. Raises ConfigurationInvalid for any other."""
    raw = _read_bytes(path, max_bytes)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        column = error.start - (raw.rfind(b"\n", 0, error.start) + 1) + 1
        raise ConfigurationInvalid.of(
            path,
            Phrase(
                "not UTF-8; save the file as UTF-8 (`iconv -f windows-1252 -t utf-8` converts an old one)"
            ),
            line,
            column,
        ) from None
    if not text.strip():
        raise ConfigurationInvalid.of(
            path, Phrase("the file is empty; write it, or restore the last working version")
        )
    strange = _UNPRINTABLE.search(text)
    if strange is not None:
        line, column = place_of(text, strange.start())
        raise ConfigurationInvalid.of(path, Phrase("a control character; remove it"), line, column)
    return FileContent(text, hashlib.sha256(raw).hexdigest())


def place_of(text: str, offset: int) -> tuple[int, int]:
    """Line and column of a character, both from 1."""
    return text.count("\n", 0, offset) + 1, offset - (text.rfind("\n", 0, offset) + 1) + 1


STDIN = Path("/dev/stdin")
"""The name of stdin as a file. It is read as it was opened: the caller may read it, perhaps not piactl."""


@cache
def _read_stdin(max_bytes: int) -> bytes:
    """The bytes of stdin, one more than `max_bytes` at most. Read once; later calls return the same."""
    with open(0, "rb", closefd=False) as stream:
        return stream.read(max_bytes + 1)


def _read_bytes(path: Path, max_bytes: int) -> bytes:
    try:
        if path == STDIN:
            raw = _read_stdin(max_bytes)
        elif path.is_dir():
            raise ConfigurationInvalid.of(path, Phrase("this is a folder; name a file in it"))
        elif path.exists() and not path.is_file():
            raise ConfigurationInvalid.of(path, Phrase("this is not a regular file; name a file"))
        else:
            with path.open("rb") as file:
                exposed = exposure(path)
                if exposed:
                    raise ConfigurationInvalid.of(path, exposed)
                raw = file.read(max_bytes + 1)
    except FileNotFoundError:
        raise ConfigurationInvalid.of(
            path,
            Phrase(
                "there is no such file; check the path, or copy the one in examples/ (for a trial: "
                "piactl sandbox start)"
            ),
        ) from None
    except PermissionError:
        raise ConfigurationInvalid.of(path, may_not(path)) from None
    except (OSError, ValueError) as error:
        cannot = Phrase(
            "cannot be read: {reason}; check its owner, its mode and its path", reason=system_words(error)
        )
        raise ConfigurationInvalid.of(path, cannot) from None
    if len(raw) > max_bytes:
        raise ConfigurationInvalid.of(
            path,
            Phrase(
                "larger than {most} bytes; this is probably the wrong file: check the path",
                most=format(max_bytes, ","),
            ),
        )
    return raw


MAX_DEPTH = 20
"""Nesting levels of a file; the deepest file of piactl needs seven."""

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(slots=True)
class Document:
    """A parsed YAML file. Checks add to `mistakes`; `digest` is the SHA-256 of its bytes."""

    file: str
    digest: str
    root: Node
    mistakes: list[Mistake] = field(default_factory=list)
    _mistaken: set[tuple[int, int]] = field(default_factory=set)

    def content_digest(self) -> str:
        """The SHA-256 of what the file says, in hexadecimal, whatever its comments and its form."""
        text = json.dumps(
            self.root, sort_keys=True, default=lambda v: v.value if isinstance(v, Node) else str(v)
        )
        return hashlib.sha256(text.encode()).hexdigest()

    def mistake(self, place: Node | tuple[int, int], message: str) -> None:
        """Records a mistake; for a scalar only the first one."""
        line, column = (place.line, place.column) if isinstance(place, Node) else place
        if (
            isinstance(place, Node)
            and not isinstance(place.value, list | dict)
            and self.has_mistake(line, column)
        ):
            return
        self.mistakes.append(Mistake(self.file, line, column, message))
        self._mistaken.add((line, column))

    def has_mistake(self, line: int, column: int) -> bool:
        return (line, column) in self._mistaken

    def refuse_mistakes(self) -> None:
        """Raises ConfigurationInvalid with all mistakes in file order, if there are any."""
        if self.mistakes:
            raise self.error()

    def error(self) -> ConfigurationInvalid:
        unique = dict.fromkeys(self.mistakes)
        return ConfigurationInvalid(sorted(unique, key=lambda m: (m.line, m.column)))


def read_document(path: Path, kind: str, keys: Collection[str]) -> Document:
    """The document in a YAML file, with the mistakes of form that do not stop the parser.

    Raises ConfigurationInvalid if the file is missing, not UTF-8, empty or not YAML. If no line begins with
    one of `keys`, the file is not of this `kind`, but perhaps a password file, and the error shows none of
    its content.
    """
    content = read_content(path)
    if not re.search(rf"^(\{{\s*)?[\"']?({'|'.join(keys)})[\"']?\s*:", content.text, re.MULTILINE):
        some = ", ".join(keys)
        raise ConfigurationInvalid.of(
            path,
            Phrase(
                "this is not a {kind} of piactl: no line begins with one of its keys ({some}); check the "
                "path",
                kind=kind,
                some=some,
            ),
            1,
        )
    return parse_document(str(path), content.text, content.digest)


def parse_document(file: str, text: str, digest: str = "") -> Document:
    """Like `read_document`, for text already read."""
    document = Document(file, digest, Node(None, 1, 1))
    _refuse_tabs(document, text)
    try:
        _refuse_events(document, text)
        root = yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        document.mistake(_place(mark) if mark is not None else (0, 0), _plain_words(error))
    except yaml.YAMLError as error:
        document.mistake(
            (0, 0),
            Phrase(
                "this is not YAML: {why}",
                why=Phrase('the parser says "{said}"', said=str(error).splitlines()[0]),
            ),
        )
    else:
        if root is not None:
            document.root = _node(document, root)
            return document
    if not document.mistakes:
        document.mistake((0, 0), Phrase("the file is empty; write it, or restore the last working version"))
    raise document.error()


def _refuse_tabs(document: Document, text: str) -> None:
    """Reports every tab in the indentation, because the message of PyYAML is unclear."""
    for number, line in enumerate(text.split("\n"), 1):
        column = line[: len(line) - len(line.lstrip())].find("\t") + 1
        if column and line.strip():
            document.mistake((number, column), Phrase("a tab in the indentation; use spaces"))
    document.refuse_mistakes()


_NOT_CLOSED = (
    "did not find expected key",
    "block end",
    "end of stream",
    "expected ',' or",
    "'-' indicator",
    "node content",
)


def _plain_words(error: yaml.MarkedYAMLError) -> str:
    said = error.problem or ""
    problem = Phrase('the parser says "{said}"', said=said) if said else Phrase("cannot be read")
    if "mapping values are not allowed" in said:
        problem = Phrase(
            "a `:` is not allowed here; quote text that contains `: `, and check the indentation"
        )
    elif any(words in said for words in _NOT_CLOSED):
        problem = Phrase(
            "the indentation does not match the lines above, or a quote or bracket is not closed"
        )
    elif "could not find expected ':'" in said:
        problem = Phrase("a `:` is missing: a key is `key: value`")
    elif "block sequence entries are not allowed" in said:
        problem = Phrase("a `-` is not allowed here; begin a list on a line of its own")
    elif "unknown escape character" in said or "hexdecimal number" in said:
        problem = Phrase("a backslash in double quotes; use single quotes")
    elif "cannot start any token" in said:
        problem = Phrase("a character is not allowed here; quote the text, and use spaces instead of tabs")
    return Phrase("this is not YAML here: {problem}", problem=problem)


def _place(mark: Any) -> tuple[int, int]:
    return mark.line + 1, mark.column + 1


def _refuse_events(document: Document, text: str) -> None:
    """Reports anchors, aliases and tags, which the nodes of PyYAML do not have. Raises ConfigurationInvalid
    for what cannot be composed to one tree: an alias, a second document, very deep levels."""
    documents = depth = aliases = 0
    for event in yaml.parse(text, Loader=_LOADER):
        place, fatal = _place(event.start_mark), ""
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                fatal = Phrase("a second document begins here; write one document per file")
        elif isinstance(event, yaml.AliasEvent):
            document.mistake(
                place, Phrase("alias *{anchor} is not supported; write the value out", anchor=event.anchor)
            )
            aliases += 1
        elif isinstance(event, yaml.NodeEvent):
            if event.anchor is not None:
                document.mistake(
                    place,
                    Phrase(
                        "anchor &{anchor} is not supported; write the value out where it is used",
                        anchor=event.anchor,
                    ),
                )
            if tag := getattr(event, "tag", None):
                tag = tag.replace("tag:yaml.org,2002:", "!!")
                document.mistake(
                    place, Phrase("tag {tag} is not supported; write plain values, and quote text", tag=tag)
                )
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            fatal = Phrase(
                "more than {most} levels deep; check the brackets and the indentation", most=MAX_DEPTH
            )
        if fatal:
            document.mistake(place, fatal)
            raise document.error()
    if aliases:
        raise document.error()


def _node(document: Document, composed: Any) -> Node:
    """The value of a node of PyYAML. Records the mistakes in keys."""
    place = _place(composed.start_mark)
    if isinstance(composed, yaml.SequenceNode):
        return Node([_node(document, member) for member in composed.value], *place)
    if isinstance(composed, yaml.MappingNode):
        entries: dict[str, Node] = {}
        mapping = Node(entries, *place)
        for key, value in composed.value:
            name = _key(document, mapping, _node(document, key))
            child = _node(document, value)
            if name is not None:
                entries[name] = child
                mapping.key_places[name] = _place(key.start_mark)
        return mapping
    raw, plain = composed.value, not composed.style
    value = plain_value(raw, is_text_to_yaml=composed.tag.endswith(":str")) if plain else raw
    return Node(value, *place, raw=raw, plain=plain)


def _key(document: Document, mapping: Node, key: Node) -> str | None:
    """The text of a key, or None if its value is to be dropped. Records the mistakes in it."""
    if isinstance(key.value, list | dict):
        document.mistake(key, Phrase("a list or mapping cannot be a key; quote it if it is text"))
        return None
    if key.raw == "<<" and key.plain:
        document.mistake(key, Phrase("`<<` is not supported; write the values out"))
        return None
    if not isinstance(key.value, str):
        word = key.raw if key.value is not None or key.raw else Phrase("the empty key")
        document.mistake(key, Phrase('key {word} must be quoted: "{key}"', word=word, key=key.raw))
    first = mapping.key_places.get(key.raw)
    if first is not None:
        document.mistake(
            key, Phrase("key {key} appears twice, first on line {line}; keep one", key=key.raw, line=first[0])
        )
        return None
    return key.raw


def quoted(node: Node) -> str:
    """A value for a message: as in the file, shortened."""
    if isinstance(node.value, dict):
        return Phrase("a mapping") if node.value else Phrase("an empty mapping")
    if isinstance(node.value, list):
        return Phrase("a list") if node.value else Phrase("an empty list")
    shown = node.raw if len(node.raw) <= 40 else node.raw[:37] + "..."
    shown = shown.encode("unicode_escape").decode("ascii") if not shown.isprintable() else shown
    if node.value is None:
        return Phrase("nothing")
    return shown if node.plain else f'"{shown}"'


# YAML parsers read some scalars in different ways (`051`, `no`, `12:30`, `1_000`, a date). These are never
# converted: they become `Unclear`, which matches no type, and the message asks for quotes.

_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,17})\.[0-9]{1,18}")
_NUMBER_LIKE = re.compile(r"[-+]?[0-9][0-9_]*([eE][-+]?[0-9]+)?|0o[0-7_]+")
_NULL = ("", "~", "null")


@dataclass(frozen=True, slots=True)
class Unclear:
    """An unquoted scalar that is neither plain text nor a decimal number, true, false or null."""

    raw: str


@dataclass(frozen=True, slots=True)
class Node:
    """One value of the file; `line` and `column` count from 1.

    The readers (`text`, `items`...) return nothing if the value has another type, so a check of what is
    written never fails; the walk over the types reports wrong types.
    """

    value: str | int | float | bool | Unclear | list[Node] | dict[str, Node] | None
    line: int
    column: int
    raw: str = ""
    plain: bool = False
    key_places: dict[str, tuple[int, int]] = field(default_factory=dict)

    def at(self, key: str) -> Node:
        """The value of a key, or an empty node at the place of this one."""
        if isinstance(self.value, dict) and key in self.value:
            return self.value[key]
        return Node(None, self.line, self.column)

    def entries(self) -> Iterator[tuple[str, Node]]:
        """Keys and values in file order; none if this is not a mapping."""
        if isinstance(self.value, dict):
            yield from self.value.items()

    def items(self) -> list[Node]:
        """The members; none if this is not a list."""
        return self.value if isinstance(self.value, list) else []

    def text(self, default: str = "") -> str:
        """The text; `default` for whatever is none, also for a list."""
        return self.value if isinstance(self.value, str) else default

    def text_nodes(self) -> list[Node]:
        """The texts of a list, or the one text of a scalar."""
        members = [self] if isinstance(self.value, str) else self.items()
        return [member for member in members if isinstance(member.value, str)]


def plain_value(raw: str, *, is_text_to_yaml: bool) -> str | int | float | bool | Unclear | None:
    """The value of an unquoted scalar. `is_text_to_yaml`: YAML 1.1 reads it as text."""
    if _INTEGER.fullmatch(raw):
        return int(raw)
    if _NUMBER.fullmatch(raw):
        return float(raw)
    if raw in ("true", "false"):
        return raw == "true"
    if raw in _NULL:
        return None
    if not is_text_to_yaml or _NUMBER_LIKE.fullmatch(raw):
        return Unclear(raw)
    return raw
