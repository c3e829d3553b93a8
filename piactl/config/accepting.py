"""Whether a document is as its JSON Schema says, without the library that says what is wrong with it.

Nearly every file is right, and jsonschema takes longer to load than a command has; it is only asked what to
say where this does not accept. A keyword that is not known here accepts nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

Schema = Mapping[str, Any]
"""A schema; true and false are schemas too."""

_SILENT = frozenset({"$schema", "$id", "$defs", "title", "description", "then"})


class _UnknownKeyword(Exception):
    """The schema asks for something that only the library knows."""


def accepts(schema: Schema, document: object) -> bool:
    """True only where jsonschema would find nothing; `integer` means a number written without a point."""
    try:
        return _fits(schema, document, schema)
    except _UnknownKeyword:
        return False


def _fits(schema: Schema | bool, value: Any, whole: Schema) -> bool:
    if isinstance(schema, bool):
        return schema
    for keyword, wanted in schema.items():
        if keyword in _SILENT:
            continue
        check = _CHECKS.get(keyword)
        if check is None:
            raise _UnknownKeyword
        if not check(wanted, value, schema, whole):
            return False
    return True


def _type(wanted: Any, value: Any, _schema: Schema, _whole: Schema) -> bool:
    return any(_is(name, value) for name in ([wanted] if isinstance(wanted, str) else wanted))


def _is(name: str, value: Any) -> bool:
    if name in ("integer", "number"):
        kinds: Any = int if name == "integer" else (int, float)
        return isinstance(value, kinds) and not isinstance(value, bool)
    if name == "null":
        return value is None
    found = {"string": str, "boolean": bool, "object": dict, "array": list}.get(name)
    if found is None:
        raise _UnknownKeyword
    return isinstance(value, found)


def _same(one: Any, other: Any) -> bool:
    """Equality of JSON: true is not 1."""
    return type(one) is type(other) and not isinstance(one, dict | list) and bool(one == other)


def _ref(wanted: Any, value: Any, _schema: Schema, whole: Schema) -> bool:
    place, _, name = wanted.rpartition("/")
    if place != "#/$defs":
        raise _UnknownKeyword
    return _fits(whole["$defs"][name], value, whole)


def _properties(wanted: Any, value: Any, _schema: Schema, whole: Schema) -> bool:
    if not isinstance(value, dict):
        return True
    return all(_fits(below, value[name], whole) for name, below in wanted.items() if name in value)


def _additional(wanted: Any, value: Any, schema: Schema, whole: Schema) -> bool:
    if not isinstance(value, dict) or wanted is True:
        return True
    others = [value[name] for name in value if name not in schema.get("properties", {})]
    return not others if wanted is False else all(_fits(wanted, other, whole) for other in others)


def _names(wanted: Any, value: Any, _schema: Schema, whole: Schema) -> bool:
    return not isinstance(value, dict) or all(_fits(wanted, name, whole) for name in value)


def _items(wanted: Any, value: Any, _schema: Schema, whole: Schema) -> bool:
    return not isinstance(value, list) or all(_fits(wanted, one, whole) for one in value)


def _unique(wanted: Any, value: Any, _schema: Schema, _whole: Schema) -> bool:
    if not isinstance(value, list) or not wanted:
        return True
    if any(not isinstance(one, str) for one in value):
        raise _UnknownKeyword
    return len(set(value)) == len(value)


def _required(wanted: Any, value: Any, _schema: Schema, _whole: Schema) -> bool:
    return not isinstance(value, dict) or all(name in value for name in wanted)


def _dependent(wanted: Any, value: Any, _schema: Schema, _whole: Schema) -> bool:
    if not isinstance(value, dict):
        return True
    return all(need in value for name, needs in wanted.items() if name in value for need in needs)


def _if(wanted: Any, value: Any, schema: Schema, whole: Schema) -> bool:
    if "else" in schema:
        raise _UnknownKeyword
    return not _fits(wanted, value, whole) or _fits(schema.get("then", {}), value, whole)


def _pattern(wanted: Any, value: Any, _schema: Schema, _whole: Schema) -> bool:
    return not isinstance(value, str) or matches(wanted, value)


def matches(pattern: str, text: str) -> bool:
    """Whether a pattern as ECMA means it is in a text: `$` is the end, not before a last newline."""
    return re.search(re.sub(r"\$$", r"\\Z", pattern), text) is not None


def _number(compare: Callable[[Any, Any], bool]) -> Callable[..., bool]:
    def check(wanted: Any, value: Any, _schema: Schema, _whole: Schema) -> bool:
        return not _is("number", value) or compare(value, wanted)

    return check


def _length(kind: type) -> Callable[..., bool]:
    def check(wanted: Any, value: Any, _schema: Schema, _whole: Schema) -> bool:
        return not isinstance(value, kind) or len(value) >= wanted  # type: ignore[arg-type]

    return check


_CHECKS: Mapping[str, Callable[..., bool]] = {
    "type": _type,
    "$ref": _ref,
    "properties": _properties,
    "additionalProperties": _additional,
    "propertyNames": _names,
    "items": _items,
    "uniqueItems": _unique,
    "required": _required,
    "dependentRequired": _dependent,
    "if": _if,
    "pattern": _pattern,
    "enum": lambda wanted, value, *_: any(_same(one, value) for one in wanted),
    "const": lambda wanted, value, *_: _same(wanted, value),
    "minimum": _number(lambda value, limit: value >= limit),
    "maximum": _number(lambda value, limit: value <= limit),
    "exclusiveMaximum": _number(lambda value, limit: value < limit),
    "minLength": _length(str),
    "minItems": _length(list),
    "minProperties": _length(dict),
}
