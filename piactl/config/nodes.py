"""What a YAML file says, value by value, each with its place.

A scalar that YAML parsers read in different ways (`051`, `no`, `12:30`, `1_000`, a date) is never
converted: it is `Unclear`, which fits no type, so that whoever wrote it is asked for quotes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

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

    The readers (`text`, `integer`...) give their default where the value is of another type: what is
    wrong with a file is said by its validation, and building from a validated file cannot fail.
    """

    value: str | int | float | bool | Unclear | list[Node] | dict[str, Node] | None
    line: int
    column: int
    raw: str = ""
    plain: bool = False
    key_places: dict[str, tuple[int, int]] = field(default_factory=dict)

    def at(self, key: str) -> Node:
        """The value of a key; an empty node at this one's place where there is none."""
        if isinstance(self.value, dict) and key in self.value:
            return self.value[key]
        return Node(None, self.line, self.column)

    def entries(self) -> Iterator[tuple[str, Node]]:
        """Keys and values in the order of the file; none where this is not a mapping."""
        if isinstance(self.value, dict):
            yield from self.value.items()

    def items(self) -> list[Node]:
        """The members; none where this is not a list."""
        return self.value if isinstance(self.value, list) else []

    def key_line(self, key: str) -> int:
        """The line of a key."""
        return self.key_places.get(key, (self.line, self.column))[0]

    def text(self, default: str = "") -> str:
        return self.value if isinstance(self.value, str) else default

    def integer(self, default: int) -> int:
        return self.value if isinstance(self.value, int) and not isinstance(self.value, bool) else default

    def number(self, default: float) -> float:
        if isinstance(self.value, int | float) and not isinstance(self.value, bool):
            return float(self.value)
        return default

    def truth(self, default: bool) -> bool:
        return self.value if isinstance(self.value, bool) else default

    def texts(self) -> list[str]:
        """The texts of a list, or of one text alone."""
        if isinstance(self.value, str):
            return [self.value]
        return [item.value for item in self.items() if isinstance(item.value, str)]

    def text_nodes(self) -> list[Node]:
        """Like `texts`, with their places."""
        members = [self] if isinstance(self.value, str) else self.items()
        return [member for member in members if isinstance(member.value, str)]

    def data(self) -> object:
        """The value without places, for a schema to look at."""
        if isinstance(self.value, dict):
            return {key: node.data() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.data() for node in self.value]
        return self.value


def plain_value(raw: str, *, is_text_to_yaml: bool) -> str | int | float | bool | Unclear | None:
    """What an unquoted scalar means. `is_text_to_yaml`: YAML 1.1 itself reads it as text."""
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
